//! Frames on the wire: how protocol values become bytes and come back, and how descriptors travel
//! with them.
//!
//! Invariant: a reader never holds more than one frame's worth of bytes beyond what it has been
//! given, and whatever a peer sends ends in a value or a [`FrameError`]. What the values mean is
//! `protocol`'s business.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::MAX_FRAME;

/// Most descriptors one message can carry (the kernel's `SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

const LENGTH: usize = 4;

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    #[error("frame is not what the protocol says")]
    Malformed(#[source] serde_json::Error),
}

/// Encodes one value as a frame.
///
/// # Errors
///
/// When the value's JSON is longer than [`MAX_FRAME`].
pub fn frame<T: Serialize>(value: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; LENGTH];
    serde_json::to_writer(&mut bytes, value).map_err(FrameError::Malformed)?;
    let len = bytes.len() - LENGTH;
    match u32::try_from(len) {
        Ok(short) if len <= MAX_FRAME => {
            bytes[..LENGTH].copy_from_slice(&short.to_le_bytes());
            Ok(bytes)
        }
        _ => Err(FrameError::TooLong(len)),
    }
}

/// Puts frames together again from whatever pieces arrive.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    /// Bytes at the front that belong to frames already handed out.
    used: usize,
}

impl FrameReader {
    /// Takes bytes in the order they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used > 0 {
            self.bytes.drain(..self.used);
            self.used = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Decodes the next whole frame; `None` until one is complete.
    ///
    /// # Errors
    ///
    /// When the bytes are not a frame; nothing that follows can be trusted then.
    #[allow(clippy::should_implement_trait, reason = "it is generic and can fail")]
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let rest = &self.bytes[self.used..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let value = serde_json::from_slice(body).map_err(FrameError::Malformed)?;
        self.used += LENGTH + length;
        if self.used == self.bytes.len() {
            self.forget();
        }
        Ok(Some(value))
    }

    /// Whether a frame has begun that is not complete.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.used < self.bytes.len()
    }

    /// Everything was handed out: keep a small buffer, give a large one back.
    fn forget(&mut self) {
        self.used = 0;
        if self.bytes.capacity() > 4096 {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
    }
}

/// Sends bytes with descriptors that arrive together with the first of them. Returns how many
/// bytes were sent, 1 at least: the descriptors are gone then, the rest goes by plain writes.
///
/// # Errors
///
/// `EAGAIN` with a nonblocking socket or `MSG_DONTWAIT`, and whatever `sendmsg(2)` says.
pub fn send_with_fds(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::TOOMANYREFS);
    }
    let flags = flags | SendFlags::NOSIGNAL;
    loop {
        match sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Receives bytes and the descriptors that came with them. 0 bytes is the end of the stream.
///
/// # Errors
///
/// Whatever `recvmsg(2)` says.
pub fn recv_with_fds(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut VecDeque<OwnedFd>,
    flags: RecvFlags,
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{Op, Request};

    fn hello(seq: u64) -> Vec<u8> {
        frame(&Request { seq, op: Op::Hello }).unwrap()
    }

    #[test]
    fn frames_come_out_in_order_however_they_are_cut() {
        let stream: Vec<u8> = (0..20).flat_map(hello).collect();
        for piece in [1, 2, 3, 7, 64, stream.len()] {
            let mut reader = FrameReader::default();
            let mut seqs = Vec::new();
            for bytes in stream.chunks(piece) {
                reader.push(bytes);
                while let Some(request) = reader.next::<Request>().unwrap() {
                    seqs.push(request.seq);
                }
            }
            assert_eq!(seqs, (0..20).collect::<Vec<_>>());
            assert!(!reader.is_partial());
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_anything_is_kept() {
        let mut reader = FrameReader::default();
        reader.push(&u32::MAX.to_le_bytes());
        assert!(matches!(reader.next::<Request>(), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let body = br#"{"seq":3,"op":"hello","later":{"x":[1]}}"#;
        let mut bytes = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(body);
        let mut reader = FrameReader::default();
        reader.push(&bytes);
        assert_eq!(reader.next::<Request>().unwrap().unwrap().seq, 3);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next::<Request>() {}
        }

        #[test]
        fn a_changed_frame_is_a_value_or_an_error(at in 0usize..60, to: u8, cut in 0usize..60) {
            let mut bytes = hello(17);
            let at = at % bytes.len();
            bytes[at] = to;
            bytes.truncate(bytes.len() - cut % bytes.len());
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            let _ = reader.next::<Request>();
        }
    }
}
