//! The fence around `unsafe`: system calls that change kernel state and have no safe wrapper in
//! `rustix`, plus the two or three that need a policy-free helper around them (in-root path
//! resolution, descriptors over sockets).
//!
//! Borrowed descriptors in, owned ones out, `io::Result` always. No policy, no logging, no
//! serialisation: what to do and when is decided by the callers.

#![expect(unsafe_code, reason = "this crate is where the workspace keeps it")]

pub mod bpf;
pub mod clone;
pub mod exec;
pub mod fds;
pub mod fork;
pub mod keyring;
pub mod memfd;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod pages;
pub mod process;
pub mod resolve;
pub mod seccomp;
pub mod signal;
pub mod signals;
pub mod socket;

use std::io;

/// Turns a libc return value into a result.
fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}

/// Turns the return value of `syscall(2)` into a result.
fn check_long(returned: libc::c_long) -> io::Result<libc::c_long> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
