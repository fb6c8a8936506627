//! Signals at the start of a program and in a container's init. Those of the resident processes
//! are in [`crate::signals`].

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::check;

/// Highest signal number of Linux.
const LAST: libc::c_int = 64;

/// Gives every signal its default action and unblocks all, as a program expects to be started.
/// Programs inherit ignored signals and the mask; Rust's start-up ignores SIGPIPE, for one.
pub fn reset_all() -> io::Result<()> {
    for signal in 1..=LAST {
        // SIGKILL, SIGSTOP and the two that libc keeps for itself refuse, which is fine.
        // SAFETY: SIG_DFL is no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    set_mask(&empty_set())
}

/// Has a command begin as [`reset_all`] leaves a process: those whose signals are blocked start
/// programs whose signals are blocked, too, down to the last one.
pub fn reset_in_child(command: &mut Command) {
    // SAFETY: the closure makes system calls only, and allocates and locks nothing.
    unsafe { command.pre_exec(reset_all) };
}

/// Blocks every signal that can be blocked.
pub fn block_all() -> io::Result<()> {
    set_mask(&full_set())
}

/// Waits for any blocked signal and takes it. Returns its number.
///
/// [sigwaitinfo(2)](https://man7.org/linux/man-pages/man2/sigwaitinfo.2.html)
pub fn wait_any() -> io::Result<i32> {
    let set = full_set();
    loop {
        // SAFETY: `set` is initialised; a null siginfo is allowed.
        match check(unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn set_mask(set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `set` is initialised; a null old mask is allowed.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const *set, std::ptr::null_mut()) })
        .map(drop)
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set and cannot fail.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    unsafe { set.assume_init() }
}

fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigfillset initialises the set and cannot fail.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above.
    unsafe { set.assume_init() }
}
