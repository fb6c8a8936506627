//! Containers started for real, as root, on this machine's kernel.
//!
//! What starts a container must be single-threaded, which libtest is not: the tests talk to two
//! programs of `examples/`, `driver` (the library) and `runtime` (the command line).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bundle;
mod command;
mod exec;
mod hostile;
mod identity;
mod launch;
mod mounts;
mod namespaces;
