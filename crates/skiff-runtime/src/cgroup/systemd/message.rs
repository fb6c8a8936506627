//! D-Bus messages: the few types that systemd's manager needs, little-endian.
//!
//! Source: the D-Bus specification, "Message Format" and "Marshaling". Every value is aligned to its
//! own size within the message; structures, and entries of arrays of them, to 8 bytes. Messages
//! that come in are checked before use: the peer is the host's systemd or bus, but a bad length
//! must not be more than an error.

/// Longest message we accept; what we ask for is answered in less than 1 KiB.
pub(super) const LONGEST: usize = 1 << 20;

/// Kinds of message.
pub(super) const METHOD_CALL: u8 = 1;
pub(super) const METHOD_RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

const FIELD_PATH: u8 = 1;
const FIELD_INTERFACE: u8 = 2;
const FIELD_MEMBER: u8 = 3;
const FIELD_ERROR_NAME: u8 = 4;
const FIELD_REPLY_SERIAL: u8 = 5;
const FIELD_DESTINATION: u8 = 6;
const FIELD_SIGNATURE: u8 = 8;

/// Length of the fixed part, up to and with the length of the fields.
pub(super) const FIXED_HEADER: usize = 16;

/// Builds a message or its body.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn boolean(&mut self, value: bool) {
        self.u32(value.into());
    }

    pub(super) fn string(&mut self, value: &str) {
        // Nothing we send is near 4 GiB, see LONGEST.
        self.u32(value.len() as u32);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    pub(super) fn signature(&mut self, value: &str) {
        self.byte(value.len() as u8);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
    }

    /// Writes an array whose elements are aligned to `alignment`. Its length does not count the
    /// padding before the first element.
    pub(super) fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let at = self.bytes.len() - 4;
        self.align(alignment);
        let start = self.bytes.len();
        elements(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Starts a structure.
    pub(super) fn structure(&mut self) {
        self.align(8);
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn string_field(&mut self, code: u8, kind: &str, value: &str) {
        self.structure();
        self.byte(code);
        self.signature(kind);
        if kind == "g" { self.signature(value) } else { self.string(value) }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A call of a method.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// Types of the body.
    pub(super) signature: &'a str,
}

impl Call<'_> {
    /// Makes the whole message.
    pub(super) fn message(&self, serial: u32, body: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.raw(&[b'l', METHOD_CALL, 0, 1]);
        writer.u32(body.len() as u32);
        writer.u32(serial);
        writer.array(8, |fields| {
            fields.string_field(FIELD_PATH, "o", self.path);
            fields.string_field(FIELD_INTERFACE, "s", self.interface);
            fields.string_field(FIELD_MEMBER, "s", self.member);
            fields.string_field(FIELD_DESTINATION, "s", self.destination);
            if !self.signature.is_empty() {
                fields.string_field(FIELD_SIGNATURE, "g", self.signature);
            }
        });
        writer.structure();
        writer.raw(body);
        writer.into_bytes()
    }
}

/// Reads values; `None` is a message that ends too early or is malformed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn string(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        self.take(1)?;
        Some(text)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?.into();
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        self.take(1)?;
        Some(text)
    }
}

/// A message that came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) reply_serial: Option<u32>,
    pub(super) member: String,
    pub(super) error_name: String,
    pub(super) body: Vec<u8>,
}

