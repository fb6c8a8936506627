//! Plain `fork` for the small single-threaded processes (keeper, monitor): a copy that goes on
//! running our own code, without an exec.
//!
//! Invariant: it is refused in a process that has more than one thread, because the copy would
//! hold the other threads' locks for ever. It is not how containers are started; that is clone3.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt;

/// Which of the two processes returned from [`fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// The caller; the new process's id.
    Parent(i32),
    /// The new process.
    Child,
}

/// Forks the calling process, which must be single-threaded.
pub fn fork() -> io::Result<Fork> {
    // A process's task directory has two links and one more for each thread.
    let links = std::fs::metadata("/proc/self/task")?.nlink();
    if links > 3 {
        return Err(io::Error::other("fork in a process with several threads"));
    }
    // SAFETY: there is no other thread, so no lock is held by one that the child would miss.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Forks a child that keeps only the standard descriptors and `keep`, runs `job` and ends with the
/// status it returns. Gives the child's pid.
pub fn fork_job(keep: &[BorrowedFd<'_>], job: impl FnOnce() -> u8) -> io::Result<i32> {
    match fork()? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => {
            close_all_but(keep);
            exit_now(job())
        }
    }
}

/// Ends the process at once: no destructors, no buffers flushed.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(i32::from(status)) }
}

/// Closes every descriptor above 2 that is not in `keep`. Only for a child that ends soon: values
/// that own the closed descriptors must not be dropped afterwards.
fn close_all_but(keep: &[BorrowedFd<'_>]) {
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first: u32 = 3;
    for fd in kept {
        let fd = fd.unsigned_abs();
        if fd > first {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: the process is about to end and nothing that owns one of these is used again.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if done == 0 {
        return;
    }
    // Linux before 5.9.
    let limit = last.min(1 << 16);
    for fd in first..=limit {
        // SAFETY: as above; closing a number that is not open only fails.
        unsafe { libc::close(fd.cast_signed()) };
    }
}
