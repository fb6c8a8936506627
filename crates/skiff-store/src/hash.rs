//! SHA-256 of what passes by.

use std::io::{self, BufRead, Read, Write};

use sha2::{Digest as _, Sha256};
use skiff_model::digest::Digest;

/// Hashes a byte string.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// A running hash with the number of bytes it has seen.
#[derive(Default)]
pub struct Hasher {
    hash: Sha256,
    size: u64,
}

impl Hasher {
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// The digest and the number of bytes.
    pub fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(self.hash.finalize().into()), self.size)
    }
}

/// Hashes what is read through it, a buffer at a time.
pub struct HashReader<R> {
    source: R,
    hasher: Hasher,
    /// Bytes of the source's buffer that are hashed but not consumed.
    ahead: usize,
}

impl<R: BufRead> HashReader<R> {
    /// Hashes `source` from where it stands.
    pub fn new(source: R) -> Self {
        Self { source, hasher: Hasher::default(), ahead: 0 }
    }

    /// Reads to the end and gives the digest and size of everything.
    pub fn finish(mut self) -> io::Result<(Digest, u64)> {
        loop {
            let n = self.fill_buf()?.len();
            if n == 0 {
                return Ok(self.hasher.finish());
            }
            self.consume(n);
        }
    }
}

impl<R: BufRead> Read for HashReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let n = buffer.len().min(out.len());
        out[..n].copy_from_slice(&buffer[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for HashReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let buffer = self.source.fill_buf()?;
        if buffer.len() > self.ahead {
            self.hasher.update(&buffer[self.ahead..]);
            self.ahead = buffer.len();
        }
        Ok(buffer)
    }

    fn consume(&mut self, n: usize) {
        self.source.consume(n);
        self.ahead -= n;
    }
}

/// Hashes what is written through it.
pub struct HashWriter<W> {
    out: W,
    hasher: Hasher,
}

impl<W: Write> HashWriter<W> {
    /// Hashes and passes on to `out`.
    pub fn new(out: W) -> Self {
        Self { out, hasher: Hasher::default() }
    }

    /// What was written to, the digest and the size.
    pub fn finish(self) -> (W, Digest, u64) {
        let (digest, size) = self.hasher.finish();
        (self.out, digest, size)
    }
}

impl<W: Write> Write for HashWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
