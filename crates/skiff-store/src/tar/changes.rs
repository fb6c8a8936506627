//! What `docker diff` shows: how an overlay's upper directory differs from the layers below it.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Stat};

use super::PATH_MAX;
use super::apply::{OPAQUE, is_whiteout};
use super::root::{Root, join};
use super::walk::{file_type, look_if_there, names, open_dir};

/// Docker's kinds of change, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    Modified = 0,
    Added = 1,
    Deleted = 2,
}

/// One changed path, absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub path: Vec<u8>,
    pub kind: ChangeKind,
}

/// Compares `upper` with `lowers` (topmost first); sorted by path.
pub fn changes(upper: &Root, lowers: &[Root]) -> io::Result<Vec<Change>> {
    let mut walk = Walk { lowers, changes: Vec::new() };
    let upper = open_dir(upper, b".")?;
    walk.directory(&upper, b"", true)?;
    walk.changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.changes)
}

struct Walk<'a> {
    lowers: &'a [Root],
    changes: Vec<Change>,
}

impl Walk<'_> {
    fn push(&mut self, path: &[u8], kind: ChangeKind) {
        self.changes.push(Change { path: [b"/", path].concat(), kind });
    }

    /// Looks at everything in one upper directory. `merged` says whether the lower directory of
    /// that name shows through. The bound on paths bounds the recursion.
    fn directory(&mut self, upper: impl AsFd, path: &[u8], merged: bool) -> io::Result<()> {
        if path.len() > PATH_MAX {
            return Err(rustix::io::Errno::NAMETOOLONG.into());
        }
        for name in names(&upper)? {
            let Some(stat) = look_if_there(&upper, &name)? else { continue };
            let path = join(path, &name);
            let below = if merged { self.lookup(&path)? } else { None };
            if is_whiteout(&stat) {
                if below.is_some() {
                    self.push(&path, ChangeKind::Deleted);
                }
                continue;
            }
            if file_type(&stat) == FileType::Directory {
                self.upper_directory(&upper, &name, &path, &stat, below)?;
                continue;
            }
            let kind = if below.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
            self.push(&path, kind);
        }
        Ok(())
    }

    fn upper_directory(
        &mut self,
        parent: impl AsFd,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
        below: Option<Stat>,
    ) -> io::Result<()> {
        let fd = open_dir(parent, name)?;
        let lower_dir = below.as_ref().filter(|lower| file_type(lower) == FileType::Directory);
        let opaque = is_opaque(&fd)?;
        let before = self.changes.len();
        self.directory(&fd, path, lower_dir.is_some() && !opaque)?;
        if lower_dir.is_some() && opaque {
            self.replaced(&fd, path)?;
        }
        match lower_dir {
            // Only on the way to something that changed, or not even that.
            Some(lower) if self.changes.len() == before && same_directory(lower, stat) => {}
            Some(_) => self.push(path, ChangeKind::Modified),
            None if below.is_some() => self.push(path, ChangeKind::Modified),
            None => self.push(path, ChangeKind::Added),
        }
        Ok(())
    }

    /// An opaque directory over another: what only the lower one has is deleted, what both have
    /// is modified.
    fn replaced(&mut self, upper: impl AsFd, path: &[u8]) -> io::Result<()> {
        for name in self.lower_names(path)? {
            let path = join(path, &name);
            match look_if_there(&upper, &name)? {
                None => self.push(&path, ChangeKind::Deleted),
                Some(_) => {
                    let full = [b"/", &path[..]].concat();
                    for change in self.changes.iter_mut().filter(|change| change.path == full) {
                        change.kind = ChangeKind::Modified;
                    }
                }
            }
        }
        Ok(())
    }

    /// Names in the merged lower directory.
    fn lower_names(&self, path: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut all = Vec::new();
        for lower in self.lowers {
            match lower.dir(path) {
                Ok(dir) => all.extend(names(&dir.fd)?),
                Err(_) => continue,
            }
        }
        all.sort_unstable();
        all.dedup();
        let mut found = Vec::new();
        for name in all {
            if self.lookup(&join(path, &name))?.is_some() {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// What the merged lower layers have at `path`, as overlay would find it.
    fn lookup(&self, path: &[u8]) -> io::Result<Option<Stat>> {
        for lower in self.lowers {
            match lookup_in(lower, path)? {
                Found::Here(stat) => return Ok(Some(stat)),
                Found::Hidden => return Ok(None),
                Found::Below => {}
            }
        }
        Ok(None)
    }
}

enum Found {
    Here(Stat),
    /// This layer hides whatever the next ones have.
    Hidden,
    /// This layer says nothing.
    Below,
}

fn lookup_in(layer: &Root, path: &[u8]) -> io::Result<Found> {
    let mut dir = open_dir(layer, b".")?;
    let mut opaque = false;
    let mut parts = path.split(|byte| *byte == b'/').peekable();
    while let Some(part) = parts.next() {
        let Some(stat) = look_if_there(&dir, part)? else {
            return Ok(if opaque { Found::Hidden } else { Found::Below });
        };
        if is_whiteout(&stat) {
            return Ok(Found::Hidden);
        }
        if parts.peek().is_none() {
            return Ok(Found::Here(stat));
        }
        if file_type(&stat) != FileType::Directory {
            return Ok(Found::Hidden);
        }
        dir = open_dir(&dir, part)?;
        opaque |= is_opaque(&dir)?;
    }
    Ok(Found::Below)
}

fn is_opaque(dir: impl AsFd) -> io::Result<bool> {
    let mut value = [0; 8];
    match rustix::fs::fgetxattr(dir, OPAQUE, &mut value) {
        Ok(length) => Ok(&value[..length] == b"y"),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP | rustix::io::Errno::RANGE) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn same_directory(lower: &Stat, upper: &Stat) -> bool {
    let key =
        |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec);
    key(lower) == key(upper)
}
