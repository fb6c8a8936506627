//! Two streams in one: Docker's 8-byte frames for a container's stdout and stderr.
//!
//! A frame is the stream's number, three zero bytes, the payload's length (big-endian `u32`) and
//! the payload.

use thiserror::Error;

/// Length of a frame's header.
pub const HEADER: usize = 8;

/// Which stream a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
    /// An error of the daemon, as text.
    Systemerr = 3,
}

/// The bytes are no frames.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("Unrecognized input header: {0}")]
pub struct FrameError(pub u8);

/// Makes the header of a payload.
///
/// # Panics
/// When the payload is 4 GiB or longer, which no caller can hold.
pub fn header(stream: Stream, payload: usize) -> [u8; HEADER] {
    let length = u32::try_from(payload).expect("a payload is below 4 GiB");
    let [a, b, c, d] = length.to_be_bytes();
    [stream as u8, 0, 0, 0, a, b, c, d]
}

/// Reads a header: the stream and the payload's length.
pub fn parse_header(header: [u8; HEADER]) -> Result<(Stream, usize), FrameError> {
    let stream = match header[0] {
        0 => Stream::Stdin,
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        3 => Stream::Systemerr,
        other => return Err(FrameError(other)),
    };
    let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    Ok((stream, length as usize))
}

/// Takes a stream of frames apart, in whatever pieces it comes.
#[derive(Debug, Default)]
pub struct Decoder {
    head: [u8; HEADER],
    have: usize,
    /// The stream and what is left of its payload.
    open: Option<(Stream, usize)>,
}

impl Decoder {
    /// Passes each piece of payload in `bytes` to `take` without copying it.
    pub fn feed<E: From<FrameError>>(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(Stream, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            match self.open {
                Some((stream, left)) => {
                    let (payload, rest) = bytes.split_at(left.min(bytes.len()));
                    take(stream, payload)?;
                    self.open = (left > payload.len()).then(|| (stream, left - payload.len()));
                    bytes = rest;
                }
                None => {
                    let part = (HEADER - self.have).min(bytes.len());
                    self.head[self.have..self.have + part].copy_from_slice(&bytes[..part]);
                    self.have += part;
                    bytes = &bytes[part..];
                    if self.have == HEADER {
                        self.have = 0;
                        let (stream, length) = parse_header(self.head)?;
                        self.open = (length > 0).then_some((stream, length));
                    }
                }
            }
        }
        Ok(())
    }

    /// Says whether the stream may end here, between two frames.
    pub fn is_between_frames(&self) -> bool {
        self.have == 0 && self.open.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_apart_in_any_pieces() {
        let mut wire = Vec::new();
        for (stream, text) in
            [(Stream::Stdout, "one"), (Stream::Stderr, ""), (Stream::Stderr, "two")]
        {
            wire.extend(header(stream, text.len()));
            wire.extend(text.as_bytes());
        }
        for size in 1..wire.len() {
            let mut decoder = Decoder::default();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            for piece in wire.chunks(size) {
                decoder
                    .feed::<FrameError>(piece, |stream, payload| {
                        if stream == Stream::Stdout { &mut out } else { &mut err }
                            .extend_from_slice(payload);
                        Ok(())
                    })
                    .unwrap();
            }
            assert!(decoder.is_between_frames());
            assert_eq!((out.as_slice(), err.as_slice()), (&b"one"[..], &b"two"[..]));
        }
    }

    #[test]
    fn text_is_no_frame() {
        let error = Decoder::default().feed::<FrameError>(b"hello world", |_, _| Ok(()));
        assert_eq!(error.unwrap_err().to_string(), "Unrecognized input header: 104");
    }
}
