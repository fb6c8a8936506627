//! The engine's end of a connection to a container's monitor, asynchronous.
//!
//! Connecting to the keeper's socket gives an idle monitor; connecting to a monitor's own socket
//! joins the conversation of a running container. Frames are `skiff-shim`'s.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use skiff_shim::frame::{FrameReader, frame, send_with_fds};
use skiff_shim::protocol::{MONITOR_SOCKET, Message, Op, Request};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Name of the keeper's socket in the exec root.
pub(crate) const KEEPER_SOCKET: &str = "keeper.sock";

/// How long a monitor may take to accept a request before it counts as gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait before the next attempt to connect to one that has no room for us.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// A connected monitor.
pub(crate) struct Monitor {
    stream: UnixStream,
    frames: FrameReader,
    seq: u64,
}

impl Monitor {
    /// Gets an idle monitor from the keeper.
    pub(crate) async fn idle(exec_root: &Path) -> io::Result<Monitor> {
        Monitor::connect(exec_root, KEEPER_SOCKET).await
    }

    /// Joins the monitor of the container with this run directory.
    pub(crate) async fn of_container(run_dir: &Path) -> io::Result<Monitor> {
        Monitor::connect(run_dir, MONITOR_SOCKET).await
    }

    /// Who listens at a container's socket: its monitor. (Idle ones accept on the keeper's.)
    pub(crate) fn peer(&self) -> Option<i32> {
        self.stream.peer_cred().ok()?.pid()
    }

    async fn connect(dir: &Path, name: &str) -> io::Result<Monitor> {
        let mut pause = FIRST_PAUSE;
        loop {
            match connect_now(dir, name) {
                // The queue of connections not yet accepted is full.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error),
                Ok(socket) => {
                    let stream = UnixStream::from_std(socket.into())?;
                    return Ok(Monitor { stream, frames: FrameReader::default(), seq: 0 });
                }
            }
        }
    }

    /// Sends a request with its descriptors; gives its number, which the reply will carry.
    pub(crate) async fn send(&mut self, op: Op, fds: &[BorrowedFd<'_>]) -> io::Result<u64> {
        self.seq += 1;
        let bytes = frame(&Request { seq: self.seq, op }).map_err(io::Error::other)?;
        tokio::time::timeout(SEND_TIMEOUT, self.send_bytes(&bytes, fds))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(self.seq)
    }

    async fn send_bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            let fds = if sent == 0 { fds } else { &[] };
            let write = || {
                let flags = rustix::net::SendFlags::DONTWAIT;
                Ok(send_with_fds(self.stream.as_fd(), &bytes[sent..], fds, flags)?)
            };
            sent += self.stream.async_io(Interest::WRITABLE, write).await?;
        }
        Ok(())
    }

    /// The next message; `None` when the monitor is gone. May be dropped and called again at any
    /// point without losing anything.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Message>> {
        loop {
            if let Some(message) = self.frames.next().map_err(io::Error::other)? {
                return Ok(Some(message));
            }
            self.stream.readable().await?;
            // Not before: what lives across the wait is part of every driver.
            let mut buffer = [0; 4096];
            match self.stream.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => self.frames.push(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether connecting failed because there is nobody, and not for want of something.
pub(crate) fn nobody_listens(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Connects without waiting. The address is relative to the directory, whose own path may be
/// longer than a socket address can hold.
fn connect_now(dir: &Path, name: &str) -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let dir = std::fs::File::open(dir)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    skiff_sys::socket::connect_at(socket.as_fd(), dir.as_fd(), name)?;
    Ok(socket)
}
