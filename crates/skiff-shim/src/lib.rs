//! The small resident part of the engine: the keeper and the monitors it forks (ARCHITECTURE.md,
//! "Processes"), and the daemon's side of talking to them.
//!
//! Invariants: no async runtime and no threads; memory that idle monitors do not share with each
//! other is counted in pages; a monitor never ends before its container.

pub mod client;
pub mod external;
pub mod frame;
pub mod keeper;
pub mod log;
mod monitor;
pub mod protocol;
