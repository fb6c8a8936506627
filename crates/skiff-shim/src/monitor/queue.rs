//! Bytes that wait for a slow reader.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

/// A queue in front of a socket. It does not limit itself: whoever fills it looks at [`Self::len`]
/// first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    sent: usize,
}

/// An empty queue's memory is kept up to this size.
const KEEP: usize = 4096;

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Sends `header` and `body` right away as far as the socket takes them, if nothing waits
    /// before them, and queues the rest.
    pub(super) fn send(
        &mut self,
        socket: impl AsFd,
        header: &[u8],
        body: &[u8],
    ) -> Result<(), Errno> {
        let mut sent = 0;
        if self.is_empty() {
            sent = send_now(socket, &[IoSlice::new(header), IoSlice::new(body)])?;
        }
        let of_header = sent.min(header.len());
        self.push(&header[of_header..]);
        self.push(&body[sent - of_header..]);
        Ok(())
    }

    /// Sends what waits. Returns the number of bytes that went.
    pub(super) fn flush(&mut self, socket: impl AsFd) -> Result<usize, Errno> {
        let mut total = 0;
        while !self.is_empty() {
            let sent = send_now(&socket, &[IoSlice::new(&self.bytes[self.sent..])])?;
            if sent == 0 {
                break;
            }
            self.sent += sent;
            total += sent;
        }
        self.tidy();
        Ok(total)
    }

    fn tidy(&mut self) {
        if self.is_empty() {
            self.sent = 0;
            if self.bytes.capacity() > KEEP {
                self.bytes = Vec::new();
            } else {
                self.bytes.clear();
            }
        } else if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// 0 when the socket takes nothing now.
fn send_now(socket: impl AsFd, parts: &[IoSlice<'_>]) -> Result<usize, Errno> {
    let mut space: [MaybeUninit<u8>; 0] = [];
    let mut nothing = SendAncillaryBuffer::new(&mut space);
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match sendmsg(&socket, parts, &mut nothing, flags) {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(0),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_full_socket_makes_bytes_wait_in_order() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut queue = Queue::default();
        let mut expect = Vec::new();
        for number in 0..200u32 {
            let body = number.to_le_bytes().repeat(4096);
            queue.send(&ours, b"header", &body).unwrap();
            expect.extend_from_slice(b"header");
            expect.extend_from_slice(&body);
        }
        assert!(!queue.is_empty());
        let mut got = vec![0; expect.len()];
        let mut at = 0;
        while at < expect.len() {
            at += theirs.read(&mut got[at..]).unwrap();
            queue.flush(&ours).unwrap();
        }
        assert!(queue.is_empty());
        assert!(got == expect);
    }

    #[test]
    fn a_closed_socket_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(Queue::default().send(&ours, b"", b"x").is_err());
    }
}
