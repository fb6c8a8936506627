//! The socket by which daemons that come later find a container's monitor.
//!
//! Invariant: its name is there only while its monitor listens, and no monitor ever removes another's:
//! the name goes before the daemon hears that the same container may be launched again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, listen, socket_with};

use crate::client::connect_monitor;
use crate::protocol::MONITOR_SOCKET;

/// Daemons that may wait to be accepted: each that started while the monitor had no time.
const BACKLOG: i32 = 4096;

#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Listens in a run directory, whose path may be longer than an address can be.
    pub(super) fn open(run_dir: &Path) -> io::Result<Listener> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // The file gets the socket's own mode.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(run_dir, flags, Mode::empty())?;
        let bind = || skiff_sys::socket::bind_at(socket.as_fd(), directory.as_fd(), MONITOR_SOCKET);
        let path = run_dir.join(MONITOR_SOCKET);
        match bind() {
            // What a monitor that was killed has left; one that lives has the container.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_dead(run_dir) => {
                std::fs::remove_file(&path).and_then(|()| bind())
            }
            bound => bound,
        }?;
        let listener = Listener { socket, path };
        listen(&listener.socket, BACKLOG)?;
        Ok(listener)
    }

    pub(super) fn accept(&self) -> io::Result<OwnedFd> {
        Ok(accept_with(&self.socket, SocketFlags::CLOEXEC)?)
    }
}

fn is_dead(run_dir: &Path) -> bool {
    connect_monitor(run_dir).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The daemon may have cleared the directory.
        let _ = std::fs::remove_file(&self.path);
    }
}
