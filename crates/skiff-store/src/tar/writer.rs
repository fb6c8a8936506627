//! Writes an archive: ustar headers, with a PAX header before an entry that does not fit one.

use std::io::{self, Write};

use super::pax::push_record;
use super::{BLOCK, Entry, Kind, Segment, Time};

/// Octal digits of the size field hold less than this.
const SIZE_MAX: u64 = 0o77_777_777_777;
const ID_MAX: u32 = 0o7_777_777;
const TIME_MAX: i64 = 0o77_777_777_777;

/// An archive being written.
pub struct Writer<W> {
    out: W,
    /// Zeros owed after the current payload.
    padding: usize,
    left: u64,
}

impl<W: Write> Writer<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self { out, padding: 0, left: 0 }
    }

    /// Writes an entry's headers. Its payload (of `entry.size` bytes, or of the sparse segments'
    /// sum) has to follow by [`Writer::payload`].
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        debug_assert_eq!(self.left, 0, "the payload before was not written");
        let has_payload = entry.kind == Kind::File;
        let map = entry.sparse.as_deref().map(sparse_map);
        let stored = match (&entry.sparse, &map) {
            (Some(segments), Some(map)) => {
                map.len() as u64 + segments.iter().map(|segment| segment.length).sum::<u64>()
            }
            _ if has_payload => entry.size,
            _ => 0,
        };
        let mut header = [0; BLOCK];
        let mut records = Vec::new();
        fill(&mut header, entry, stored, &mut records);
        if !records.is_empty() {
            self.out.write_all(&extended_header(&entry.path, records.len() as u64))?;
            self.out.write_all(&records)?;
            self.out.write_all(&ZEROS[..padding(records.len() as u64)])?;
        }
        finish_checksum(&mut header);
        self.out.write_all(&header)?;
        self.left = stored;
        self.padding = padding(stored);
        match map {
            Some(map) => self.payload(&map),
            None => Ok(()),
        }
    }

    /// Writes (part of) the payload of the entry.
    pub fn payload(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("payload is longer than its entry says"))?;
        self.out.write_all(bytes)?;
        if self.left == 0 {
            let padding = std::mem::take(&mut self.padding);
            self.out.write_all(&ZEROS[..padding])?;
        }
        Ok(())
    }

    /// Writes a small file in one call.
    pub fn file(&mut self, entry: &Entry, contents: &[u8]) -> io::Result<()> {
        self.entry(&Entry { size: contents.len() as u64, ..entry.clone() })?;
        self.payload(contents)
    }

    /// Ends the archive and gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        if self.left != 0 {
            return Err(io::Error::other("payload is shorter than its entry says"));
        }
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

const ZEROS: [u8; BLOCK] = [0; BLOCK];

fn padding(size: u64) -> usize {
    // The remainder is below 512.
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

fn flag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::Hardlink => b'1',
        Kind::Symlink => b'2',
        Kind::Char => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
        Kind::Other(flag) => flag,
    }
}

/// Fills the header; what does not fit goes to PAX records.
fn fill(header: &mut [u8; BLOCK], entry: &Entry, stored: u64, records: &mut Vec<u8>) {
    name(header, entry, records);
    octal(&mut header[100..108], u64::from(entry.mode));
    id(&mut header[108..116], entry.uid, b"uid", records);
    id(&mut header[116..124], entry.gid, b"gid", records);
    if stored > SIZE_MAX {
        push_record(records, b"size", stored.to_string().as_bytes());
    }
    octal(&mut header[124..136], stored.min(SIZE_MAX));
    let plain = entry.mtime.nanoseconds == 0 && (0..=TIME_MAX).contains(&entry.mtime.seconds);
    if !plain {
        push_record(records, b"mtime", time(entry.mtime).as_bytes());
    }
    octal(&mut header[136..148], entry.mtime.seconds.clamp(0, TIME_MAX).cast_unsigned());
    header[156] = flag(entry.kind);
    if entry.link.len() > 100 || !entry.link.is_ascii() {
        push_record(records, b"linkpath", &entry.link);
    }
    let kept = entry.link.len().min(100);
    header[157..157 + kept].copy_from_slice(&entry.link[..kept]);
    header[257..265].copy_from_slice(b"ustar\x0000");
    octal(&mut header[329..337], u64::from(entry.device.0));
    octal(&mut header[337..345], u64::from(entry.device.1));
    for (key, value) in &entry.xattrs {
        push_record(records, &[b"SCHILY.xattr.", &key[..]].concat(), value);
    }
}

