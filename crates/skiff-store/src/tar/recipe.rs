//! A tar written down as "these bytes, then that file's contents", so that it can be made again.
//!
//! A layer that arrives uncompressed is not kept a second time as a blob: its files are in the
//! snapshot already. What the files do not hold (headers, padding, order) is a few hundred bytes an
//! entry and compresses well. The digest of what [`replay`] makes is checked by whoever asks for
//! it. Records, compressed as one zstd stream: `1 length bytes` and
//! `2 path-length path offset length`, numbers as LEB128.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags};

use super::PATH_MAX;
use super::root::Root;

const RAW: u8 = 1;
const FILE: u8 = 2;
/// Raw bytes are gathered up to this before they become a record.
const GATHER: usize = 64 << 10;

/// Writes a recipe while its archive is read.
pub struct Recorder {
    out: zstd::stream::write::Encoder<'static, File>,
    pending: Vec<u8>,
    files: u64,
    error: Option<io::Error>,
}

impl Recorder {
    /// Starts a recipe in an empty file.
    pub fn new(file: File) -> io::Result<Self> {
        let out = zstd::stream::write::Encoder::new(file, 1)?;
        Ok(Self { out, pending: Vec::with_capacity(GATHER), files: 0, error: None })
    }

    /// Notes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= GATHER { self.flush_raw() } else { Ok(()) }
    }

    /// As [`Recorder::raw`] where no error can be told; it is told at the end instead.
    pub fn raw_or_defer(&mut self, bytes: &[u8]) {
        if let Err(error) = self.raw(bytes) {
            self.error.get_or_insert(error);
        }
    }

    /// Notes that `length` bytes follow that are at `offset` of the file `path` below the root.
    pub fn file(&mut self, path: &[u8], offset: u64, length: u64) -> io::Result<()> {
        self.flush_raw()?;
        self.files += 1;
        let mut head = vec![FILE];
        push_number(&mut head, path.len() as u64);
        head.extend_from_slice(path);
        push_number(&mut head, offset);
        push_number(&mut head, length);
        self.out.write_all(&head)
    }

    /// How many file records there are so far.
    pub fn files(&self) -> u64 {
        self.files
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut head = vec![RAW];
        push_number(&mut head, self.pending.len() as u64);
        self.out.write_all(&head)?;
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    /// Ends the recipe.
    pub fn finish(mut self) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.flush_raw()?;
        self.out.finish()?;
        Ok(())
    }
}

fn push_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn read_number(source: &mut impl Read) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        source.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "number too long in tar recipe"))
}

/// A file that an entry of the archive wrote and a later one replaced: its contents were moved to
/// `index` in the directory of shadowed files, and count for the first `before` file records.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shadowed {
    pub path: Vec<u8>,
    pub before: u64,
    pub index: u64,
}

/// Where the contents of files are.
pub struct Contents<'a> {
    pub root: &'a Root,
    /// The directory of shadowed files, if there are any.
    pub shadow: Option<&'a Root>,
    pub shadowed: &'a [Shadowed],
}

/// What was replaced, by path, each in its order: a stranger's archive may replace a file as often as
/// it has entries.
struct Replaced<'a>(HashMap<&'a [u8], Vec<&'a Shadowed>>);

impl<'a> Replaced<'a> {
    fn new(shadowed: &'a [Shadowed]) -> Self {
        let mut by_path: HashMap<&[u8], Vec<&Shadowed>> = HashMap::new();
        for one in shadowed {
            by_path.entry(&one.path).or_default().push(one);
        }
        Self(by_path)
    }

    /// The first replacement after a record, of its file or of a directory that it was in.
    fn after(&self, record: u64, path: &[u8]) -> Option<&'a Shadowed> {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = slashes.map(|(index, _)| index).chain([path.len()]);
        let first = ends.filter_map(|end| {
            let all = self.0.get(&path[..end])?;
            all.get(all.partition_point(|one| one.before <= record)).copied()
        });
        first.min_by_key(|one| one.index)
    }
}

impl Contents<'_> {
    fn open(&self, path: &[u8], replaced: Option<&Shadowed>) -> io::Result<File> {
        let (root, path) = match (replaced, self.shadow) {
            (Some(shadowed), Some(shadow)) => {
                let mut path_in_shadow = shadowed.index.to_string().into_bytes();
                path_in_shadow.extend_from_slice(&path[shadowed.path.len()..]);
                (shadow, path_in_shadow)
            }
            _ => (self.root, path.to_vec()),
        };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(root.open(&path, flags, Mode::empty())?.into())
    }
}

/// Makes the archive again, into `out`.
pub fn replay(recipe: File, contents: &Contents<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut source = BufReader::new(zstd::stream::read::Decoder::new(recipe)?);
    let mut buffer = vec![0; 256 << 10];
    let replaced = Replaced::new(contents.shadowed);
    let mut record = 0;
    loop {
        let mut tag = [0];
        if source.read(&mut tag)? == 0 {
            return Ok(());
        }
        match tag[0] {
            RAW => {
                let length = read_number(&mut source)?;
                let copied = io::copy(&mut source.by_ref().take(length), out)?;
                if copied != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            FILE => {
                let length = read_number(&mut source)?;
                if length > PATH_MAX as u64 {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "path too long in tar recipe",
                    ));
                }
                let mut path = vec![0; length as usize];
                source.read_exact(&mut path)?;
                let (offset, length) = (read_number(&mut source)?, read_number(&mut source)?);
                let file = contents.open(&path, replaced.after(record, &path))?;
                copy_range(&file, offset, length, &mut buffer, out)?;
                record += 1;
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "unknown record in tar recipe",
                ));
            }
        }
    }
}

fn copy_range(
    file: &File,
    mut offset: u64,
    mut length: u64,
    buffer: &mut [u8],
    out: &mut dyn Write,
) -> io::Result<()> {
    while length > 0 {
        let want = usize::try_from(length).unwrap_or(usize::MAX).min(buffer.len());
        let n = file.read_at(&mut buffer[..want], offset)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.write_all(&buffer[..n])?;
        offset += n as u64;
        length -= n as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_replacement_after_a_record_has_its_contents() {
        let one = |path: &str, before, index| Shadowed { path: path.into(), before, index };
        let shadowed = [one("a", 1, 0), one("d/f", 3, 1), one("a", 3, 2), one("d", 4, 3)];
        let replaced = Replaced::new(&shadowed);
        for (record, path, expected) in [
            (0, "a", Some(0)),
            (1, "a", Some(2)),
            (2, "a", Some(2)),
            (3, "a", None),
            (2, "d/f", Some(1)),
            (3, "d/f", Some(3)),
            (3, "d/other/f", Some(3)),
            (4, "d/f", None),
            (0, "dd/f", None),
            (0, "ab", None),
        ] {
            let found = replaced.after(record, path.as_bytes()).map(|one| one.index);
            assert_eq!(found, expected, "{record} {path}");
        }
    }
}
