//! The files of one log: the current one, and those that were rotated away, plain or gzipped.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

/// How often opening starts over because the writer rotated meanwhile.
const ATTEMPTS: usize = 8;

/// One opened file.
pub(super) enum Generation {
    Plain(Plain),
    /// Decompressed as it is read.
    Packed(Packed),
}

/// A file that is as it was written.
pub(super) struct Plain {
    pub(super) file: File,
    pub(super) inode: u64,
    pub(super) offset: u64,
}

/// A file that was compressed after it was rotated away.
pub(super) struct Packed {
    path: PathBuf,
    decoder: Box<MultiGzDecoder<File>>,
}

impl Packed {
    fn open(path: PathBuf) -> io::Result<Option<Packed>> {
        match File::open(&path) {
            Ok(file) => Ok(Some(Packed { path, decoder: Box::new(MultiGzDecoder::new(file)) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Plain {
    pub(super) fn open(path: &Path) -> io::Result<Option<Plain>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = file.metadata()?.ino();
        Ok(Some(Plain { file, inode, offset: 0 }))
    }

    /// Moves to the start of the `count` last lines; gives how many there are, if fewer.
    fn seek_to_last(&mut self, count: u64) -> io::Result<u64> {
        let mut end = self.file.metadata()?.len();
        let mut block = vec![0; 64 << 10];
        // The newline that ends the last line does not start one.
        let mut newlines = 0;
        while end > 0 {
            let size = end.min(block.len() as u64);
            let start = end - size;
            let part = &mut block[..usize::try_from(size).expect("at most a block")];
            self.file.read_exact_at(part, start)?;
            for at in memchr::memrchr_iter(b'\n', part) {
                if newlines == count {
                    self.offset = start + at as u64 + 1;
                    return Ok(count);
                }
                newlines += 1;
            }
            end = start;
        }
        self.offset = 0;
        Ok(newlines)
    }
}

impl Generation {
    /// Reads on; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Generation::Packed(packed) => packed.decoder.read(buffer),
            Generation::Plain(plain) => {
                let count = plain.file.read_at(buffer, plain.offset)?;
                plain.offset += count as u64;
                Ok(count)
            }
        }
    }
}

/// All generations, the oldest first; the current file, if it exists, is the last and plain.
pub(super) fn open_all(path: &Path) -> io::Result<Vec<Generation>> {
    for _ in 0..ATTEMPTS {
        let current = Plain::open(path)?;
        let mut generations = Vec::new();
        let mut number = 1;
        while let Some(generation) = open_rotated(path, number)? {
            generations.push(generation);
            number += 1;
        }
        generations.reverse();
        let inode = current.as_ref().map(|plain| plain.inode);
        generations.extend(current.map(Generation::Plain));
        // A rotation in between would have shown one file twice or hidden one.
        if inode == current_inode(path)? {
            return Ok(generations);
        }
    }
    Err(io::Error::other("the log is rotated faster than it can be opened"))
}

/// The inode the path names now.
pub(super) fn current_inode(path: &Path) -> io::Result<Option<u64>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Generations newer than the file with this inode, the oldest first. When that file has been
/// compressed meanwhile, the newest compressed one is taken for it.
pub(super) fn open_newer(path: &Path, inode: u64) -> io::Result<Vec<Generation>> {
    let mut newer = Vec::new();
    for generation in open_all(path)?.into_iter().rev() {
        match &generation {
            Generation::Plain(plain) if plain.inode != inode => newer.push(generation),
            Generation::Plain(_) | Generation::Packed(_) => break,
        }
    }
    newer.reverse();
    Ok(newer)
}

fn open_rotated(path: &Path, number: u32) -> io::Result<Option<Generation>> {
    let suffixed = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}{suffix}"));
        PathBuf::from(name)
    };
    // Plain first: while a file is compressed both exist, and only the plain one is whole.
    if let Some(plain) = Plain::open(&suffixed(""))? {
        return Ok(Some(Generation::Plain(plain)));
    }
    Ok(Packed::open(suffixed(".gz"))?.map(Generation::Packed))
}

/// Drops and positions generations so that what is left to read is the last `count` lines. The
/// second value is how many lines the first generation has to skip.
pub(super) fn keep_last(
    mut generations: Vec<Generation>,
    count: u64,
) -> io::Result<(Vec<Generation>, u64)> {
    let mut missing = count;
    let mut kept = Vec::new();
    let mut skip = 0;
    while let Some(mut generation) = generations.pop() {
        match &mut generation {
            Generation::Plain(plain) => missing -= plain.seek_to_last(missing)?,
            Generation::Packed(packed) => {
                let lines = count_lines(&mut packed.decoder)?;
                skip = lines.saturating_sub(missing);
                missing -= lines - skip;
                // Gone means rotated out meanwhile.
                match Packed::open(std::mem::take(&mut packed.path))? {
                    Some(reopened) => generation = Generation::Packed(reopened),
                    None => break,
                }
            }
        }
        kept.push(generation);
        if missing == 0 {
            break;
        }
    }
    kept.reverse();
    Ok((kept, skip))
}

fn count_lines(reader: &mut impl Read) -> io::Result<u64> {
    let mut block = vec![0; 64 << 10];
    let mut lines = 0;
    loop {
        match reader.read(&mut block)? {
            0 => return Ok(lines),
            count => lines += memchr::memchr_iter(b'\n', &block[..count]).count() as u64,
        }
    }
}
