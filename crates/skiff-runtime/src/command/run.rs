//! `run`: create, start and, in the foreground, wait and delete.

use std::os::fd::AsFd;
use std::process::ExitCode;

use skiff_sys::{process as sys, signal, signals};

use super::args::{Flag, Parsed};
use super::create::Creation;
use super::{CommandError, Global, Result, Verb, delete, protect, relay};
use crate::container::{self, Gate};

pub(super) static VERB: Verb = Verb {
    name: "run",
    about: "create and run a container",
    usage: "[command options] <container-id>",
    flags: &[
        Flag::value("bundle").short("b"),
        Flag::value("console-socket"),
        Flag::value("pidfd-socket"),
        Flag::switch("detach").short("d"),
        Flag::switch("keep"),
        Flag::value("pid-file"),
        Flag::switch("no-subreaper"),
        Flag::switch("no-pivot"),
        Flag::switch("no-new-keyring"),
        Flag::value("preserve-fds"),
    ],
    flags_anywhere: true,
    arguments: (1, 1),
    run,
};

fn run(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    protect::ensure()?;
    let creation = Creation::new(global, parsed)?;
    let detach = parsed.has("detach");
    let socket = creation.console_socket.is_some();
    if detach && creation.wants_terminal() && !socket {
        return Err(CommandError::new(
            "cannot allocate tty if runc will detach without setting console socket",
        ));
    }
    if socket && !(detach && creation.wants_terminal()) {
        return Err(CommandError::new(
            "cannot use console socket if runc will not detach or allocate tty",
        ));
    }
    if !detach {
        // From here on a signal is for the container.
        signals::block_all().map_err(|error| CommandError::io("block signals", error))?;
    }
    let claim = global.store.claim(parsed.id())?;
    let (container, mut started) = creation.launch(claim, Gate::Open)?;
    creation.hand_console(started.console.as_ref())?;
    creation.announce(started.pid, started.pidfd.as_fd())?;
    if detach {
        return Ok(ExitCode::SUCCESS);
    }
    let code = attend(&mut started)?;
    if !parsed.has("keep") {
        delete::destroy(global, container)?;
    }
    Ok(ExitCode::from(code))
}

/// Serves a foreground container until it ends. Returns its exit status.
fn attend(started: &mut container::Container) -> Result<u8> {
    let pidfd = started.pidfd.as_fd();
    match started.console.take() {
        Some(console) => relay::terminal(&console, pidfd),
        None => pass_signals(pidfd),
    }
}

/// Passes signals on until the process ends. Returns its exit status.
pub(super) fn pass_signals(pidfd: std::os::fd::BorrowedFd<'_>) -> Result<u8> {
    /// SIGCHLD
    const CHILD: i32 = 17;
    let fail = |error| CommandError::io("wait for the container", error);
    loop {
        // Asked first: the signal of its end may have been merged with an earlier one.
        if let Some(exit) = sys::wait(pidfd, false).map_err(fail)? {
            return Ok(exit_byte(exit));
        }
        match signal::wait_any().map_err(fail)? {
            CHILD => {}
            // It may have ended just now; then the next turn sees it.
            other => drop(sys::send_signal(pidfd, other)),
        }
    }
}

/// An exit status as this process's own.
pub(super) fn exit_byte(exit: sys::Exit) -> u8 {
    u8::try_from(exit.shell_code() & 0xff).unwrap_or(u8::MAX)
}
