//! One connection: a transport and what was read from it too early.

use std::io::{self, Read, Write};

use super::Transport;
use super::response::Head;

/// How much is read at once. Log and archive streams are large, and a large buffer that is never
/// touched costs nothing.
const CHUNK: usize = 64 * 1024;
/// No daemon's head is larger; a peer that sends more is not one.
const LARGEST_HEAD: usize = 256 * 1024;

/// A connection with its read buffer.
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    buffer: Vec<u8>,
    /// Where the unread part of `buffer` starts.
    start: usize,
}

impl Connection {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, buffer: Vec::new(), start: 0 }
    }

    /// The bytes that were read and not taken.
    pub(crate) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Takes bytes off the front of what is buffered.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        }
    }

    /// Reads more into the buffer; 0 means the peer closed.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let length = self.buffer.len();
        self.buffer.resize(length + CHUNK, 0);
        let result = loop {
            match self.transport.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.buffer.truncate(length + *result.as_ref().unwrap_or(&0));
        result
    }

    /// Reads the head of an answer.
    pub(super) fn read_head(&mut self) -> io::Result<Head> {
        loop {
            if let Some((head, length)) = Head::parse(self.buffered())? {
                self.consume(length);
                // Informational answers precede the real one; 101 is a real one.
                if head.status >= 200 || head.status == 101 {
                    return Ok(head);
                }
                continue;
            }
            if self.buffered().len() > LARGEST_HEAD {
                return Err(io::Error::other("the daemon's answer has an endless head"));
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Whether the peer has already sent something, waiting a moment for it.
    pub(super) fn has_input(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        if !self.buffered().is_empty() || self.transport.has_hidden_input() {
            return true;
        }
        let mut fds = [PollFd::new(&self.transport, PollFlags::IN)];
        let moment = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        poll(&mut fds, Some(&moment)).is_ok_and(|ready| ready > 0)
    }
}

impl Read for Connection {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.buffered().is_empty() {
            return self.transport.read(out);
        }
        let count = self.buffered().len().min(out.len());
        out[..count].copy_from_slice(&self.buffered()[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.transport.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.transport.flush()
    }
}
