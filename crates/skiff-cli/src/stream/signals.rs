//! Signals sent to us while we stand in for a process in a container.
//!
//! They are blocked and read from a descriptor, so that one `poll` sees them beside the streams and
//! no signal can end us with the terminal left in raw mode.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use skiff_sys::signals::{SignalFd, block_all, unblock_all};

/// SIGCHLD, SIGPIPE, SIGWINCH, SIGURG are about us, not about the container.
const OWN: [i32; 3] = [13, 17, 23];
/// SIGWINCH.
pub(crate) const WINDOW_CHANGED: i32 = 28;

/// All signals, as a descriptor.
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Starts catching, until [`Signals::release`] or the end of the process.
    pub(crate) fn catch() -> io::Result<Self> {
        block_all()?;
        let all: Vec<i32> = (1..=64).filter(|signal| !matches!(signal, 9 | 19 | 32 | 33)).collect();
        Ok(Self(SignalFd::new(&all)?))
    }

    /// Stops catching; signals that nobody has read do what they do by default.
    pub(crate) fn release(self) -> io::Result<()> {
        unblock_all()
    }

    /// The next pending signal that concerns the container or the terminal.
    pub(crate) fn next(&self) -> Option<i32> {
        loop {
            let signal = self.0.read()?;
            if !OWN.contains(&signal) {
                return Some(signal);
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The name the API takes, falling back to the number.
pub(crate) fn signal_name(signal: i32) -> String {
    signal.to_string()
}
