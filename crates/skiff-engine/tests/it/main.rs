//! The engine with a real keeper, real monitors and real containers.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod exec;
mod files;
mod harness;
mod life;
mod observe;
mod restore;
mod runtimes;
mod settings;
