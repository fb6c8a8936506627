//! Compressed streams, told by their first bytes and undone in this process with bounded memory.
//!
//! No outside program is ever run for it (CVE-2019-14271, CVE-2014-9357), which is also why xz and
//! bzip2 are refused: nobody ships layers in them.

use std::io::{self, BufRead, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// The largest window a zstd stream may ask for: 2^27 bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// A compression that is recognised and not undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unsupported compression {0}: use gzip, zstd or none")]
pub struct Unsupported(pub &'static str);

impl From<Unsupported> for io::Error {
    fn from(error: Unsupported) -> Self {
        io::Error::new(io::ErrorKind::Unsupported, error)
    }
}

/// Tells the compression by magic numbers.
pub fn detect(head: &[u8]) -> Result<Compression, Unsupported> {
    match head {
        [0x1f, 0x8b, 8, ..] => Ok(Compression::Gzip),
        // A zstd frame, or one to be skipped (`0x184D2A5?`).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(Unsupported("xz")),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Err(Unsupported("bzip2")),
        _ => Ok(Compression::None),
    }
}

/// A stream whose first bytes were looked at.
pub type Peeked<R> = io::Chain<Cursor<Vec<u8>>, R>;

/// Reads up to `n` bytes ahead; gives them and the whole stream.
pub fn peek<R: BufRead>(mut source: R, n: usize) -> io::Result<(Vec<u8>, Peeked<R>)> {
    let mut head = Vec::with_capacity(n);
    source.by_ref().take(n as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(source)))
}

/// Undoes `compression`.
pub fn decoder<'a>(
    compression: Compression,
    source: impl BufRead + 'a,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match compression {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(MultiGzDecoder::new(source)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_are_told_by_their_magic() {
        assert_eq!(detect(&[0x1f, 0x8b, 8, 0]), Ok(Compression::Gzip));
        assert_eq!(detect(&[0x28, 0xb5, 0x2f, 0xfd]), Ok(Compression::Zstd));
        assert_eq!(detect(b"hello"), Ok(Compression::None));
        assert_eq!(detect(b""), Ok(Compression::None));
        assert!(detect(b"\xfd7zXZ\0").is_err());
        assert!(detect(b"BZh91AY").is_err());
    }

    #[test]
    fn a_zstd_window_above_the_limit_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(28).unwrap();
        let chunk = vec![0; 1 << 20];
        for _ in 0..300 {
            io::Write::write_all(&mut encoder, &chunk).unwrap();
        }
        let bytes = encoder.finish().unwrap();
        let mut decoder = decoder(Compression::Zstd, &bytes[..]).unwrap();
        assert!(io::copy(&mut decoder, &mut io::sink()).is_err());
    }
}
