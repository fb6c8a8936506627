//! Leaving and joining namespaces.
//!
//! All of it changes the calling thread only, which is why callers are single-threaded.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::check;

/// `CLONE_NEWNS`.
pub const MOUNT: u64 = libc::CLONE_NEWNS as u64;
/// `CLONE_NEWUTS`.
pub const UTS: u64 = libc::CLONE_NEWUTS as u64;
/// `CLONE_NEWIPC`.
pub const IPC: u64 = libc::CLONE_NEWIPC as u64;
/// `CLONE_NEWUSER`.
pub const USER: u64 = libc::CLONE_NEWUSER as u64;
/// `CLONE_NEWPID`.
pub const PID: u64 = libc::CLONE_NEWPID as u64;
/// `CLONE_NEWNET`.
pub const NETWORK: u64 = libc::CLONE_NEWNET as u64;
/// `CLONE_NEWCGROUP`.
pub const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
/// `CLONE_NEWTIME`.
pub const TIME: u64 = 0x80;

/// Moves into the namespaces `kinds` that `from` stands for: one namespace file, or any set of
/// them when it is a pidfd (Linux 5.8).
///
/// [setns(2)](https://man7.org/linux/man-pages/man2/setns.2.html)
pub fn join(from: BorrowedFd<'_>, kinds: u64) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::setns(from.as_raw_fd(), kinds as libc::c_int) }).map(drop)
}

/// Moves into new namespaces of these kinds.
///
/// [unshare(2)](https://man7.org/linux/man-pages/man2/unshare.2.html)
pub fn leave(kinds: u64) -> io::Result<()> {
    // SAFETY: namespace flags do not unshare descriptors or memory that Rust relies on.
    check(unsafe { libc::unshare(kinds as libc::c_int) }).map(drop)
}
