//! Kernel keyrings.

use std::ffi::CStr;
use std::io;

use crate::check_long;

/// Makes a new session keyring with this name and joins it, so that the process loses access to
/// the keys of the session it came from. Returns its serial number.
///
/// [keyctl(2)](https://man7.org/linux/man-pages/man2/keyctl.2.html)
pub fn join_session(name: &CStr) -> io::Result<i32> {
    // SAFETY: the string is NUL-terminated and outlives the call.
    let serial = unsafe {
        libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr())
    };
    check_long(serial).map(|serial| serial as i32)
}
