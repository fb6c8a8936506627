//! Frames of RFC 6455, section 5: ours in one piece, a client's as its bytes come.

use std::ops::Range;

/// What a control frame may carry at most.
const CONTROL: u64 = 125;
/// The longest head: two bytes, the long form of a length, the mask.
const HEAD: usize = 14;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Opcode> {
        use Opcode::{Binary, Close, Continuation, Ping, Pong, Text};
        [Continuation, Text, Binary, Close, Ping, Pong].into_iter().find(|it| *it as u8 == bits)
    }

    fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A whole frame of a server, which masks nothing.
pub(super) fn encode(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD + payload.len());
    frame.push(0x80 | opcode as u8);
    match payload.len() {
        short @ 0..126 => frame.push(short as u8),
        long => match u16::try_from(long) {
            Ok(long) => {
                frame.push(126);
                frame.extend(long.to_be_bytes());
            }
            Err(_) => {
                frame.push(127);
                frame.extend((long as u64).to_be_bytes());
            }
        },
    }
    frame.extend_from_slice(payload);
    frame
}

/// The client does not keep to the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation;

/// What some bytes of a client mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Input; it lies, unmasked, in the bytes that were used.
    Data,
    /// To be answered with the same payload.
    Ping(Vec<u8>),
    /// The end; the code to answer with.
    Close(Vec<u8>),
}

/// The head of a frame, and how much of the frame is still to come.
#[derive(Debug)]
struct Frame {
    opcode: Opcode,
    mask: [u8; 4],
    done: u64,
    left: u64,
}

/// Takes a client's bytes apart, wherever they are cut.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// An incomplete head.
    head: Vec<u8>,
    frame: Option<Frame>,
    /// The payload of a control frame so far.
    control: Vec<u8>,
    /// A message was begun and not ended.
    in_message: bool,
}

impl Decoder {
    /// Takes a step. The range ends where the next step begins; data lies in it, unmasked.
    pub(super) fn next(
        &mut self,
        bytes: &mut [u8],
    ) -> (Range<usize>, Result<Option<Piece>, Violation>) {
        let mut at = 0;
        while self.frame.is_none() {
            let Some(byte) = bytes.get(at) else { return (0..at, Ok(None)) };
            self.head.push(*byte);
            at += 1;
            match self.parse_head() {
                Ok(frame) => self.frame = frame,
                Err(violation) => return (0..at, Err(violation)),
            }
        }
        let frame = self.frame.as_mut().expect("the loop ends with a frame");
        let room = bytes.len() - at;
        let count = usize::try_from(frame.left).map_or(room, |left| left.min(room));
        let used = at..at + count;
        for byte in &mut bytes[used.clone()] {
            *byte ^= frame.mask[(frame.done % 4) as usize];
            frame.done += 1;
        }
        frame.left -= count as u64;
        let (opcode, is_over) = (frame.opcode, frame.left == 0);
        if is_over {
            self.frame = None;
        }
        if !opcode.is_control() {
            return (used.clone(), Ok((!used.is_empty()).then_some(Piece::Data)));
        }
        self.control.extend_from_slice(&bytes[used.clone()]);
        if !is_over {
            return (used, Ok(None));
        }
        (used, control(opcode, std::mem::take(&mut self.control)))
    }

    /// Looks whether the head is whole; it then is taken.
    fn parse_head(&mut self) -> Result<Option<Frame>, Violation> {
        let [first, second, rest @ ..] = self.head.as_slice() else { return Ok(None) };
        let (is_final, reserved) = (first & 0x80 != 0, first & 0x70);
        let opcode = Opcode::parse(first & 0x0f).ok_or(Violation)?;
        let is_masked = second & 0x80 != 0;
        if reserved != 0 || !is_masked {
            return Err(Violation);
        }
        let length_size = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() < length_size + 4 {
            return Ok(None);
        }
        let (length, mask) = rest.split_at(length_size);
        let long = length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let left = if length_size == 0 { u64::from(second & 0x7f) } else { long };
        if left >> 63 != 0 || opcode.is_control() && (left > CONTROL || !is_final) {
            return Err(Violation);
        }
        if !opcode.is_control() {
            if (opcode == Opcode::Continuation) != self.in_message {
                return Err(Violation);
            }
            self.in_message = !is_final;
        }
        let mask = mask.try_into().map_err(|_| Violation)?;
        self.head.clear();
        Ok(Some(Frame { opcode, mask, done: 0, left }))
    }
}

