//! Paths below a root that somebody hostile may be rearranging.
//!
//! Everything is resolved once, to a descriptor, with `openat2(2)` and `RESOLVE_IN_ROOT`: `..`,
//! absolute paths and absolute symbolic links mean what they would mean after a chroot, and magic
//! links (`/proc/<pid>/root` and the like) are refused. On kernels before 5.6 a walk does the same
//! with one descriptor for each component, so that a directory moved meanwhile changes nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;

/// Symbolic links followed before `ELOOP`, the kernel's number.
const MAX_LINKS: usize = 40;

/// Opens `path` inside `root`, following symbolic links inside it only.
///
/// [openat2(2)](https://man7.org/linux/man-pages/man2/openat2.2.html)
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::empty())
}

/// As [`open`], and refuses every symbolic link and every mount point below `root`. For procfs,
/// where both could lead a write somewhere else (CVE-2025-52881).
pub fn open_beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV)
}

/// As [`open`], and refuses symbolic links, the last component included.
pub fn open_no_links(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::NO_SYMLINKS)
}

fn open_with(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    extra: ResolveFlags,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | extra;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    // RESOLVE_IN_ROOT answers EAGAIN when a rename or mount anywhere raced with a `..`.
    for _ in 0..64 {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Seccomp profiles older than the call answer EPERM, and the call itself never does.
            Err(Errno::NOSYS | Errno::PERM) => {
                return walk(root, path, flags, extra.contains(ResolveFlags::NO_SYMLINKS));
            }
            other => return Ok(other?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens the directory `path` inside `root`, making what is missing of it with `mode`.
pub fn ensure_dir(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    match open(root, path, directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let (mut current, missing) = deepest(root, path)?;
    for name in missing {
        match mkdirat(&current, &name, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // A symbolic link that appeared under our hands is somebody playing: refused.
        let flags = directory | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        current = openat(&current, &name, flags, Mode::empty())?;
    }
    Ok(current)
}

/// Opens `path` inside `root` with `O_PATH`, making an empty file there, and the directories above
/// it, if nothing is. What exists may be of any type.
pub fn ensure_file(root: BorrowedFd<'_>, path: &Path, mode: Mode) -> io::Result<OwnedFd> {
    match open(root, path, OFlags::PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let (parent, name) = ensure_parent(root, path)?;
    let create =
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&parent, &name, create, mode) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let found = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(&parent, &name, found, Mode::empty())?)
}

/// Opens the directory that `path` is in, making what is missing, and returns the last name.
pub fn ensure_parent(root: BorrowedFd<'_>, path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
    let parent = path.parent().unwrap_or(Path::new("."));
    Ok((ensure_dir(root, parent, Mode::from_raw_mode(0o755))?, name))
}

/// Opens the longest existing part of `path` and returns the names below it. A dangling symbolic
/// link on the way is followed to the place inside the root where it points.
fn deepest(root: BorrowedFd<'_>, path: &Path) -> io::Result<(OwnedFd, Vec<OsString>)> {
    let mut walker = Walker::new(root)?;
    let mut missing: Vec<OsString> = Vec::new();
    walker.push(path);
    while let Some(name) = walker.next() {
        if !missing.is_empty() {
            match name.as_bytes() {
                b".." => drop(missing.pop()),
                _ => missing.push(name),
            }
            continue;
        }
        match walker.step(&name, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(name),
            other => other?,
        }
    }
    Ok((walker.finish()?, missing))
}

fn walk(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    refuse_links: bool,
) -> io::Result<OwnedFd> {
    let mut walker = Walker::new(root)?;
    walker.push(path);
    while let Some(name) = walker.next() {
        if walker.is_last() && flags.contains(OFlags::NOFOLLOW) && name != ".." {
            let flags = flags | OFlags::CLOEXEC;
            return Ok(openat(walker.here(), &name, flags, Mode::empty())?);
        }
        walker.step(&name, refuse_links)?;
    }
    let found = walker.finish()?;
    if flags.contains(OFlags::PATH) {
        if flags.contains(OFlags::DIRECTORY) {
            rustix::fs::fstat(&found).and_then(|stat| {
                let is_dir = FileType::from_raw_mode(stat.st_mode).is_dir();
                if is_dir { Ok(()) } else { Err(Errno::NOTDIR) }
            })?;
        }
        return Ok(found);
    }
    // The object is pinned by now: reopening it through procfs cannot reach another one.
    let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&found));
    Ok(openat(rustix::fs::CWD, again, flags | OFlags::CLOEXEC, Mode::empty())?)
}

/// A walk down from a root that keeps a descriptor for each directory passed.
struct Walker<'a> {
    root: BorrowedFd<'a>,
    above: Vec<OwnedFd>,
    /// Names still to go, in reverse.
    names: Vec<OsString>,
    links: usize,
}

impl<'a> Walker<'a> {
    fn new(root: BorrowedFd<'a>) -> io::Result<Self> {
        Ok(Self { root, above: Vec::new(), names: Vec::new(), links: 0 })
    }

    fn push(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        self.names.extend(names);
    }

    fn next(&mut self) -> Option<OsString> {
        self.names.pop()
    }

    fn is_last(&self) -> bool {
        self.names.is_empty()
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.above.last().map_or(self.root, AsFd::as_fd)
    }

    fn step(&mut self, name: &OsStr, refuse_links: bool) -> io::Result<()> {
        if name == ".." {
            self.above.pop();
            return Ok(());
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = openat(self.here(), name, flags, Mode::empty())?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&entry)?.st_mode);
        if kind.is_symlink() {
            self.links += 1;
            if refuse_links || self.links > MAX_LINKS || is_magic(entry.as_fd())? {
                return Err(Errno::LOOP.into());
            }
            let target = rustix::fs::readlinkat(&entry, "", Vec::new())?.into_bytes();
            let target = OsString::from_vec(target);
            if Path::new(&target).is_absolute() {
                self.above.clear();
            }
            self.push(Path::new(&target));
            return Ok(());
        }
        if !kind.is_dir() && !self.is_last() {
            return Err(Errno::NOTDIR.into());
        }
        self.above.push(entry);
        Ok(())
    }

    fn finish(mut self) -> io::Result<OwnedFd> {
        match self.above.pop() {
            Some(fd) => Ok(fd),
            None => Ok(self.root.try_clone_to_owned()?),
        }
    }
}

