//! A minimal process 1: starts the program as its child, passes every signal on to it, reaps what
//! the container's processes leave behind, and ends with the program's exit status.
//!
//! The built-in runtime becomes it without an exec ([`run`]). Other runtimes execute it in the
//! container, where it is bound to [`PATH`] ([`main`]).

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{DumpableBehavior, Pid, set_dumpable_behavior};
use rustix::thread::{self, CapabilitySet, CapabilitySets};
use skiff_sys::clone::{self, CloneRequest};
use skiff_sys::exec::StringArray;
use skiff_sys::fork::{Fork, fork};
use skiff_sys::process::{self, Exit};
use skiff_sys::{fds, signal};

use crate::facts;
use crate::failure::failed;
use crate::launch::{LaunchError, LaunchErrorKind};

/// Number of SIGCHLD.
const CHILD: i32 = 17;

/// Tells the child to go on. SIGUSR1, but any would do.
const GO: i32 = 10;

/// Name shown by `ps`.
const NAME: &std::ffi::CStr = c"docker-init";

/// What it is called in `/proc/1/cmdline`.
const COMMAND: &std::ffi::CStr = c"/sbin/docker-init";

/// Where it is in containers of other runtimes.
pub const PATH: &str = "/sbin/docker-init";

/// Runs as process 1: the arguments are those after the name, `-- PROGRAM ARGUMENTS`.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().skip_while(|arg| arg == "--");
    let Some(program) = args.next() else {
        let _ = writeln!(io::stderr(), "usage: docker-init -- PROGRAM [ARGUMENT...]");
        return ExitCode::from(1);
    };
    let mut command = Command::new(&program);
    command.args(args);
    let execute = || {
        let _ = signal::reset_all();
        // It comes back only when it cannot.
        let error = command.exec();
        let kind = match error.kind() {
            io::ErrorKind::NotFound => LaunchErrorKind::NotFound,
            _ => LaunchErrorKind::NotExecutable,
        };
        let failure = failed(format_args!("exec {}", program.display()), error);
        LaunchError { kind, ..failure }
    };
    let give_up = |error: &LaunchError| {
        say(error);
        clone::exit(if error.kind == LaunchErrorKind::NotFound { 127 } else { 126 })
    };
    say(&serve(spawn_old, execute, give_up));
    ExitCode::from(1)
}

fn say(error: &LaunchError) {
    // Without a place for words there is still the exit code.
    let _ = writeln!(io::stderr(), "docker-init: {error}");
}

/// Runs `program`, which executes and returns only on failure, as the child of this init. Returns
/// only when there is no child; what the child fails with goes to `fail`. Others see it as if it
/// had been executed with the program's `args`.
pub(crate) fn run(
    args: &StringArray,
    program: impl FnOnce() -> LaunchError,
    fail: impl FnOnce(&LaunchError),
) -> LaunchError {
    let spawn = |body: Body<'_>| {
        let child = clone::spawn(CloneRequest::default(), body)?;
        // The number is enough for a parent that does not reap before it is done with it.
        std::mem::forget(child.pidfd);
        Ok(child.pid)
    };
    // The program's child is made from this process and has its own arguments soon.
    if let Some(line) = facts::host().command_line {
        let words = [COMMAND, c"--"].into_iter().chain(args.as_slice().iter().map(AsRef::as_ref));
        line.replace(words);
    }
    serve(spawn, program, fail)
}

/// What a child does; gives its exit status.
type Body<'a> = &'a mut dyn FnMut() -> i32;

/// Makes a child as it was done of old: where a seccomp filter is in force already, `clone3(2)`
/// does not exist.
fn spawn_old(body: Body<'_>) -> io::Result<i32> {
    match fork()? {
        Fork::Parent(pid) => Ok(pid),
        Fork::Child => clone::exit(body()),
    }
}

fn serve(
    spawn: impl FnOnce(Body<'_>) -> io::Result<i32>,
    program: impl FnOnce() -> LaunchError,
    fail: impl FnOnce(&LaunchError),
) -> LaunchError {
    if let Err(error) = signal::block_all() {
        return failed("block signals", error);
    }
    let mut once = Some((program, fail));
    let child = spawn(&mut || {
        let Some((program, fail)) = once.take() else { return 1 };
        lead_terminal();
        // All signals are blocked, and only init has a reason to send one this early.
        let _ = signal::wait_any();
        fail(&program());
        1
    });
    match child {
        Err(error) => failed("start the program under init", error),
        Ok(child) => {
            // Everything, so that whoever waits for the program's execution sees the end.
            let closed = fds::close_from(3);
            let _ = rustix::process::chdir("/");
            let _ = rustix::thread::set_name(NAME);
            if closed.is_ok() {
                show();
            }
            // Now, so that even the program's first instruction finds its process 1 as it stays.
            let _ = process::kill(child, GO);
            clone::exit(attend(child))
        }
    }
}

/// Lets the container look into its process 1, as programs do that write to `/proc/1/fd/1` or read
/// `/proc/1/ns`. What there is to see is the container's: no descriptor but the three streams, no
/// rights but the user's, no environment, and an executable that cannot be written to. Without
/// that last one, or if rights cannot be dropped, it stays closed. Of the monitor, whose copy it
/// is, its memory still has the container's own launch and the paths it works with.
fn show() {
    process::erase_environment();
    if facts::host().sealed && drop_rights().is_ok() {
        let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    }
}

/// Keeps what the kernel would leave a user other than root after `execve(2)`. Root keeps all.
fn drop_rights() -> rustix::io::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let sets = thread::capabilities(None)?;
    let mut kept = CapabilitySet::empty();
    for capability in sets.permitted {
        if thread::capability_is_in_ambient_set(capability)? {
            kept |= capability;
        }
    }
    thread::set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, ..sets })
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
