//! Writes a directory tree as an archive: an overlay's upper directory as a layer, or a plain tree.
//!
//! Names come in the order of their bytes, a directory before what is in it, so the same tree gives
//! the same bytes. Sockets are left out, as Docker does.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{FileType, Mode, OFlags, SeekFrom, Stat, major, minor, openat, readlinkat, seek};
use rustix::io::Errno;

use super::apply::is_whiteout;
use super::walk::{file_type, look, names, open_dir, xattrs};
use super::writer::Writer;
use super::{Entry, Kind, PATH_MAX, Segment, TarError, Time, lossy};

/// What to write of a tree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The tree is an overlay's upper directory: its whiteouts and opaque directories become
    /// `.wh.` names.
    pub layer: bool,
    /// Begin with an entry for the root itself.
    pub include_root: bool,
    /// Drop fractions of seconds, as Docker's archives do.
    pub whole_seconds: bool,
}

/// Files smaller than this are written with their holes filled.
const SPARSE_MIN: u64 = 64 << 10;
const SEGMENTS_MAX: usize = 4096;

struct Walker<'a, W> {
    writer: Writer<W>,
    options: Options,
    /// First path of each file with several names, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    buffer: Vec<u8>,
    prefix: &'a [u8],
}

/// Writes the tree below `root` with every path put below `prefix` (empty for none).
pub fn write_tree<W: Write>(
    root: impl AsFd,
    prefix: &[u8],
    options: Options,
    out: W,
) -> Result<W, TarError> {
    let mut walker = Walker {
        writer: Writer::new(out),
        options,
        links: HashMap::new(),
        buffer: vec![0; 128 << 10],
        prefix,
    };
    walker.tree(root.as_fd())?;
    walker.writer.finish().map_err(TarError::Write)
}

/// Writes one file, link or tree: `name` in `dir`, as `stored` in the archive (`docker cp`).
pub fn write_one<W: Write>(
    dir: impl AsFd,
    name: &[u8],
    stored: &[u8],
    options: Options,
    out: W,
) -> Result<W, TarError> {
    let mut walker = Walker {
        writer: Writer::new(out),
        options,
        links: HashMap::new(),
        buffer: vec![0; 128 << 10],
        prefix: b"",
    };
    if let Some(opened) = walker.one(dir.as_fd(), name, stored.to_vec())? {
        walker.below(opened, stored.to_vec())?;
    }
    walker.writer.finish().map_err(TarError::Write)
}

/// A directory on the way down: what is left of it.
struct Level {
    fd: OwnedFd,
    path: Vec<u8>,
    names: std::vec::IntoIter<Vec<u8>>,
}