/// Links on procfs may lead out of any root, so none is followed there.
fn is_magic(link: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(link)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A directory with a decoy next to the root that nothing may reach.
    fn fixture(name: &str) -> (std::path::PathBuf, OwnedFd) {
        let base =
            std::env::temp_dir().join(format!("skiff-resolve-{name}-{}", std::process::id()));
        std::fs::create_dir_all(base.join("root/a/b")).unwrap();
        std::fs::create_dir_all(base.join("decoy")).unwrap();
        symlink("../../decoy", base.join("root/out")).unwrap();
        symlink("/a", base.join("root/absolute")).unwrap();
        symlink("/fresh/dir", base.join("root/dangling")).unwrap();
        symlink("loop", base.join("root/loop")).unwrap();
        let root = openat(
            rustix::fs::CWD,
            base.join("root"),
            OFlags::PATH | OFlags::DIRECTORY,
            Mode::empty(),
        );
        (base, root.unwrap())
    }

    fn place(fd: &OwnedFd) -> std::path::PathBuf {
        std::fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(fd)))
            .unwrap()
    }

    #[test]
    fn the_walk_and_openat2_agree() {
        let (base, root) = fixture("agree");
        for path in
            ["a/b", "/a/b", "absolute/b", "a/../a/b", "../../a", "out", "loop", "a/b/c", "/"]
        {
            let path = Path::new(path);
            let flags = OFlags::PATH;
            let fast = open(root.as_fd(), path, flags).map(|fd| place(&fd)).map_err(|e| e.kind());
            let slow =
                walk(root.as_fd(), path, flags, false).map(|fd| place(&fd)).map_err(|e| e.kind());
            assert_eq!(fast, slow, "{path:?}");
        }
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn directories_are_made_inside_the_root_only() {
        let (base, root) = fixture("mkdir");
        for (path, expected) in [
            ("x/y", "x/y"),
            ("/out/z", "decoy/z"),
            ("dangling/deep", "fresh/dir/deep"),
            ("absolute/c", "a/c"),
            ("n1/../n2", "n2"),
        ] {
            let made = ensure_dir(root.as_fd(), Path::new(path), Mode::from_raw_mode(0o755));
            assert_eq!(place(&made.unwrap()), base.join("root").join(expected), "{path}");
        }
        assert_eq!(std::fs::read_dir(base.join("decoy")).unwrap().count(), 0);
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_missing_file_is_made_and_a_directory_left_alone() {
        let (base, root) = fixture("file");
        let mode = Mode::from_raw_mode(0o644);
        ensure_file(root.as_fd(), Path::new("/etc/conf"), mode).unwrap();
        assert!(base.join("root/etc/conf").is_file());
        ensure_file(root.as_fd(), Path::new("/a"), mode).unwrap();
        assert!(base.join("root/a").is_dir());
        std::fs::remove_dir_all(base).unwrap();
    }
}
