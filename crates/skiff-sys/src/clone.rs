//! Making child processes with `clone3(2)`.
//!
//! The invariant is that a child never returns into its parent's code: it runs one closure and
//! leaves by `_exit`, also when the closure panics.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check_long;

/// Exit status of a child whose closure panicked.
const PANICKED: i32 = 101;

/// Flags of `clone3(2)` that callers combine; namespaces are in [`crate::namespace`].
pub const CLONE_PARENT: u64 = libc::CLONE_PARENT as u64;

/// How to make a child.
#[derive(Debug, Default, Clone, Copy)]
pub struct CloneRequest<'a> {
    /// `CLONE_NEW*` and [`CLONE_PARENT`]. Not the flags that share memory or descriptors.
    pub flags: u64,
    /// Directory of a cgroup2 group that the child starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// A child process and the descriptor that names it for as long as it is kept.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// Makes a child that runs `body` and exits with what it returns.
///
/// Only for single-threaded callers: in the child no other thread exists, so a lock that another
/// thread held (the allocator's, for one) would stay locked.
///
/// [clone3(2)](https://man7.org/linux/man-pages/man2/clone3.2.html)
pub fn spawn(request: CloneRequest<'_>, body: impl FnOnce() -> i32) -> io::Result<Child> {
    let mut pidfd: libc::c_int = -1;
    let mut args = Args {
        flags: request.flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        // With CLONE_PARENT the kernel takes the caller's own exit signal and wants 0 here.
        exit_signal: if request.flags & CLONE_PARENT == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..Args::default()
    };
    if let Some(cgroup) = request.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let pid = match clone3(&mut args) {
        Err(error) if is_missing(&error) && request.cgroup.is_none() => {
            clone(request.flags, args.exit_signal, &mut pidfd)?
        }
        other => other?,
    };
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED);
        exit(code);
    }
    // SAFETY: CLONE_PIDFD succeeded, so the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// Ends the process at once: no destructors, no buffers flushed.
pub fn exit(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// `struct clone_args`, first 88 bytes (Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct Args {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Length of [`Args`] up to `tls`, which Linux 5.3 to 5.6 accept.
const ARGS_SIZE_VER0: usize = 64;

/// Seccomp profiles older than `clone3` answer EPERM; where the kernel means it, `clone` will too.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

fn clone3(args: &mut Args) -> io::Result<i32> {
    let size = if args.flags & CLONE_INTO_CGROUP == 0 { ARGS_SIZE_VER0 } else { size_of::<Args>() };
    // SAFETY: without CLONE_VM the child gets a copy of this stack and continues on it; `args`
    // lives through the call and `pidfd` points to memory of the caller.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut *args, size) };
    check_long(pid).map(|pid| pid as i32)
}

/// `clone(2)`, for kernels and sandboxes without `clone3`.
fn clone(flags: u64, exit_signal: u64, pidfd: &mut libc::c_int) -> io::Result<i32> {
    let flags = flags | libc::CLONE_PIDFD as u64 | exit_signal;
    // SAFETY: a null stack without CLONE_VM means a copy of this one; `pidfd` outlives the call.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &raw mut *pidfd, 0, 0) };
    check_long(pid).map(|pid| pid as i32)
}
