//! `seccomp(2)`: installing a filter on the calling thread.
//!
//! Compiling filters is not done here.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::{check, check_long};

/// Size of `struct sock_filter`.
pub const INSTRUCTION_SIZE: usize = 8;

/// `SECCOMP_FILTER_FLAG_TSYNC`.
pub const FLAG_TSYNC: u32 = 1;
/// `SECCOMP_FILTER_FLAG_LOG`.
pub const FLAG_LOG: u32 = 1 << 1;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
pub const FLAG_SPEC_ALLOW: u32 = 1 << 2;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
pub const FLAG_NEW_LISTENER: u32 = 1 << 3;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (Linux 5.19).
pub const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// Installs a filter: `struct sock_filter` instructions in native byte order. With
/// [`FLAG_NEW_LISTENER`] the result is the descriptor of its notifications. The caller has
/// CAP_SYS_ADMIN or has set no_new_privs. Only system calls, no allocation: fit for a cloned child.
pub fn set_filter(program: &[u8], flags: u32) -> io::Result<Option<OwnedFd>> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    if !program.len().is_multiple_of(INSTRUCTION_SIZE) {
        return Err(invalid());
    }
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len() / INSTRUCTION_SIZE).map_err(|_| invalid())?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `filter` points to `len` instructions of eight bytes, all inside `program`. The kernel
    // copies them from user memory bytewise, so their alignment does not matter, and writes nothing.
    let returned = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter)
    };
    let returned = check_long(returned)?;
    if flags & FLAG_NEW_LISTENER == 0 {
        if returned > 0 {
            // FLAG_TSYNC names the thread that could not be synchronised.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        return Ok(None);
    }
    // SAFETY: with this flag the kernel returns a descriptor it just made for us.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(returned as RawFd) }))
}

/// Tells whether the kernel knows an action (`SECCOMP_RET_*`), as `SECCOMP_GET_ACTION_AVAIL`.
pub fn action_available(action: u32) -> bool {
    // SAFETY: the kernel reads four bytes at the pointer, which is a live `u32`.
    let returned = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    returned == 0
}

/// Sets no_new_privs on the calling thread.
pub fn set_no_new_privileges() -> io::Result<()> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}
