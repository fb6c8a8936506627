//! The 512-byte header block: fields, numbers, checksum.
//!
//! Layouts: POSIX.1-1988 ustar, GNU (`tar.h` of GNU tar) and the older v7 that has no magic. No
//! extension is interpreted here.

use super::{BLOCK, Kind, TarError};

/// A header block whose checksum is right.
pub struct Header<'a>(&'a [u8; BLOCK]);

/// Which of the layouts a header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    V7,
    Ustar,
    Gnu,
}

impl<'a> Header<'a> {
    /// Checks the sum, which is also what tells an archive from anything else.
    pub fn parse(block: &'a [u8; BLOCK]) -> Result<Self, TarError> {
        let stated = number(&block[148..156])?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (index, byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&index) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            // Some old writers summed signed characters.
            signed += i64::from(byte.cast_signed());
        }
        if stated != unsigned && stated != signed {
            return Err(TarError::Header);
        }
        Ok(Self(block))
    }

    /// The layout, by the magic.
    pub fn format(&self) -> Format {
        match &self.0[257..265] {
            b"ustar  \0" => Format::Gnu,
            magic if magic.starts_with(b"ustar\0") => Format::Ustar,
            _ => Format::V7,
        }
    }

    /// The type flag.
    pub fn type_flag(&self) -> u8 {
        self.0[156]
    }

    /// Name, with ustar's prefix.
    pub fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = match self.format() {
            Format::Ustar => text(&self.0[345..500]),
            Format::V7 | Format::Gnu => b"",
        };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    /// Link target.
    pub fn link(&self) -> &'a [u8] {
        text(&self.0[157..257])
    }

    /// Permission bits.
    pub fn mode(&self) -> Result<u32, TarError> {
        let mode = number(&self.0[100..108])?;
        u32::try_from(mode).map(|mode| mode & 0o7777).map_err(|_| TarError::Header)
    }

    /// Owner.
    pub fn uid(&self) -> Result<i64, TarError> {
        number(&self.0[108..116])
    }

    /// Group.
    pub fn gid(&self) -> Result<i64, TarError> {
        number(&self.0[116..124])
    }

    /// Bytes that follow in the archive, unless an extension says otherwise.
    pub fn size(&self) -> Result<u64, TarError> {
        u64::try_from(number(&self.0[124..136])?).map_err(|_| TarError::Header)
    }

    /// Modification time in seconds.
    pub fn mtime(&self) -> Result<i64, TarError> {
        number(&self.0[136..148])
    }

    /// Device numbers; v7 has none.
    pub fn device(&self) -> Result<(u32, u32), TarError> {
        if self.format() == Format::V7 {
            return Ok((0, 0));
        }
        let part = |field: &[u8]| u32::try_from(number(field)?).map_err(|_| TarError::Header);
        Ok((part(&self.0[329..337])?, part(&self.0[337..345])?))
    }

    /// The whole block.
    pub fn block(&self) -> &'a [u8; BLOCK] {
        self.0
    }
}

/// Maps a type flag to what we unpack; `None` for extension headers.
pub fn kind(flag: u8, path: &[u8]) -> Kind {
    match flag {
        // v7 marked directories by the slash only.
        0 if path.ends_with(b"/") => Kind::Directory,
        0 | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::Hardlink,
        b'2' => Kind::Symlink,
        b'3' => Kind::Char,
        b'4' => Kind::Block,
        b'5' => Kind::Directory,
        b'6' => Kind::Fifo,
        other => Kind::Other(other),
    }
}

/// A field's text up to its first NUL.
pub fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A number field: octal digits, or GNU's base 256 when the top bit is set.
pub fn number(field: &[u8]) -> Result<i64, TarError> {
    if field.first().is_some_and(|byte| byte & 0x80 != 0) {
        return base256(field);
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let field = text(&field[start..]);
    let end = field.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    let mut value = 0_i64;
    for digit in &field[..end] {
        if !matches!(digit, b'0'..=b'7') {
            return Err(TarError::Header);
        }
        let digit = i64::from(digit - b'0');
        value = value.checked_mul(8).and_then(|v| v.checked_add(digit)).ok_or(TarError::Header)?;
    }
    Ok(value)
}

/// Two's complement, big endian, with the top bit as the mark.
fn base256(field: &[u8]) -> Result<i64, TarError> {
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (index, byte) in field.iter().enumerate() {
        let byte = match (index, negative) {
            (0, false) => byte & 0x7f,
            _ => *byte,
        };
        value = (value << 8) | i128::from(byte);
        // Twelve bytes fit an i128 with room to spare; the result has to fit an i64.
    }
    i64::try_from(value).map_err(|_| TarError::Header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        let check = |field: &[u8], expect: Option<i64>| {
            assert_eq!(number(field).ok(), expect, "{field:?}");
        };
        check(b"0000644\0", Some(0o644));
        check(b"   644 \0", Some(0o644));
        check(b"\0\0\0\0", Some(0));
        check(b"", Some(0));
        check(b"77777777777\0", Some(0o77_777_777_777));
        check(b"8\0", None);
        check(b"-1\0", None);
        check(b"6 4\0", None);
        check(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0], Some(0x2_0000_0000));
        check(&[0xff; 8], Some(-1));
        check(&[0xbf, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], None);
    }
}
