//! What becomes of a container's output on disk.
//!
//! Invariant: a log never stops or delays its container by an error; what could not be written is
//! counted and dropped. Reading logs is the engine's part.

mod clock;
mod escape;
mod json_file;
mod rotate;

pub(crate) use clock::now;
pub use json_file::{JsonFile, LogError, Options};

/// The stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Stdout,
    Stderr,
}

impl Channel {
    /// Index for tables with one entry per channel.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Channel::Stdout => 0,
            Channel::Stderr => 1,
        }
    }

    /// The number Docker's stream framing gives it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Channel::Stdout => 1,
            Channel::Stderr => 2,
        }
    }

    /// Docker's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Channel::Stdout => "stdout",
            Channel::Stderr => "stderr",
        }
    }
}
