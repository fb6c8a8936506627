//! The socket on which a runtime hands over the terminal it has made.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, listen, socket_with, sockopt,
};
use skiff_runtime::Stdio;
use skiff_runtime::launch::LaunchError;

use super::bundle::Bundle;
use super::{failed, words};

/// Longest path that a socket's address holds, with its NUL.
const MAX_ADDRESS: usize = 108;

const NAME: &str = "tty";

/// How long a connected runtime may take to hand its terminal over.
const PATIENCE: Duration = Duration::from_secs(5);

/// The listening socket. Its file goes with it.
#[derive(Debug)]
pub(super) struct Console {
    listener: OwnedFd,
    /// Kept open for the path that leads through it.
    _directory: OwnedFd,
    path: OsString,
    file: PathBuf,
}

impl Console {
    /// Listens in the bundle, if a terminal is wanted.
    pub(super) fn of(stdio: &Stdio<'_>, bundle: &Bundle) -> Result<Option<Console>, LaunchError> {
        match stdio {
            Stdio::Terminal { .. } => Console::listen(bundle).map(Some),
            Stdio::Fds { .. } => Ok(None),
        }
    }

    fn listen(bundle: &Bundle) -> Result<Console, LaunchError> {
        let file = bundle.path().join(NAME);
        let made = listen_in(bundle.path());
        let (listener, directory) = made.map_err(words::file("listen on", &file))?;
        let mut path = file.as_os_str().to_owned();
        if path.as_bytes().len() >= MAX_ADDRESS {
            let pid = std::process::id();
            path = format!("/proc/{pid}/fd/{}/{NAME}", directory.as_raw_fd()).into();
        }
        Ok(Console { listener, _directory: directory, path, file })
    }

    /// What the runtime is told.
    pub(super) fn path(&self) -> &OsStr {
        &self.path
    }

    /// The terminal's master side, which a runtime that has done its work has sent.
    pub(super) fn master(self) -> Result<OwnedFd, LaunchError> {
        let none = |error: std::io::Error| {
            failed(format!("the runtime handed over no terminal: {}", words::reason(&error)))
        };
        let socket = accept_with(&self.listener, SocketFlags::CLOEXEC)
            .map_err(|errno| none(errno.into()))?;
        let _ = sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE));
        let mut fds = Vec::new();
        // The bytes with it are a name that nobody needs.
        skiff_sys::socket::receive(socket.as_fd(), &mut [0; 4096], &mut fds).map_err(none)?;
        fds.into_iter().next().ok_or_else(|| none(std::io::ErrorKind::UnexpectedEof.into()))
    }
}

fn listen_in(path: &Path) -> std::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    skiff_sys::socket::bind_at(listener.as_fd(), directory.as_fd(), NAME)?;
    listen(&listener, 1)?;
    Ok((listener, directory))
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
