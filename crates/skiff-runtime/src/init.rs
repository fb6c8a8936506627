//! A minimal process 1: starts the program as its child, passes every signal on to it, reaps what
//! the container's processes leave behind, and ends with the program's exit status.

use std::io;

use rustix::process::Pid;
use skiff_sys::clone::{self, CloneRequest};
use skiff_sys::process::{self, Exit};
use skiff_sys::{fds, signal};

use crate::failure::failed;
use crate::launch::LaunchError;

/// Number of SIGCHLD.
const CHILD: i32 = 17;

/// Name shown by `ps`.
const NAME: &std::ffi::CStr = c"docker-init";

/// Runs `program`, which executes and returns only on failure, as the child of this init. Returns
/// only when there is no child; what the child fails with goes to `fail`.
pub(crate) fn run(
    program: impl FnOnce() -> LaunchError,
    fail: impl FnOnce(&LaunchError),
) -> LaunchError {
    if let Err(error) = signal::block_all() {
        return failed("block signals", error);
    }
    let child = clone::spawn(CloneRequest::default(), || {
        lead_terminal();
        fail(&program());
        1
    });
    match child {
        Err(error) => failed("start the program under init", error),
        Ok(child) => {
            // The number is enough for a parent that does not reap before it is done with it.
            std::mem::forget(child.pidfd);
            // Everything, so that whoever waits for the program's execution sees the end.
            let _ = fds::close_from(3);
            let _ = rustix::process::chdir("/");
            let _ = rustix::thread::set_name(NAME);
            clone::exit(attend(child.pid))
        }
    }
}

/// Gives the program a process group of its own and the terminal, if there is one, so that ^C
/// goes to it and not to init.
fn lead_terminal() {
    if rustix::process::setpgid(None, None).is_ok() {
        // No terminal, or not ours: nothing to lead.
        let own: Pid = rustix::process::getpid();
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), own);
    }
}

/// Serves until the program ends. Returns its exit status.
fn attend(program: i32) -> i32 {
    loop {
        match signal::wait_any() {
            Ok(CHILD) => {
                if let Some(exit) = reap(program) {
                    return exit.shell_code();
                }
            }
            // The child is unreaped, so the number is its own.
            Ok(signal) => drop(process::kill(program, signal)),
            Err(_) => return 1,
        }
    }
}

/// Reaps all that have ended; returns how the program did, if it is among them.
fn reap(program: i32) -> Option<Exit> {
    let mut end = None;
    loop {
        match process::wait_any(false) {
            Ok(Some((pid, exit))) if pid == program => end = Some(exit),
            Ok(Some(_)) => {}
            Ok(None) => return end,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return end,
        }
    }
}