/// Returns the length of a whole message by its first [`FIXED_HEADER`] bytes.
pub(super) fn message_length(header: &[u8; FIXED_HEADER]) -> Option<usize> {
    let number = |at: usize| {
        let bytes = header[at..at + 4].try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if header[0] != b'l' || header[3] != 1 {
        return None;
    }
    let (body, fields) = (number(4)?, number(12)?);
    if body > LONGEST || fields > LONGEST {
        return None;
    }
    let total = (FIXED_HEADER + fields).next_multiple_of(8) + body;
    (total <= LONGEST).then_some(total)
}

impl Message {
    /// Reads a whole message.
    pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
        let header = bytes.first_chunk::<FIXED_HEADER>()?;
        if message_length(header)? != bytes.len() {
            return None;
        }
        let mut message = Message { kind: header[1], ..Message::default() };
        let mut reader = Reader { bytes, at: 12 };
        let end = FIXED_HEADER + reader.u32()? as usize;
        while reader.at < end {
            reader.align(8);
            let code = reader.byte()?;
            match (code, reader.signature()?) {
                (FIELD_MEMBER, "s") => message.member = reader.string()?.to_owned(),
                (FIELD_ERROR_NAME, "s") => message.error_name = reader.string()?.to_owned(),
                (FIELD_REPLY_SERIAL, "u") => message.reply_serial = Some(reader.u32()?),
                (_, "s" | "o") => drop(reader.string()?),
                (_, "g") => drop(reader.signature()?),
                (_, "u") => drop(reader.u32()?),
                _ => return None,
            }
        }
        message.body = bytes.get(end.next_multiple_of(8)..)?.to_vec();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Written by hand from the specification.
    #[rustfmt::skip]
    const STOP_UNIT: &[u8] = &[
        b'l', 1, 0, 1,  19, 0, 0, 0,  7, 0, 0, 0,  136, 0, 0, 0,
        1, 1, b'o', 0,  25, 0, 0, 0,
        b'/', b'o', b'r', b'g', b'/', b'f', b'r', b'e', b'e', b'd', b'e', b's', b'k', b't', b'o',
        b'p', b'/', b's', b'y', b's', b't', b'e', b'm', b'd', b'1', 0,
        // That was 25 letters and the end: 8 + 26 = 34, so six bytes of padding.
        0, 0, 0, 0, 0, 0,
        2, 1, b's', 0,  32, 0, 0, 0,
        b'o', b'r', b'g', b'.', b'f', b'r', b'e', b'e', b'd', b'e', b's', b'k', b't', b'o', b'p',
        b'.', b's', b'y', b's', b't', b'e', b'm', b'd', b'1', b'.', b'M', b'a', b'n', b'a', b'g',
        b'e', b'r', 0,
        0, 0, 0, 0, 0, 0, 0,
        3, 1, b's', 0,  8, 0, 0, 0,
        b'S', b't', b'o', b'p', b'U', b'n', b'i', b't', 0,
        0, 0, 0, 0, 0, 0, 0,
        6, 1, b's', 0,  4, 0, 0, 0,
        b'd', b'e', b's', b't', 0,
        0, 0, 0,
        8, 1, b'g', 0,  2, b's', b's', 0,
        // The fields end at 16 + 136, which is a multiple of 8.
        7, 0, 0, 0, b'a', b'.', b's', b'c', b'o', b'p', b'e', 0,
        2, 0, 0, 0, b'u', b'p', 0,
    ];

    #[test]
    fn calls_are_marshalled_as_the_specification_says() {
        let call = Call {
            destination: "dest",
            path: "/org/freedesktop/systemd1",
            interface: "org.freedesktop.systemd1.Manager",
            member: "StopUnit",
            signature: "ss",
        };
        let mut body = Writer::default();
        body.string("a.scope");
        body.string("up");
        let body = body.into_bytes();
        let message = call.message(7, &body);
        assert_eq!(message.len(), 16 + 136 + body.len());
        assert_eq!(message, STOP_UNIT);
        assert_eq!(message_length(message.first_chunk().unwrap()), Some(message.len()));
        let parsed = Message::parse(&message).unwrap();
        assert_eq!((parsed.kind, parsed.member.as_str()), (METHOD_CALL, "StopUnit"));
        assert_eq!(parsed.body, body);
    }

    #[test]
    fn arrays_count_their_elements_and_not_the_padding() {
        let mut writer = Writer::default();
        writer.array(8, |array| {
            array.structure();
            array.u64(5);
        });
        assert_eq!(writer.into_bytes(), [8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        let mut writer = Writer::default();
        writer.array(8, |_| {});
        assert_eq!(writer.into_bytes(), [0; 8]);
    }

    #[test]
    fn lengths_are_checked_before_use() {
        let mut header = [0_u8; FIXED_HEADER];
        header[..4].copy_from_slice(&[b'l', 2, 0, 1]);
        assert_eq!(message_length(&header), Some(16));
        header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(message_length(&header), None);
        header[0] = b'B';
        assert_eq!(message_length(&header), None);
    }

    proptest! {
        #[test]
        fn damaged_messages_do_no_harm(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = STOP_UNIT.to_vec();
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            drop(Message::parse(&bytes));
            bytes.truncate(cut.index(bytes.len()));
            drop(Message::parse(&bytes));
        }
    }
}
