//! The descriptor table as a whole.

use std::io;
use std::os::fd::RawFd;

use crate::{check, check_long};

/// Marks every descriptor from `first` on as closed by `execve`.
///
/// [close_range(2)](https://man7.org/linux/man-pages/man2/close_range.2.html); before Linux 5.11
/// each descriptor of `/proc/self/fd` is marked by itself.
pub fn set_cloexec_from(first: RawFd) -> io::Result<()> {
    match close_range(first, libc::CLOSE_RANGE_CLOEXEC) {
        Err(error) if is_missing(&error) => each_open_fd(first, |fd| {
            // SAFETY: F_SETFD takes no pointer, and the number was listed as open.
            check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map(drop)
        }),
        other => other,
    }
}

/// Closes every descriptor from `first` on.
///
/// Owned descriptors in that range must not be dropped afterwards; this is for a process that
/// leaves by `_exit` or `execve` without running destructors.
pub fn close_from(first: RawFd) -> io::Result<()> {
    match close_range(first, 0) {
        Err(error) if is_missing(&error) => each_open_fd(first, |fd| {
            // SAFETY: the number was listed as open; that nobody uses it later is this function's
            // documented contract.
            let _ = unsafe { libc::close(fd) };
            Ok(())
        }),
        other => other,
    }
}

/// Seccomp profiles older than the call answer EPERM, and the call itself never does.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EPERM))
}

fn close_range(first: RawFd, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: takes numbers only.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    check_long(done).map(drop)
}

fn each_open_fd(first: RawFd, mut act: impl FnMut(RawFd) -> io::Result<()>) -> io::Result<()> {
    // The list is taken whole before anything is closed: reading it needs a descriptor too.
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for fd in open.into_iter().filter(|fd| *fd >= first) {
        match act(fd) {
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
            other => other?,
        }
    }
    Ok(())
}