impl<W: Write> Walker<'_, W> {
    fn tree(&mut self, root: BorrowedFd<'_>) -> Result<(), TarError> {
        let fd = open_dir(root, b".").map_err(|error| TarError::entry("open", b"/", error))?;
        if self.options.include_root {
            let path = if self.prefix.is_empty() { b"." } else { self.prefix };
            self.one(fd.as_fd(), b".", path.to_vec())?;
        }
        self.below(fd, self.prefix.to_vec())
    }

    /// Writes everything in a directory, with a list of levels instead of recursion.
    fn below(&mut self, fd: OwnedFd, path: Vec<u8>) -> Result<(), TarError> {
        let mut levels = vec![Level::open(fd, path)?];
        while let Some(level) = levels.last_mut() {
            let Some(name) = level.names.next() else {
                levels.pop();
                continue;
            };
            let path = super::root::join(&level.path, &name);
            if let Some(opened) = self.one(level.fd.as_fd(), &name, path.clone())? {
                levels.push(Level::open(opened, path)?);
            }
        }
        Ok(())
    }

    /// Writes one entry; gives a directory opened.
    fn one(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: Vec<u8>,
    ) -> Result<Option<OwnedFd>, TarError> {
        let stat = look(dir, name).map_err(|error| TarError::entry("look at", &path, error))?;
        if self.options.layer && is_whiteout(&stat) {
            self.marker(&path, &stat)?;
            return Ok(None);
        }
        let file_type = file_type(&stat);
        if file_type == FileType::Socket {
            return Ok(None);
        }
        let mut entry = self.metadata(path, &stat);
        if file_type != FileType::Directory && stat.st_nlink > 1 && self.is_link(&mut entry, &stat)
        {
            self.writer.entry(&entry).map_err(TarError::Write)?;
            return Ok(None);
        }
        entry.xattrs =
            xattrs(dir, name).map_err(|error| TarError::entry("read", &entry.path, error))?;
        let opaque = self.strip_overlay(&mut entry)?;
        match file_type {
            FileType::Directory => {
                let fd = open_dir(dir, name)
                    .map_err(|error| TarError::entry("open", &entry.path, error))?;
                let path = entry.path.clone();
                if !entry.path.ends_with(b"/") {
                    entry.path.push(b'/');
                }
                self.writer.entry(&entry).map_err(TarError::Write)?;
                if opaque && self.options.layer {
                    self.marker(&super::root::join(&path, b".wh..opq"), &stat)?;
                }
                return Ok(Some(fd));
            }
            FileType::RegularFile => self.contents(dir, name, entry)?,
            FileType::Symlink => {
                let target = readlinkat(dir, std::ffi::OsStr::from_bytes(name), Vec::new())
                    .map_err(|error| TarError::entry("read", &entry.path, error))?;
                entry.link = target.into_bytes();
                self.writer.entry(&entry).map_err(TarError::Write)?;
            }
            _ => self.writer.entry(&entry).map_err(TarError::Write)?,
        }
        Ok(None)
    }

    fn metadata(&self, path: Vec<u8>, stat: &Stat) -> Entry {
        let file_type = file_type(stat);
        let special = matches!(file_type, FileType::CharacterDevice | FileType::BlockDevice);
        let nanoseconds = if self.options.whole_seconds { 0 } else { stat.st_mtime_nsec };
        Entry {
            path,
            kind: match file_type {
                FileType::Directory => Kind::Directory,
                FileType::Symlink => Kind::Symlink,
                FileType::CharacterDevice => Kind::Char,
                FileType::BlockDevice => Kind::Block,
                FileType::Fifo => Kind::Fifo,
                _ => Kind::File,
            },
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: match file_type {
                FileType::RegularFile => stat.st_size.max(0).cast_unsigned(),
                _ => 0,
            },
            mtime: Time {
                seconds: stat.st_mtime,
                nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
            },
            device: match special {
                true => (major(stat.st_rdev), minor(stat.st_rdev)),
                false => (0, 0),
            },
            ..Entry::default()
        }
    }

    /// Turns the entry into a link if its file was written before.
    fn is_link(&mut self, entry: &mut Entry, stat: &Stat) -> bool {
        use std::collections::hash_map::Entry as Slot;
        match self.links.entry((stat.st_dev, stat.st_ino)) {
            Slot::Occupied(first) => {
                entry.kind = Kind::Hardlink;
                entry.link = first.get().clone();
                entry.size = 0;
                true
            }
            Slot::Vacant(slot) => {
                slot.insert(entry.path.clone());
                false
            }
        }
    }

    /// Takes overlay's own attributes off; says whether the directory hides the one below.
    fn strip_overlay(&self, entry: &mut Entry) -> Result<bool, TarError> {
        let mut opaque = false;
        let mut unsupported = false;
        entry.xattrs.retain(|(name, value)| {
            let Some(overlay) = name
                .strip_prefix(b"trusted.overlay.")
                .or_else(|| name.strip_prefix(b"user.overlay."))
            else {
                return true;
            };
            opaque |= overlay == b"opaque" && value == b"y";
            unsupported |= matches!(overlay, b"redirect" | b"metacopy");
            false
        });
        if unsupported && self.options.layer {
            return Err(TarError::Overlay(lossy(&entry.path)));
        }
        Ok(opaque)
    }

    /// An empty file that says something about the layers below.
    fn marker(&mut self, path: &[u8], stat: &Stat) -> Result<(), TarError> {
        let (parent, name) = super::root::split(path);
        let path = super::root::join(parent, &[b".wh.", name].concat());
        let mut entry = self.metadata(path, stat);
        (entry.kind, entry.size, entry.mode, entry.device) = (Kind::File, 0, 0o600, (0, 0));
        self.writer.entry(&entry).map_err(TarError::Write)
    }

    fn contents(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        mut entry: Entry,
    ) -> Result<(), TarError> {
        let error = |entry: &Entry, error: io::Error| TarError::entry("read", &entry.path, error);
        // Without NONBLOCK, a file swapped for a fifo would hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = openat(dir, std::ffi::OsStr::from_bytes(name), flags, Mode::empty())
            .map_err(|errno| error(&entry, errno.into()))?;
        let file = File::from(fd);
        let stat = rustix::fs::fstat(&file).map_err(|errno| error(&entry, errno.into()))?;
        if file_type(&stat) != FileType::RegularFile {
            return Err(TarError::Changed(lossy(&entry.path)));
        }
        entry.size = stat.st_size.max(0).cast_unsigned();
        let allocated = stat.st_blocks.max(0).cast_unsigned().saturating_mul(512);
        if entry.size >= SPARSE_MIN && allocated < entry.size {
            entry.sparse = data_segments(&file, entry.size).map_err(|e| error(&entry, e))?;
        }
        self.writer.entry(&entry).map_err(TarError::Write)?;
        let whole = [Segment { offset: 0, length: entry.size }];
        let segments = entry.sparse.as_deref().unwrap_or(&whole);
        for Segment { mut offset, mut length } in segments.iter().copied() {
            while length > 0 {
                let want = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len());
                let n =
                    file.read_at(&mut self.buffer[..want], offset).map_err(|e| error(&entry, e))?;
                if n == 0 {
                    // Truncated by a running container: its archive has zeros there.
                    self.buffer[..want].fill(0);
                }
                let n = if n == 0 { want } else { n };
                self.writer.payload(&self.buffer[..n]).map_err(TarError::Write)?;
                offset += n as u64;
                length -= n as u64;
            }
        }
        Ok(())
    }
}

impl Level {
    fn open(fd: OwnedFd, path: Vec<u8>) -> Result<Self, TarError> {
        if path.len() > PATH_MAX {
            let (what, limit) = ("path", PATH_MAX as u64);
            return Err(TarError::TooLarge { name: lossy(&path), what, limit });
        }
        let names = names(&fd).map_err(|error| TarError::entry("read", &path, error))?;
        Ok(Self { fd, path, names: names.into_iter() })
    }
}

/// Where a file has data; `None` if it is not worth writing it as a sparse one.
fn data_segments(file: &File, size: u64) -> io::Result<Option<Vec<Segment>>> {
    let mut segments = Vec::new();
    let mut position = 0;
    while position < size {
        let start = match seek(file, SeekFrom::Data(position)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(size);
        if start >= end {
            break;
        }
        segments.push(Segment { offset: start, length: end - start });
        if segments.len() > SEGMENTS_MAX {
            return Ok(None);
        }
        position = end;
    }
    // The writer's convention for a hole at the end: an empty segment there.
    if segments.last().is_none_or(|last| last.offset + last.length < size) {
        segments.push(Segment { offset: size, length: 0 });
    }
    Ok(Some(segments))
}
