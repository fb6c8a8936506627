//! The four ways bytes travel. Each can be polled, half-closed and used without blocking.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use super::Endpoint;
use super::tls::TlsStream;

/// A connected byte stream.
pub(crate) enum Transport {
    /// A unix socket.
    Unix(UnixStream),
    /// TCP in clear.
    Tcp(TcpStream),
    /// TCP with TLS.
    Tls(Box<TlsStream>),
    /// One end of a socket pair whose other end is ssh's stdin and stdout.
    Ssh(UnixStream, Child),
}

/// Connects to a daemon.
pub(super) fn connect(endpoint: &Endpoint) -> io::Result<Transport> {
    match endpoint {
        Endpoint::Unix(path) => UnixStream::connect(path).map(Transport::Unix),
        Endpoint::Tcp(address) => tcp(address).map(Transport::Tcp),
        Endpoint::Tls(address, files) => {
            let stream = TlsStream::connect(tcp(address)?, address, files)?;
            Ok(Transport::Tls(Box::new(stream)))
        }
        Endpoint::Ssh { arguments, .. } => {
            let (ours, theirs) = UnixStream::pair()?;
            let output = theirs.try_clone()?;
            let child = Command::new("ssh")
                .args(arguments)
                .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
                .stdout(Stdio::from(std::os::fd::OwnedFd::from(output)))
                .spawn()?;
            Ok(Transport::Ssh(ours, child))
        }
    }
}

fn tcp(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Transport {
    /// Says that no more bytes will be sent; the other direction stays open.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(stream) | Self::Ssh(stream, _) => stream.shutdown(Shutdown::Write),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => stream.close_notify(),
        }
    }

    /// Switches between blocking and non-blocking operation.
    pub(crate) fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Unix(stream) | Self::Ssh(stream, _) => stream.set_nonblocking(on),
            Self::Tcp(stream) => stream.set_nonblocking(on),
            Self::Tls(stream) => stream.set_nonblocking(on),
        }
    }

    /// Bytes that were received but sit in a buffer `poll` cannot see.
    pub(crate) fn has_hidden_input(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.has_plaintext(),
            _ => false,
        }
    }

    /// Bytes that were accepted by `write` but are not on the wire yet.
    pub(crate) fn has_hidden_output(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.wants_write(),
            _ => false,
        }
    }

    /// Sends from a file without passing through our memory where the kernel can do that.
    pub(super) fn send_file(&mut self, file: &mut std::fs::File) -> io::Result<u64> {
        match self {
            Self::Unix(stream) | Self::Ssh(stream, _) => io::copy(file, stream),
            Self::Tcp(stream) => io::copy(file, stream),
            Self::Tls(stream) => io::copy(file, stream),
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) | Self::Ssh(stream, _) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.as_fd(),
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) | Self::Ssh(stream, _) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) | Self::Ssh(stream, _) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.flush(),
            _ => Ok(()),
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        // Closing our end lets ssh end by itself; reaping it leaves no zombie.
        if let Self::Ssh(stream, child) = self {
            let _ = stream.shutdown(Shutdown::Both);
            let _ = child.wait();
        }
    }
}
