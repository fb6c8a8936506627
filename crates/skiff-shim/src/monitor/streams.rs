//! The two ends of a process's standard streams.
//!
//! Invariant: our ends are nonblocking and the process's are not, and no end is inherited by
//! accident. Pipes begin at the kernel's size and grow when output fills them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Gid, OFlags, Uid, fchown};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use skiff_model::oci::ConsoleSize;
use skiff_runtime::Stdio;

/// Our ends.
#[derive(Debug, Default)]
pub(super) struct Ours {
    pub(super) input: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// What a process is to be started with.
#[derive(Debug)]
pub(super) enum Streams<'a> {
    Pipes { stdin: End<'a>, stdout: End<'a>, stderr: End<'a>, ours: Ours },
    Terminal { size: Option<ConsoleSize>, input: bool },
}

/// The process's end of one stream.
#[derive(Debug)]
pub(super) enum End<'a> {
    Null(BorrowedFd<'a>),
    Pipe(OwnedFd),
}

impl AsFd for End<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            End::Null(fd) => *fd,
            End::Pipe(fd) => fd.as_fd(),
        }
    }
}

impl<'a> Streams<'a> {
    /// A terminal; `input` if clients may type.
    pub(super) fn terminal(size: Option<ConsoleSize>, input: bool) -> Streams<'a> {
        Streams::Terminal { size, input }
    }

    /// Pipes for output, and for input if it is to be open.
    pub(super) fn pipes(null: BorrowedFd<'a>, input: bool) -> Result<Streams<'a>, Errno> {
        let (stdout_ours, stdout) = pipe()?;
        let (stderr_ours, stderr) = pipe()?;
        set_nonblocking(&stdout_ours)?;
        set_nonblocking(&stderr_ours)?;
        let mut ours = Ours { input: None, stdout: Some(stdout_ours), stderr: Some(stderr_ours) };
        let mut stdin = End::Null(null);
        if input {
            let (theirs, end) = pipe()?;
            set_nonblocking(&end)?;
            ours.input = Some(end);
            stdin = End::Pipe(theirs);
        }
        Ok(Streams::Pipes { stdin, stdout: End::Pipe(stdout), stderr: End::Pipe(stderr), ours })
    }

    /// No streams at all.
    pub(super) fn null(null: BorrowedFd<'a>) -> Streams<'a> {
        Streams::Pipes {
            stdin: End::Null(null),
            stdout: End::Null(null),
            stderr: End::Null(null),
            ours: Ours::default(),
        }
    }

    /// Makes the root of a container's user namespace the owner of the process's ends, which could
    /// not open its own streams otherwise, nor give them to its user.
    pub(super) fn give_to(&self, owner: Option<(u32, u32)>) -> Result<(), Errno> {
        let (Streams::Pipes { stdin, stdout, stderr, .. }, Some((uid, gid))) = (self, owner) else {
            return Ok(());
        };
        for end in [stdin, stdout, stderr] {
            if let End::Pipe(pipe) = end {
                fchown(pipe, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            }
        }
        Ok(())
    }

    /// What the runtime is told.
    pub(super) fn stdio(&self) -> Stdio<'_> {
        match self {
            Streams::Pipes { stdin, stdout, stderr, .. } => {
                Stdio::Fds { stdin: stdin.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() }
            }
            Streams::Terminal { size, .. } => Stdio::Terminal { size: *size },
        }
    }

    /// Our ends, after the process was started; closes its ends. `console` is the terminal that
    /// the runtime made.
    pub(super) fn into_ours(self, console: Option<&OwnedFd>) -> Result<Ours, Errno> {
        match self {
            Streams::Pipes { ours, .. } => Ok(ours),
            Streams::Terminal { input, .. } => {
                let Some(console) = console else { return Ok(Ours::default()) };
                set_nonblocking(console)?;
                // Copies, because each is waited for by itself.
                let copy = || console.try_clone().map_err(|_| Errno::MFILE);
                let input = if input { Some(copy()?) } else { None };
                Ok(Ours { input, stdout: Some(copy()?), stderr: None })
            }
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    pipe_with(PipeFlags::CLOEXEC)
}

fn set_nonblocking(fd: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fcntl_setfl(fd, OFlags::NONBLOCK)
}
