//! Docker's multiplexed stream: frames of `[stream, 0, 0, 0, length: u32 big-endian]` and data.

use std::io::{self, Read, Write};

use rustix::stdio;

/// Stream numbers in a frame's head.
const STDERR: u8 = 2;
const SYSTEM_ERROR: u8 = 3;
const HEAD: usize = 8;

/// Takes a stream apart and writes its parts to our stdout and stderr.
pub(crate) struct Demux {
    /// A raw stream has no frames.
    raw: bool,
    stdout: bool,
    stderr: bool,
    head: [u8; HEAD],
    /// How much of `head` is there.
    filled: usize,
    /// What is left of the current frame.
    left: usize,
    /// An error of the daemon's, collected to be reported at the end of its frame.
    error: Vec<u8>,
}

impl Demux {
    /// A demultiplexer that passes the wanted streams on.
    pub(crate) fn new(raw: bool, stdout: bool, stderr: bool) -> Self {
        Self { raw, stdout, stderr, head: [0; HEAD], filled: 0, left: 0, error: Vec::new() }
    }

    /// Takes the next bytes, cut anywhere.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.raw {
            return if self.stdout { write_all(false, bytes) } else { Ok(()) };
        }
        while !bytes.is_empty() {
            if self.left == 0 {
                let count = (HEAD - self.filled).min(bytes.len());
                self.head[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
                self.filled += count;
                bytes = &bytes[count..];
                if self.filled < HEAD {
                    return Ok(());
                }
                self.start_frame()?;
            }
            let count = self.left.min(bytes.len());
            let (data, rest) = bytes.split_at(count);
            self.deliver(data)?;
            self.left -= count;
            bytes = rest;
            if self.left == 0 {
                self.end_frame()?;
            }
        }
        Ok(())
    }

    fn start_frame(&mut self) -> io::Result<()> {
        if self.head[0] > SYSTEM_ERROR {
            return Err(io::Error::other(format!("Unrecognized input header: {}", self.head[0])));
        }
        let [.., a, b, c, d] = self.head;
        self.left = u32::from_be_bytes([a, b, c, d]) as usize;
        self.filled = 0;
        if self.left == 0 { self.end_frame() } else { Ok(()) }
    }

    fn deliver(&mut self, data: &[u8]) -> io::Result<()> {
        match self.head[0] {
            SYSTEM_ERROR => {
                self.error.extend_from_slice(data);
                Ok(())
            }
            STDERR if self.stderr => write_all(true, data),
            STDERR => Ok(()),
            _ if self.stdout => write_all(false, data),
            _ => Ok(()),
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        if self.head[0] == SYSTEM_ERROR && !self.error.is_empty() {
            let text = String::from_utf8_lossy(&self.error).into_owned();
            return Err(io::Error::other(format!("error from daemon in stream: {text}")));
        }
        Ok(())
    }

    /// Nothing is held back; this is where it would be let go.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes past std's line buffer: the bytes are the container's, as they came.
fn write_all(to_stderr: bool, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let fd = if to_stderr { stdio::stderr() } else { stdio::stdout() };
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => wait_writable(to_stderr)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Somebody else made our stdout non-blocking; wait instead of losing output.
fn wait_writable(to_stderr: bool) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let fd = if to_stderr { stdio::stderr() } else { stdio::stdout() };
    poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None)?;
    Ok(())
}

/// Copies a whole multiplexed (or raw) body to our stdout and stderr.
pub(crate) fn copy_multiplexed(body: &mut dyn Read, raw: bool) -> io::Result<()> {
    let mut demux = Demux::new(raw, true, true);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => demux.feed(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        io::stdout().flush()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_may_be_cut_anywhere() {
        let mut frame = vec![1, 0, 0, 0, 0, 0, 0, 3];
        frame.extend_from_slice(b"abc");
        let mut demux = Demux::new(false, false, false);
        for byte in frame.repeat(2) {
            demux.feed(&[byte]).unwrap();
        }
        assert_eq!((demux.left, demux.filled), (0, 0));
    }

    #[test]
    fn the_daemons_own_errors_end_the_stream() {
        let mut demux = Demux::new(false, true, true);
        let error = demux.feed(&[3, 0, 0, 0, 0, 0, 0, 2, b'n', b'o']).unwrap_err();
        assert_eq!(error.to_string(), "error from daemon in stream: no");
        let mut demux = Demux::new(false, true, true);
        assert!(demux.feed(b"HTTP/1.1 200").is_err());
    }
}
