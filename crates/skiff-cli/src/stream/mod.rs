//! Streams of a container's process: our stdin to it, its output to us, signals in between.
//!
//! One thread and one `poll`: stdin, the connection and a signal descriptor. Writing to the
//! connection never blocks (otherwise `cat | skiff run -i … cat` could lock up with both sides
//! writing); writing to our own stdout may, because whoever does not read us should slow us down.

mod demux;
mod detach;
mod signals;

use std::io::{self, Read, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::stdio;

pub(crate) use demux::{Demux, copy_multiplexed};
pub(crate) use detach::{DetachKeys, parse_keys};
pub(crate) use signals::{Signals, WINDOW_CHANGED, signal_name};

use crate::client::Connection;

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The other side closed it.
    Closed,
    /// The user typed the detach keys.
    Detached,
}

/// What is connected to what.
pub(crate) struct Pump<'a> {
    pub(crate) connection: Connection,
    /// Whether our stdin is sent.
    pub(crate) stdin: bool,
    /// A terminal's output is one raw stream; otherwise it comes in frames.
    pub(crate) tty: bool,
    /// Watched for in what the user types.
    pub(crate) detach: Option<DetachKeys>,
    pub(crate) signals: Option<&'a Signals>,
    /// Which outputs are wanted.
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

const CHUNK: usize = 64 * 1024;

impl Pump<'_> {
    /// Moves bytes until the other side closes. `on_signal` is called for each signal.
    pub(crate) fn run(
        mut self,
        on_signal: &mut dyn FnMut(i32) -> io::Result<()>,
    ) -> io::Result<End> {
        self.connection.transport.set_nonblocking(true)?;
        let mut demux = Demux::new(self.tty, self.stdout, self.stderr);
        let mut outgoing = Outgoing { bytes: Vec::new(), sent: 0, ended: !self.stdin };
        let mut buffer = vec![0; CHUNK];
        // What the server sent together with its answer comes first.
        if self.receive_buffered(&mut demux, &mut buffer)? {
            return Ok(End::Closed);
        }
        loop {
            let ready = self.wait(&outgoing)?;
            if ready.signal
                && let Some(signals) = self.signals
            {
                while let Some(signal) = signals.next() {
                    on_signal(signal)?;
                }
            }
            if ready.input && self.read_stdin(&mut outgoing, &mut buffer)? {
                return Ok(End::Detached);
            }
            if ready.writable {
                self.flush_outgoing(&mut outgoing)?;
            }
            if ready.readable && self.receive(&mut demux, &mut buffer)? {
                return Ok(End::Closed);
            }
        }
    }

    fn wait(&self, outgoing: &Outgoing) -> io::Result<Ready> {
        if self.connection.transport.has_hidden_input() {
            return Ok(Ready { readable: true, ..Ready::default() });
        }
        let sending = !outgoing.is_empty() || self.connection.transport.has_hidden_output();
        let mut interest = PollFlags::IN;
        interest.set(PollFlags::OUT, sending);
        let mut fds = Vec::with_capacity(3);
        fds.push(PollFd::new(&self.connection.transport, interest));
        let stdin_fd = stdio::stdin();
        // Reading on only when everything was sent bounds memory and keeps the order.
        let read_input = !outgoing.ended && !sending;
        if read_input {
            fds.push(PollFd::new(&stdin_fd, PollFlags::IN));
        }
        if let Some(signals) = self.signals {
            fds.push(PollFd::new(signals, PollFlags::IN));
        }
        loop {
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result.map(|_| ())?,
            }
        }
        let any = |index: usize| !fds[index].revents().is_empty();
        let flags = fds[0].revents();
        Ok(Ready {
            readable: flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR),
            writable: flags.intersects(PollFlags::OUT),
            input: read_input && any(1),
            signal: self.signals.is_some() && any(fds.len() - 1),
        })
    }

    /// Reads what the user typed; true when it was the detach keys.
    fn read_stdin(&mut self, outgoing: &mut Outgoing, buffer: &mut [u8]) -> io::Result<bool> {
        let count = match rustix::io::read(stdio::stdin(), &mut *buffer) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(false),
            // EIO: our terminal went away, or we are in its background.
            Err(_) => 0,
        };
        if count == 0 {
            outgoing.ended = true;
            self.connection.flush()?;
            // The process sees the end of its input, and may go on writing.
            let _ = self.connection.transport.shutdown_write();
            return Ok(false);
        }
        outgoing.bytes.clear();
        outgoing.sent = 0;
        match &mut self.detach {
            Some(keys) => {
                if keys.filter(&buffer[..count], &mut outgoing.bytes) {
                    return Ok(true);
                }
            }
            None => outgoing.bytes.extend_from_slice(&buffer[..count]),
        }
        self.flush_outgoing(outgoing)?;
        Ok(false)
    }

    fn flush_outgoing(&mut self, outgoing: &mut Outgoing) -> io::Result<()> {
        while !outgoing.is_empty() {
            match self.connection.write(&outgoing.bytes[outgoing.sent..]) {
                Ok(count) => outgoing.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // Nobody reads there any more; the output side tells how it ended.
                    outgoing.bytes.clear();
                    outgoing.sent = 0;
                    outgoing.ended = true;
                }
            }
        }
        match self.connection.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn receive_buffered(&mut self, demux: &mut Demux, buffer: &mut [u8]) -> io::Result<bool> {
        while !self.connection.buffered().is_empty() {
            let count = self.connection.read(buffer)?;
            demux.feed(&buffer[..count])?;
        }
        demux.flush()?;
        Ok(false)
    }

    /// Receives once; true when the other side closed.
    fn receive(&mut self, demux: &mut Demux, buffer: &mut [u8]) -> io::Result<bool> {
        match self.connection.read(buffer) {
            Ok(0) => Ok(true),
            Ok(count) => {
                demux.feed(&buffer[..count])?;
                demux.flush()?;
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error),
        }
    }
}

#[derive(Default)]
struct Ready {
    readable: bool,
    writable: bool,
    input: bool,
    signal: bool,
}

/// What was read from stdin and not sent yet.
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    ended: bool,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }
}
