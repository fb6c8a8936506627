//! The terminal of a foreground container, joined to our own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use skiff_sys::process as sys;
use skiff_sys::signals::SignalFd;

use super::run::exit_byte;
use super::{CommandError, Result};

/// SIGCHLD
const CHILD: i32 = 17;
/// SIGWINCH
const WINDOW: i32 = 28;

/// Our terminal, raw as long as this lives.
struct Raw(Option<Termios>);

impl Raw {
    fn new() -> Self {
        let stdin = rustix::stdio::stdin();
        let before = if isatty(stdin) { tcgetattr(stdin).ok() } else { None };
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(stdin, OptionalActions::Now, &raw);
        }
        Self(before)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Copies between our streams and the terminal until the process has ended and all it wrote is
/// out. Returns its exit status. Signals must be blocked.
pub(super) fn terminal(console: &OwnedFd, pidfd: BorrowedFd<'_>) -> Result<u8> {
    let fail = |error: std::io::Error| CommandError::io("serve the terminal", error);
    let all: Vec<i32> = (1..=64).collect();
    let signals = SignalFd::new(&all).map_err(fail)?;
    let _raw = Raw::new();
    copy_size(console);
    let mut ended = None;
    let mut input = true;
    loop {
        let stdin = rustix::stdio::stdin();
        let mut fds =
            vec![PollFd::new(console, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        if input {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => drop(other.map_err(|error| fail(error.into()))?),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        // A terminal whose other side is closed everywhere reads as an error: all is out.
        if ready[0] && !copy(console.as_fd(), rustix::stdio::stdout()) {
            break;
        }
        if ready.get(2) == Some(&true) {
            input = copy(stdin, console.as_fd());
        }
        while let Some(signal) = signals.read() {
            match signal {
                CHILD => {}
                WINDOW => copy_size(console),
                other => drop(sys::send_signal(pidfd, other)),
            }
        }
        if ended.is_none() {
            ended = sys::wait(pidfd, false).map_err(fail)?;
        }
    }
    let exit = match ended {
        Some(exit) => Some(exit),
        None => sys::wait(pidfd, true).map_err(fail)?,
    };
    Ok(exit.map_or(u8::MAX, exit_byte))
}

fn copy_size(console: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = tcsetwinsize(console, size);
    }
}

/// Copies what is there. Says whether more may come.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 16384];
    let length = match rustix::io::read(from, &mut buffer) {
        Ok(0) => return false,
        Ok(length) => length,
        Err(Errno::AGAIN | Errno::INTR) => return true,
        Err(_) => return false,
    };
    let mut left = &buffer[..length];
    while !left.is_empty() {
        match rustix::io::write(to, left) {
            Ok(written) => left = &left[written..],
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}
