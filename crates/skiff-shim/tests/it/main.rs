//! Keepers, monitors and containers for real: each test has an exec root of its own, starts a
//! keeper in it and talks to monitors as a daemon would.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod attach;
mod exec;
mod harness;
mod life;
mod output;
