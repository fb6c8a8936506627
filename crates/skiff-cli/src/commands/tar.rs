//! Headers of tar archives: writing them as POSIX does, reading what POSIX and GNU write.

use std::io::{self, Read};

/// The size of everything in a tar archive.
pub(crate) const BLOCK: usize = 512;
/// Long names and attributes are small; anything larger is an attack.
const LARGEST_EXTENSION: u64 = 1 << 20;

/// One member, without its contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) link: String,
    /// `0` file, `1` hard link, `2` symbolic link, `3` `4` devices, `5` directory, `6` pipe.
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) device: (u32, u32),
}

impl Header {
    /// The header's blocks; what does not fit gets an extended header before it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut records = String::new();
        if self.name.len() > 100 {
            push_record(&mut records, "path", &self.name);
        }
        if self.link.len() > 100 {
            push_record(&mut records, "linkpath", &self.link);
        }
        for (key, value, digits) in
            [("size", self.size, 11), ("uid", self.uid, 7), ("gid", self.gid, 7)]
        {
            if value >= 1 << (3 * digits) {
                push_record(&mut records, key, &value.to_string());
            }
        }
        let mut out = Vec::with_capacity(BLOCK);
        if !records.is_empty() {
            let extension = Header {
                name: "PaxHeaders.0/x".to_owned(),
                kind: b'x',
                mode: 0o644,
                size: records.len() as u64,
                ..Header::default()
            };
            out.extend_from_slice(&extension.block());
            out.extend_from_slice(records.as_bytes());
            out.resize(out.len().next_multiple_of(BLOCK), 0);
        }
        out.extend_from_slice(&self.block());
        out
    }

    fn block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let text = |block: &mut [u8], text: &str| {
            let length = text.len().min(block.len());
            block[..length].copy_from_slice(&text.as_bytes()[..length]);
        };
        let octal = |block: &mut [u8], value: u64| {
            let digits = block.len() - 1;
            let most = (1u64 << (3 * digits as u32).min(63)) - 1;
            let written = format!("{:0digits$o}", value.min(most));
            block[..digits].copy_from_slice(written.as_bytes());
        };
        text(&mut block[..100], &self.name);
        octal(&mut block[100..108], u64::from(self.mode & 0o7777));
        octal(&mut block[108..116], self.uid);
        octal(&mut block[116..124], self.gid);
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], self.mtime.max(0).unsigned_abs());
        block[148..156].fill(b' ');
        block[156] = self.kind;
        text(&mut block[157..257], &self.link);
        text(&mut block[257..265], "ustar\x0000");
        octal(&mut block[329..337], u64::from(self.device.0));
        octal(&mut block[337..345], u64::from(self.device.1));
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let written = format!("{sum:06o}\0 ");
        block[148..156].copy_from_slice(written.as_bytes());
        block
    }

    /// Reads the next member's header; `None` at the end of the archive.
    pub(crate) fn read(archive: &mut dyn Read) -> io::Result<Option<Self>> {
        let (mut long_name, mut long_link, mut records) = (None, None, Vec::new());
        loop {
            let mut block = [0; BLOCK];
            if !read_block(archive, &mut block)? || block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let mut header = parse(&block)?;
            match header.kind {
                b'L' => long_name = Some(read_extension(archive, header.size)?),
                b'K' => long_link = Some(read_extension(archive, header.size)?),
                b'x' => records = read_records(&read_extension(archive, header.size)?)?,
                b'g' => drop(read_extension(archive, header.size)?),
                _ => {
                    if let Some(name) = long_name {
                        header.name = trimmed(&name);
                    }
                    if let Some(link) = long_link {
                        header.link = trimmed(&link);
                    }
                    header.apply(&records)?;
                    return Ok(Some(header));
                }
            }
        }
    }

    fn apply(&mut self, records: &[(String, String)]) -> io::Result<()> {
        for (key, value) in records {
            let number = || value.parse().map_err(|_| malformed("number in an extended header"));
            match key.as_str() {
                "path" => self.name.clone_from(value),
                "linkpath" => self.link.clone_from(value),
                "size" => self.size = number()?,
                "uid" => self.uid = number()?,
                "gid" => self.gid = number()?,
                "mtime" => {
                    let whole = value.split('.').next().unwrap_or("0");
                    self.mtime = whole.parse().map_err(|_| malformed("time"))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::other(format!("malformed archive: {what}"))
}

fn push_record(records: &mut String, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    // The length counts itself.
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.push_str(&format!("{length} {key}={value}\n"));
}

/// Reads one block; false at a clean end.
fn read_block(archive: &mut dyn Read, block: &mut [u8; BLOCK]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < BLOCK {
        match archive.read(&mut block[filled..]) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn read_extension(archive: &mut dyn Read, size: u64) -> io::Result<Vec<u8>> {
    if size > LARGEST_EXTENSION {
        return Err(malformed("an extended header is too large"));
    }
    let mut bytes = vec![0; (size as usize).next_multiple_of(BLOCK)];
    archive.read_exact(&mut bytes)?;
    bytes.truncate(size as usize);
    Ok(bytes)
}

fn trimmed(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// `<length> <key>=<value>\n`, one after another.
fn read_records(mut bytes: &[u8]) -> io::Result<Vec<(String, String)>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ').ok_or_else(|| malformed("record"))?;
        let length: usize = std::str::from_utf8(&bytes[..space])
            .ok()
            .and_then(|text| text.parse().ok())
            .filter(|length| *length > space + 1 && *length <= bytes.len())
            .ok_or_else(|| malformed("record length"))?;
        let record = String::from_utf8_lossy(&bytes[space + 1..length]).into_owned();
        let (key, value) =
            record.trim_end_matches('\n').split_once('=').ok_or_else(|| malformed("record"))?;
        records.push((key.to_owned(), value.to_owned()));
        bytes = &bytes[length..];
    }
    Ok(records)
}

fn parse(block: &[u8; BLOCK]) -> io::Result<Header> {
    let sum: u64 = block
        .iter()
        .enumerate()
        .map(|(index, byte)| u64::from(if (148..156).contains(&index) { b' ' } else { *byte }))
        .sum();
    if number(&block[148..156])? != sum {
        return Err(malformed("wrong checksum"));
    }
    let mut name = trimmed(&block[..100]);
    let prefix = trimmed(&block[345..500]);
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        name = format!("{prefix}/{name}");
    }
    Ok(Header {
        name,
        link: trimmed(&block[157..257]),
        kind: if block[156] == 0 { b'0' } else { block[156] },
        mode: number(&block[100..108])? as u32,
        uid: number(&block[108..116])?,
        gid: number(&block[116..124])?,
        size: number(&block[124..136])?,
        mtime: number(&block[136..148])?.try_into().unwrap_or(0),
        device: (number(&block[329..337])? as u32, number(&block[337..345])? as u32),
    })
}

/// Octal digits, or GNU's binary form for large numbers.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let bytes = &field[field.len().saturating_sub(8)..];
        return Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    }
    let text = trimmed(field);
    let text = text.trim();
    if text.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(text, 8).map_err(|_| malformed("number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_way_there_and_back() {
        let long = "d/".repeat(80) + "file";
        for header in [
            Header {
                name: "a/b".to_owned(),
                kind: b'0',
                mode: 0o4755,
                uid: 1000,
                gid: 5,
                size: 7,
                mtime: 1_700_000_000,
                ..Header::default()
            },
            Header { name: long.clone(), link: long, kind: b'2', ..Header::default() },
            Header {
                name: "big".to_owned(),
                kind: b'0',
                size: 1 << 40,
                uid: 1 << 31,
                ..Header::default()
            },
        ] {
            let bytes = header.encode();
            assert_eq!(bytes.len() % BLOCK, 0);
            assert_eq!(Header::read(&mut &bytes[..]).unwrap(), Some(header));
        }
    }

    #[test]
    fn damaged_archives_are_refused() {
        let mut bytes = Header { name: "a".to_owned(), kind: b'0', ..Header::default() }.encode();
        assert_eq!(Header::read(&mut &[0; 1024][..]).unwrap(), None);
        assert!(Header::read(&mut &bytes[..100]).is_err());
        bytes[0] = b'b';
        assert!(Header::read(&mut &bytes[..]).is_err());
    }
}
