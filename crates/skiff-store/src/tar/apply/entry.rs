//! One entry: where it goes, what is in its way, what is made.

use std::ffi::OsStr;
use std::io::BufRead;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, XattrFlags, fsetxattr, linkat, makedev, mkdirat,
    mknodat, openat, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::metadata;
use super::{Applier, Whiteouts};
use crate::tar::reader::Reader;
use crate::tar::recipe::Shadowed;
use crate::tar::root::{Dir, clean, join, split};
use crate::tar::{Entry, Kind, TarError, lossy};

/// Overlay's mark of a directory that hides the one below.
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a name says in a layer.
enum Name<'a> {
    Plain,
    /// Left over by aufs; means nothing to us.
    Ignored,
    Whiteout(&'a [u8]),
    Opaque,
}

impl Applier<'_> {
    pub(super) fn entry<R: BufRead>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), TarError> {
        let path = clean(&entry.path).ok_or_else(|| TarError::Name(lossy(&entry.path)))?;
        if path.is_empty() {
            return self.root_entry(entry);
        }
        let (parent, name) = split(&path);
        let meaning = match self.options.whiteouts {
            Whiteouts::Plain => Name::Plain,
            Whiteouts::Overlay => {
                layer_name(parent, name).ok_or_else(|| TarError::Name(lossy(&entry.path)))?
            }
        };
        match meaning {
            Name::Ignored => Ok(()),
            Name::Opaque => {
                let dir = self.dir(parent, entry)?;
                set_opaque(&dir, entry)
            }
            Name::Whiteout(hidden) => {
                let dir = self.dir(parent, entry)?;
                self.whiteout(&dir, hidden, entry)
            }
            Name::Plain => {
                let dir = self.dir(parent, entry)?;
                self.make(&dir, &path, name, entry, reader)
            }
        }
    }

    /// `./`: metadata of the root itself.
    fn root_entry(&mut self, entry: &Entry) -> Result<(), TarError> {
        if entry.kind != Kind::Directory {
            return Err(TarError::Name(lossy(&entry.path)));
        }
        let dir = self.dir(b"", entry)?;
        self.set_directory(&dir, entry)
    }

    fn make<R: BufRead>(
        &mut self,
        dir: &Rc<Dir>,
        path: &[u8],
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), TarError> {
        match entry.kind {
            Kind::Directory => self.directory(dir, path, name, entry),
            Kind::File => self.file(dir, name, entry, reader),
            Kind::Hardlink => self.hardlink(dir, name, entry),
            Kind::Symlink => {
                let target = OsStr::from_bytes(&entry.link);
                self.exclusively(dir, name, entry, || {
                    symlinkat(target, &dir.fd, OsStr::from_bytes(name))
                })?;
                self.set_by_name(dir, name, entry)
            }
            Kind::Char | Kind::Block | Kind::Fifo => {
                let file_type = match entry.kind {
                    Kind::Char => FileType::CharacterDevice,
                    Kind::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let device = makedev(entry.device.0, entry.device.1);
                let mode = Mode::from_raw_mode(entry.mode);
                self.exclusively(dir, name, entry, || {
                    mknodat(&dir.fd, OsStr::from_bytes(name), file_type, mode, device)
                })?;
                self.set_by_name(dir, name, entry)
            }
            Kind::Other(flag) => Err(TarError::entry(
                "unpack",
                &entry.path,
                std::io::Error::other(format!("unknown entry type {:?}", char::from(flag))),
            )),
        }
    }

    /// Runs an exclusive creation; where something exists, removes it and tries again.
    pub(super) fn exclusively<T>(
        &mut self,
        dir: &Dir,
        name: &[u8],
        entry: &Entry,
        create: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, TarError> {
        match create() {
            Err(Errno::EXIST) => {}
            result => return result.map_err(|error| TarError::entry("create", &entry.path, error)),
        }
        let stat = stat(dir, name, entry)?;
        let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if is_dir && self.options.keep_directories {
            return Err(TarError::DirectoryInTheWay(lossy(&entry.path)));
        }
        self.displace(dir, name, is_dir, entry)?;
        create().map_err(|error| TarError::entry("create", &entry.path, error))
    }

    /// Gets rid of what has the name: out of the tree where a recipe may still need its contents.
    fn displace(
        &mut self,
        dir: &Dir,
        name: &[u8],
        is_dir: bool,
        entry: &Entry,
    ) -> Result<(), TarError> {
        // Anything looked up before may have led through it.
        self.dirs.clear();
        let os_name = OsStr::from_bytes(name);
        let error = |error: std::io::Error| TarError::entry("replace", &entry.path, error);
        if let Some(shadow) = self.shadow {
            let index = self.applied.shadowed.len() as u64;
            renameat(&dir.fd, os_name, shadow, index.to_string())
                .map_err(|errno| error(errno.into()))?;
            let before = self.records;
            let path = join(&dir.real, name);
            self.applied.shadowed.push(Shadowed { path, before, index });
            return Ok(());
        }
        if is_dir {
            crate::remove::tree_at(&dir.fd, os_name).map_err(error)
        } else {
            unlinkat(&dir.fd, os_name, AtFlags::empty()).map_err(|errno| error(errno.into()))
        }
    }

    fn directory(
        &mut self,
        dir: &Rc<Dir>,
        path: &[u8],
        name: &[u8],
        entry: &Entry,
    ) -> Result<(), TarError> {
        let os_name = OsStr::from_bytes(name);
        let create = || mkdirat(&dir.fd, os_name, Mode::from_raw_mode(0o700));
        let mut opaque = false;
        match create() {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = stat(dir, name, entry)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    if self.options.keep_directories {
                        return Err(TarError::NonDirectoryInTheWay(lossy(&entry.path)));
                    }
                    // A new directory where this layer has a whiteout hides what is below.
                    opaque = self.options.whiteouts == Whiteouts::Overlay && is_whiteout(&stat);
                    self.displace(dir, name, false, entry)?;
                    create().map_err(|error| TarError::entry("create", &entry.path, error))?;
                }
            }
            Err(error) => return Err(TarError::entry("create", &entry.path, error)),
        }
        let fd = openat(&dir.fd, os_name, OPEN_DIR, Mode::empty())
            .map_err(|error| TarError::entry("open", &entry.path, error))?;
        let made = self.remember(path, Dir { fd, real: join(&dir.real, name) });
        if opaque {
            set_opaque(&made, entry)?;
        }
        self.set_directory(&made, entry)
    }

    fn hardlink(&mut self, dir: &Rc<Dir>, name: &[u8], entry: &Entry) -> Result<(), TarError> {
        let bad = || TarError::Link { name: lossy(&entry.path), target: lossy(&entry.link) };
        let target = clean(&entry.link).filter(|target| !target.is_empty()).ok_or_else(bad)?;
        let (target_parent, target_name) = split(&target);
        let target_dir = match self.dirs.get(target_parent) {
            Some(dir) => dir.clone(),
            None => {
                let found = self
                    .root
                    .dir(target_parent)
                    .map_err(|error| TarError::entry("link", &entry.path, error))?;
                self.remember(target_parent, found)
            }
        };
        // Replacing the target by a link to itself would lose it.
        if target_dir.real == dir.real && target_name == name {
            return stat(dir, name, entry).map(drop);
        }
        self.exclusively(dir, name, entry, || {
            let (from, to) = (OsStr::from_bytes(target_name), OsStr::from_bytes(name));
            // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is one to the link itself.
            linkat(&target_dir.fd, from, &dir.fd, to, AtFlags::empty())
        })
    }

    fn whiteout(&mut self, dir: &Rc<Dir>, hidden: &[u8], entry: &Entry) -> Result<(), TarError> {
        let name = OsStr::from_bytes(hidden);
        let made = mknodat(&dir.fd, name, FileType::CharacterDevice, Mode::empty(), 0);
        match made {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                // The layer has the name itself: a file hides what is below anyway, a directory
                // has to be told to.
                match openat(&dir.fd, name, OPEN_DIR, Mode::empty()) {
                    Ok(fd) => set_opaque(&Dir { fd, real: Vec::new() }, entry),
                    Err(_) => Ok(()),
                }
            }
            Err(error) => Err(TarError::entry("create", &entry.path, error)),
        }
    }

    fn set_directory(&mut self, dir: &Rc<Dir>, entry: &Entry) -> Result<(), TarError> {
        self.applied.ignored_xattrs +=
            metadata::set_open(&dir.fd, entry, self.options.owner_of(entry)?, 0o700)?;
        let atime = entry.atime.unwrap_or(entry.mtime);
        self.dir_times.push((dir.real.clone(), atime, entry.mtime));
        Ok(())
    }

    fn set_by_name(&mut self, dir: &Dir, name: &[u8], entry: &Entry) -> Result<(), TarError> {
        let expect = entry.mode & !self.umask;
        self.applied.ignored_xattrs +=
            metadata::set_by_name(&dir.fd, name, entry, self.options.owner_of(entry)?, expect)?;
        Ok(())
    }
}

/// Reads a name of a layer; `None` if it is one that must not be.
fn layer_name<'a>(parent: &[u8], name: &'a [u8]) -> Option<Name<'a>> {
    for part in parent.split(|byte| *byte == b'/') {
        if part.starts_with(b".wh..wh.") {
            return Some(Name::Ignored);
        }
        if part.starts_with(b".wh.") {
            return None;
        }
    }
    match name.strip_prefix(b".wh.") {
        None => Some(Name::Plain),
        Some(b".wh..opq") => Some(Name::Opaque),
        Some(rest) if rest.starts_with(b".wh.") => Some(Name::Ignored),
        Some(b"" | b"." | b"..") => None,
        Some(hidden) => Some(Name::Whiteout(hidden)),
    }
}

pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn stat(dir: &Dir, name: &[u8], entry: &Entry) -> Result<Stat, TarError> {
    statat(&dir.fd, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| TarError::entry("look at", &entry.path, error))
}

fn set_opaque(dir: &Dir, entry: &Entry) -> Result<(), TarError> {
    fsetxattr(&dir.fd, OPAQUE, b"y", XattrFlags::empty())
        .map_err(|error| TarError::entry("mark as opaque", &entry.path, error))
}