fn name(header: &mut [u8; BLOCK], entry: &Entry, records: &mut Vec<u8>) {
    if entry.sparse.is_some() {
        push_record(records, b"GNU.sparse.major", b"1");
        push_record(records, b"GNU.sparse.minor", b"0");
        push_record(records, b"GNU.sparse.name", &entry.path);
        push_record(records, b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
    }
    let path = &entry.path[..];
    if path.len() <= 100 && path.is_ascii() {
        header[..path.len()].copy_from_slice(path);
        return;
    }
    if path.is_ascii()
        && let Some((prefix, rest)) = ustar_split(path)
    {
        header[..rest.len()].copy_from_slice(rest);
        header[345..345 + prefix.len()].copy_from_slice(prefix);
        return;
    }
    push_record(records, b"path", path);
    let kept = path.len().min(100);
    header[..kept].copy_from_slice(&path[..kept]);
}

/// Splits a path at a slash so that both parts fit their fields.
fn ustar_split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    // A directory's trailing slash belongs to the name.
    let searchable = &path[..path.len().saturating_sub(1)];
    let slash = searchable
        .iter()
        .enumerate()
        .position(|(index, byte)| *byte == b'/' && index > 0 && path.len() - index - 1 <= 100)?;
    (slash <= 155).then(|| (&path[..slash], &path[slash + 1..]))
}

fn id(field: &mut [u8], id: u32, key: &[u8], records: &mut Vec<u8>) {
    if id > ID_MAX {
        push_record(records, key, id.to_string().as_bytes());
    }
    octal(field, u64::from(id.min(ID_MAX)));
}

/// Writes `value` in octal, padded with zeros, with a NUL at the end.
fn octal(field: &mut [u8], mut value: u64) {
    let digits = field.len() - 1;
    for place in field[..digits].iter_mut().rev() {
        *place = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

fn time(time: Time) -> String {
    let Time { seconds, nanoseconds } = time;
    let (sign, seconds, nanoseconds) = match (seconds < 0, nanoseconds) {
        (true, 0) => ("-", seconds.unsigned_abs(), 0),
        (true, nanoseconds) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanoseconds),
        (false, nanoseconds) => ("", seconds.unsigned_abs(), nanoseconds),
    };
    if nanoseconds == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}

fn finish_checksum(header: &mut [u8; BLOCK]) {
    header[148..156].fill(b' ');
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut header[148..155], sum);
    header[154] = 0;
    header[155] = b' ';
}

fn extended_header(path: &[u8], size: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let base = path.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or(b"x");
    let name = [b"PaxHeaders.0/", &base[..base.len().min(80)]].concat();
    header[..name.len()].copy_from_slice(&name);
    for field in [100..108, 108..116, 116..124, 136..148] {
        octal(&mut header[field], 0);
    }
    octal(&mut header[124..136], size);
    header[156] = b'x';
    header[257..265].copy_from_slice(b"ustar\x0000");
    finish_checksum(&mut header);
    header
}

/// The map at the head of a PAX 1.0 sparse payload.
fn sparse_map(segments: &[Segment]) -> Vec<u8> {
    let mut map = format!("{}\n", segments.len());
    for segment in segments {
        map.push_str(&format!("{}\n{}\n", segment.offset, segment.length));
    }
    let mut map = map.into_bytes();
    map.resize(map.len().next_multiple_of(BLOCK), 0);
    map
}
