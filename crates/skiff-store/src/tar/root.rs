//! A directory that nothing looked up in it can leave.
//!
//! Paths come from archives and images. They are resolved once, by `openat2(2)` where the kernel
//! has it and by a walk of file descriptors where not, as if the directory were `/`: `..` stops at
//! it and absolute links start at it. What is done to a file is then done through the descriptor.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};
use rustix::io::Errno;

/// As the kernel's own limit on symbolic links in one lookup.
const LINKS_MAX: usize = 40;

/// The directory.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

/// A directory below the root, and where it really is: without symbolic links.
#[derive(Debug)]
pub struct Dir {
    pub fd: OwnedFd,
    pub real: Vec<u8>,
}

static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Root {
    /// Opens a directory by a path that is ours, not a guest's.
    pub fn open_path(path: &Path) -> io::Result<Self> {
        Ok(Self { fd: openat(CWD, path, DIRECTORY, Mode::empty())? })
    }

    /// Takes an open directory.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// A second handle on the directory.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()? })
    }

    /// Opens `path` (relative, cleaned) with links followed inside the root. With `NOFOLLOW` in
    /// `flags` the last component is not followed.
    pub fn open(&self, path: &[u8], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match self.openat2(path, flags, mode, resolve) {
            Err(Errno::NOSYS) => {}
            result => return Ok(result?),
        }
        let follow = !flags.contains(OFlags::NOFOLLOW);
        let (dir, name) = self.walk(path, follow)?;
        match name {
            Some(name) => {
                Ok(openat(&dir.fd, OsStr::from_bytes(&name), flags | OFlags::NOFOLLOW, mode)?)
            }
            None => Ok(openat(&dir.fd, ".", flags, mode)?),
        }
    }

    /// Opens the directory `path`, following links inside the root.
    pub fn dir(&self, path: &[u8]) -> io::Result<Dir> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if let Ok(fd) = self.openat2(path, DIRECTORY, Mode::empty(), resolve) {
            return Ok(Dir { fd, real: path.to_vec() });
        }
        match self.walk(path, true)? {
            (dir, None) => Ok(dir),
            // Absent, or no directory: the kernel knows which.
            (dir, Some(name)) => {
                let fd = openat(&dir.fd, OsStr::from_bytes(&name), DIRECTORY, Mode::empty())?;
                Ok(Dir { fd, real: join(&dir.real, &name) })
            }
        }
    }

    /// As [`Root::dir`], making what is missing, with mode 0755.
    pub fn ensure_dir(&self, path: &[u8]) -> io::Result<Dir> {
        match self.dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let mut end = 0;
        let mut dir = Dir { fd: self.fd.try_clone()?, real: Vec::new() };
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            end += name.len() + usize::from(end > 0);
            let created =
                rustix::fs::mkdirat(&dir.fd, OsStr::from_bytes(name), Mode::from_raw_mode(0o755));
            match created {
                Ok(()) => {
                    let fd = openat(&dir.fd, OsStr::from_bytes(name), DIRECTORY, Mode::empty())?;
                    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
                    dir = Dir { fd, real: join(&dir.real, name) };
                }
                Err(Errno::EXIST) => dir = self.dir(&path[..end])?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(dir)
    }

    fn openat2(
        &self,
        path: &[u8],
        flags: OFlags,
        mode: Mode,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        if NO_OPENAT2.load(Ordering::Relaxed) {
            return Err(Errno::NOSYS);
        }
        let path = if path.is_empty() { &b"."[..] } else { path };
        // EAGAIN: something on the way was renamed during the lookup.
        for _ in 0..128 {
            match openat2(&self.fd, OsStr::from_bytes(path), flags, mode, resolve) {
                Err(Errno::AGAIN) => {}
                Err(Errno::NOSYS) => {
                    NO_OPENAT2.store(true, Ordering::Relaxed);
                    return Err(Errno::NOSYS);
                }
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Walks to `path`: the directory it is in and its name there, or only the directory if the
    /// path is one.
    fn walk(&self, path: &[u8], follow_last: bool) -> io::Result<(Dir, Option<Vec<u8>>)> {
        let mut stack: Vec<(Vec<u8>, OwnedFd)> = Vec::new();
        let mut todo: Vec<Vec<u8>> = reversed_components(path);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                stack.pop();
                continue;
            }
            let here = stack.last().map_or(self.fd.as_fd(), |(_, fd)| fd.as_fd());
            match openat(here, OsStr::from_bytes(&name), DIRECTORY, Mode::empty()) {
                Ok(fd) => {
                    stack.push((name, fd));
                    continue;
                }
                // ELOOP or ENOTDIR: a link, or not a directory.
                Err(Errno::LOOP | Errno::NOTDIR) => {}
                Err(Errno::NOENT) if todo.is_empty() => return finish(&self.fd, stack, Some(name)),
                Err(error) => return Err(error.into()),
            }
            let last = todo.is_empty();
            match readlinkat(here, OsStr::from_bytes(&name), Vec::new()) {
                Ok(_) if last && !follow_last => return finish(&self.fd, stack, Some(name)),
                Ok(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP.into());
                    }
                    let target = target.as_bytes();
                    if target.starts_with(b"/") {
                        stack.clear();
                    }
                    todo.extend(reversed_components(target));
                }
                Err(Errno::INVAL) if last => return finish(&self.fd, stack, Some(name)),
                Err(Errno::INVAL) => return Err(Errno::NOTDIR.into()),
                Err(error) => return Err(error.into()),
            }
        }
        finish(&self.fd, stack, None)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn finish(
    root: &OwnedFd,
    mut stack: Vec<(Vec<u8>, OwnedFd)>,
    name: Option<Vec<u8>>,
) -> io::Result<(Dir, Option<Vec<u8>>)> {
    let real = stack.iter().fold(Vec::new(), |real, (name, _)| join(&real, name));
    let fd = match stack.pop() {
        Some((_, fd)) => fd,
        None => root.try_clone()?,
    };
    Ok((Dir { fd, real }, name))
}

fn reversed_components(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|byte| *byte == b'/');
    parts.filter(|part| !part.is_empty() && part != b".").rev().map(<[u8]>::to_vec).collect()
}

/// `dir/name`; a directory that is empty or ends with a slash gets no further one.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir {
        [] | [.., b'/'] => [dir, name].concat(),
        dir => [dir, b"/", name].concat(),
    }
}

/// Splits a cleaned path into its directory and its name.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Cleans a path by its text alone: no leading slash, no `.`, no `..`; empty is the root itself.
/// `None` if it would leave the root.
pub fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let absolute = path.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() && !absolute {
                    return None;
                }
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_never_leaves_the_root() {
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(clean(path.as_bytes()).as_deref(), expect.map(str::as_bytes), "{path}");
        };
        check("a/b", Some("a/b"));
        check("./a//b/", Some("a/b"));
        check("/a", Some("a"));
        check("a/../b", Some("b"));
        check("/../a", Some("a"));
        check("", Some(""));
        check(".", Some(""));
        check("..", None);
        check("../a", None);
        check("a/../../b", None);
    }
}
