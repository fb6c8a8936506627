//! PAX extended headers: records of `length key=value\n`.
//!
//! A record that does not parse is an error: skipping it is how two readers come to see different
//! files in one archive (CVE-2025-62518). Only `SCHILY.xattr.` attributes are read, as Docker does.

use super::{PATH_MAX, Segment, TarError, Time};

/// The largest extended header.
pub const LIMIT: u64 = 1 << 20;
/// The largest value of one extended attribute that Linux takes.
pub const XATTR_MAX: usize = 64 << 10;

/// What an extended header says about the entry after it.
#[derive(Debug, Default)]
pub struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<Time>,
    pub atime: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: PaxSparse,
}

/// GNU's sparse file records, versions 0.0, 0.1 and 1.0.
#[derive(Debug, Default)]
pub struct PaxSparse {
    pub major: Option<u64>,
    pub minor: Option<u64>,
    pub real_size: Option<u64>,
    pub name: Option<Vec<u8>>,
    pub segments: Option<Vec<Segment>>,
    pending_offset: Option<u64>,
}

impl Pax {
    /// Parses the payload of an `x` header.
    pub fn parse(mut bytes: &[u8]) -> Result<Self, TarError> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let record = Record::split(bytes)?;
            pax.take(record.key, record.value)?;
            bytes = record.rest;
        }
        if pax.sparse.pending_offset.is_some() {
            return Err(TarError::Header);
        }
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            if name.is_empty() || name.len() > 255 || value.len() > XATTR_MAX {
                return Err(TarError::Header);
            }
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return Ok(());
        }
        if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
            return self.sparse.take(name, value);
        }
        match key {
            b"path" => self.path = path(value)?,
            b"linkpath" => self.link = path(value)?,
            // An empty value takes the record back: the plain header counts.
            b"size" => self.size = optional(value, decimal)?,
            b"uid" => self.uid = optional(value, id)?,
            b"gid" => self.gid = optional(value, id)?,
            b"mtime" => self.mtime = optional(value, time)?,
            b"atime" => self.atime = optional(value, time)?,
            _ => {}
        }
        Ok(())
    }
}

impl PaxSparse {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), TarError> {
        match name {
            b"major" => self.major = Some(decimal(value)?),
            b"minor" => self.minor = Some(decimal(value)?),
            b"size" | b"realsize" => self.real_size = Some(decimal(value)?),
            b"name" => self.name = path(value)?,
            b"map" => {
                let numbers: Vec<u64> =
                    value.split(|byte| *byte == b',').map(decimal).collect::<Result<_, _>>()?;
                if !numbers.len().is_multiple_of(2) {
                    return Err(TarError::Header);
                }
                let pair = |n: &[u64]| Segment { offset: n[0], length: n[1] };
                self.segments = Some(numbers.chunks_exact(2).map(pair).collect());
            }
            b"offset" if self.pending_offset.is_some() => return Err(TarError::Header),
            b"offset" => self.pending_offset = Some(decimal(value)?),
            b"numbytes" => {
                let offset = self.pending_offset.take().ok_or(TarError::Header)?;
                let segment = Segment { offset, length: decimal(value)? };
                self.segments.get_or_insert_default().push(segment);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Checks a `g` header. Its values would change every entry after it; Docker ignores them while
/// GNU tar obeys, so one that matters is refused.
pub fn check_global(bytes: &[u8]) -> Result<(), TarError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Record { key, rest: next, .. } = Record::split(rest)?;
        if matches!(key, b"path" | b"linkpath" | b"size") || key.starts_with(b"GNU.sparse.") {
            return Err(TarError::Header);
        }
        rest = next;
    }
    Ok(())
}

struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Record<'a> {
    /// Splits the first record off.
    fn split(bytes: &'a [u8]) -> Result<Self, TarError> {
        let space = bytes.iter().take(8).position(|byte| *byte == b' ').ok_or(TarError::Header)?;
        let length = usize::try_from(decimal(&bytes[..space])?).map_err(|_| TarError::Header)?;
        if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
            return Err(TarError::Header);
        }
        let body = &bytes[space + 1..length - 1];
        let equals = body.iter().position(|byte| *byte == b'=').ok_or(TarError::Header)?;
        let (key, value) = (&body[..equals], &body[equals + 1..]);
        if key.is_empty() || key.contains(&0) {
            return Err(TarError::Header);
        }
        Ok(Self { key, value, rest: &bytes[length..] })
    }
}

fn optional<T>(
    value: &[u8],
    parse: fn(&[u8]) -> Result<T, TarError>,
) -> Result<Option<T>, TarError> {
    if value.is_empty() { Ok(None) } else { parse(value).map(Some) }
}

fn path(value: &[u8]) -> Result<Option<Vec<u8>>, TarError> {
    if value.contains(&0) || value.len() > PATH_MAX {
        return Err(TarError::Header);
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

/// An unsigned decimal number below 2^63, digits only.
pub(super) fn decimal(digits: &[u8]) -> Result<u64, TarError> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(TarError::Header);
    }
    let value = digits.iter().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    if value > i64::MAX.cast_unsigned() { Err(TarError::Header) } else { Ok(value) }
}

fn id(value: &[u8]) -> Result<u32, TarError> {
    decimal(value).and_then(|id| u32::try_from(id).map_err(|_| TarError::Header))
}

/// `[-]seconds[.fraction]`; digits past the ninth are dropped.
fn time(value: &[u8]) -> Result<Time, TarError> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds = decimal(parts.next().unwrap_or_default())?.cast_signed();
    let mut nanoseconds = 0;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(TarError::Header);
    }
    for place in 0..9 {
        let digit = fraction.get(place).map_or(0, |digit| digit - b'0');
        nanoseconds = nanoseconds * 10 + u32::from(digit);
    }
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time { seconds: -seconds, nanoseconds },
        (true, _) => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// Appends one record.
pub fn push_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    // The length counts its own digits, so adding them may add one more.
    let mut length = body;
    while length != body + digits(length) {
        length = body + digits(length);
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_at_every_length() {
        for length in [0, 1, 5, 80, 90, 91, 92, 93, 94, 95, 990, 991, 992, 9980, 9990] {
            let mut bytes = Vec::new();
            push_record(&mut bytes, b"SCHILY.xattr.user.a", &vec![b'v'; length]);
            let pax = Pax::parse(&bytes).unwrap();
            assert_eq!(pax.xattrs[0].1.len(), length);
        }
    }

    #[test]
    fn malformed_records_are_errors() {
        for bytes in [
            &b"6 a=b"[..],
            b"7 a=b\n",
            b"5 a=b\n",
            b"x a=b\n",
            b"06a=b\n\n",
            b"6 a b\n",
            b"5 =b\n",
            b"9 size=x\n",
            b"10 size=-1\n",
            b"28 size=99999999999999999999\n",
            b"999999999 a=b\n",
            b"12 path=a\0b\n",
            b"6 a=b\n\0\0",
            b"23 GNU.sparse.offset=1\n",
            b"20 GNU.sparse.map=1\n",
        ] {
            assert!(Pax::parse(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn times_have_nanoseconds_and_may_be_negative() {
        let check = |text: &str, seconds, nanoseconds| {
            assert_eq!(time(text.as_bytes()).unwrap(), Time { seconds, nanoseconds }, "{text}");
        };
        check("1.5", 1, 500_000_000);
        check("1", 1, 0);
        check("1.", 1, 0);
        check("0.0000000019", 0, 1);
        check("-1.25", -2, 750_000_000);
        check("-3", -3, 0);
    }
}