/// What a whole control frame asks for.
fn control(opcode: Opcode, payload: Vec<u8>) -> Result<Option<Piece>, Violation> {
    match opcode {
        Opcode::Ping => Ok(Some(Piece::Ping(payload))),
        Opcode::Close => match payload.len() {
            0 => Ok(Some(Piece::Close(payload))),
            1 => Err(Violation),
            _ => Ok(Some(Piece::Close(payload[..2].to_vec()))),
        },
        // An answer to what nobody asked is allowed and means nothing.
        Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [1, 2, 3, 4];

    /// A frame as a client sends it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = encode(Opcode::Text, payload);
        let head = frame.len() - payload.len();
        frame[0] = first;
        frame[1] |= 0x80;
        for (at, byte) in frame[head..].iter_mut().enumerate() {
            *byte ^= MASK[at % 4];
        }
        frame.splice(head..head, MASK);
        frame
    }

    /// All data, and all else in order.
    fn decode(bytes: &[u8], step: usize) -> Result<(Vec<u8>, Vec<Piece>), Violation> {
        let (mut decoder, mut data, mut pieces) = (Decoder::default(), Vec::new(), Vec::new());
        for chunk in bytes.chunks(step) {
            let mut chunk = chunk.to_vec();
            let mut rest = chunk.as_mut_slice();
            while !rest.is_empty() {
                let (used, piece) = decoder.next(rest);
                match piece? {
                    Some(Piece::Data) => data.extend_from_slice(&rest[used.clone()]),
                    Some(piece) => pieces.push(piece),
                    None => {}
                }
                rest = &mut rest[used.end..];
            }
        }
        Ok((data, pieces))
    }

    #[test]
    fn frames_are_understood_wherever_they_are_cut() {
        let long = vec![b'x'; 70_000];
        let stream = [
            masked(0x81, b"hello "),
            masked(0x02, b"in two "),
            masked(0x89, b"are you there"),
            masked(0x80, b"parts "),
            masked(0x8a, b"yes"),
            masked(0x82, b""),
            masked(0x82, &long[..300]),
            masked(0x82, &long),
            masked(0x88, b"\x03\xe8bye"),
        ]
        .concat();
        let text = [b"hello in two parts ".as_slice(), &long[..300], &long].concat();
        let pieces = [Piece::Ping(b"are you there".to_vec()), Piece::Close(b"\x03\xe8".to_vec())];
        for step in [1, 2, 3, 7, 4096, stream.len()] {
            let (data, rest) = decode(&stream, step).unwrap();
            assert!(data == text, "{step}");
            assert_eq!(rest, pieces, "{step}");
        }
    }

    #[test]
    fn our_frames_carry_every_length() {
        for (length, head) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 255, 255]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = encode(Opcode::Binary, &vec![7; length]);
            assert_eq!(frame[..head.len()], head, "{length}");
            assert_eq!(frame.len(), head.len() + length);
        }
    }

    #[test]
    fn what_breaks_the_protocol_is_refused() {
        for (what, stream) in [
            ("no mask", encode(Opcode::Text, b"x")),
            ("a reserved bit", masked(0xc1, b"x")),
            ("an unknown kind", masked(0x83, b"x")),
            ("a continuation of nothing", masked(0x80, b"x")),
            ("a message in a message", [masked(0x01, b"x"), masked(0x81, b"y")].concat()),
            ("a control frame in parts", masked(0x09, b"x")),
            ("a long control frame", masked(0x89, &[0; 126])),
            ("a close with half a code", masked(0x88, b"x")),
            ("more than 63 bits", [&[0x82, 0xff], [0xff; 8].as_slice(), &MASK].concat()),
        ] {
            assert_eq!(decode(&stream, 5), Err(Violation), "{what}");
        }
    }

    #[test]
    fn a_huge_length_is_a_promise_and_no_memory() {
        let mut decoder = Decoder::default();
        let mut bytes = [&[0x82, 0xff, 0x7f], [0xff; 7].as_slice(), &MASK, b"abc"].concat();
        let (used, piece) = decoder.next(&mut bytes);
        assert_eq!((used, piece), (14..17, Ok(Some(Piece::Data))));
        assert!(decoder.head.capacity() <= 64 && decoder.control.is_empty());
    }

    #[test]
    fn garbage_ends_in_an_answer_and_never_in_a_panic() {
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..2000 {
            let garbage: Vec<u8> = (0..64)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    (random >> 24) as u8
                })
                .collect();
            drop(decode(&garbage, 3));
        }
    }
}
