//! The way into a process: its stdin pipe, or the master side of its terminal.
//!
//! Invariant: at most what one client sent at once waits here; while something waits, nobody reads
//! from clients, so that a slow program slows its clients and not our memory.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::hub::Hub;
use super::poll::{Interest, Source};

#[derive(Debug)]
pub(super) struct Input {
    /// `None`: it never was, or is closed.
    fd: Option<OwnedFd>,
    source: Source,
    /// The first client that closes its side closes ours.
    closes: bool,
    waiting: Vec<u8>,
    /// Close when nothing waits any more.
    closing: bool,
}

impl Input {
    pub(super) fn new(fd: Option<OwnedFd>, source: Source, closes: bool) -> Input {
        Input { fd, source, closes, waiting: Vec::new(), closing: false }
    }

    /// Whether bytes wait that the process has not taken.
    pub(super) fn is_blocked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Passes bytes on; what does not go now waits. Without an open input they are dropped.
    pub(super) fn write(&mut self, hub: &Hub, bytes: &[u8]) {
        let Some(fd) = &self.fd else { return };
        if self.closing {
            return;
        }
        if self.is_blocked() {
            self.waiting.extend_from_slice(bytes);
            return;
        }
        match write_some(fd, bytes) {
            Ok(written) if written == bytes.len() => {}
            Ok(written) => {
                self.waiting.extend_from_slice(&bytes[written..]);
                hub.poll.add(fd, self.source, Interest::OUT);
            }
            Err(_) => self.close(hub),
        }
    }

    /// The process may take more now.
    pub(super) fn on_ready(&mut self, hub: &Hub) {
        let Some(fd) = &self.fd else { return };
        let Ok(written) = write_some(fd, &self.waiting) else { return self.close(hub) };
        self.waiting.drain(..written);
        if !self.is_blocked() {
            hub.poll.remove(fd);
            self.waiting = Vec::new();
            if self.closing {
                self.close(hub);
            }
        }
    }

    /// A client that gives input has closed its side. False if that ends the client itself, as
    /// Docker has it: the input stays open for others.
    pub(super) fn on_client_end(&mut self, hub: &Hub) -> bool {
        if self.closes {
            self.closing = true;
            if !self.is_blocked() {
                self.close(hub);
            }
        }
        self.closes
    }

    pub(super) fn close(&mut self, hub: &Hub) {
        if let Some(fd) = self.fd.take() {
            if self.is_blocked() {
                hub.poll.remove(&fd);
            }
            self.waiting = Vec::new();
        }
    }
}

fn write_some(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::write(fd, &bytes[written..]) {
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
