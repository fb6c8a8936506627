//! Removes trees through descriptors, so that a link swapped in on the way is removed, not
//! followed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, renameat, unlinkat};
use rustix::io::Errno;

use crate::tar::walk::{file_type, look, names, open_dir};

/// A directory on the way down and what is left in it.
struct Level {
    fd: OwnedFd,
    name: Vec<u8>,
    children: std::vec::IntoIter<Vec<u8>>,
}

/// Trees deeper than this are cut: a descriptor is open for each level.
const DEPTH_MAX: usize = 128;

/// Removes `name` in `dir` with everything below; absence is no error. What lies too deep is moved
/// next to `name` first, so `dir` should hold nothing else that matters.
pub(crate) fn tree_at(dir: impl AsFd, name: &OsStr) -> io::Result<()> {
    let mut cut = Cut { top: name.as_bytes().to_vec(), count: 0, pending: Vec::new() };
    one_tree(dir.as_fd(), name, &mut cut)?;
    while let Some(name) = cut.pending.pop() {
        one_tree(dir.as_fd(), OsStr::from_bytes(&name), &mut cut)?;
    }
    Ok(())
}

/// Subtrees that were moved up.
struct Cut {
    top: Vec<u8>,
    count: u64,
    pending: Vec<Vec<u8>>,
}

fn one_tree(dir: BorrowedFd<'_>, name: &OsStr, cut: &mut Cut) -> io::Result<()> {
    let Some(level) = remove_or_enter(dir, name.as_bytes())? else { return Ok(()) };
    // A list instead of recursion: trees may be deeper than a thread's stack.
    let mut levels = vec![level];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Ok(()) };
        if let Some(child) = level.children.next() {
            if depth >= DEPTH_MAX && is_dir(&level.fd, &child) {
                cut.count += 1;
                let moved = [&cut.top[..], format!(".deep-{}", cut.count).as_bytes()].concat();
                renameat(&level.fd, OsStr::from_bytes(&child), dir, OsStr::from_bytes(&moved))?;
                cut.pending.push(moved);
                continue;
            }
            if let Some(deeper) = remove_or_enter(level.fd.as_fd(), &child)? {
                levels.push(deeper);
            }
            continue;
        }
        let Some(done) = levels.pop() else { return Ok(()) };
        let parent = levels.last().map_or(dir, |level| level.fd.as_fd());
        match unlinkat(parent, OsStr::from_bytes(&done.name), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_dir(dir: &OwnedFd, name: &[u8]) -> bool {
    look(dir, name).is_ok_and(|stat| file_type(&stat) == FileType::Directory)
}

/// Removes what is not a directory; opens what is.
fn remove_or_enter(dir: impl AsFd, name: &[u8]) -> io::Result<Option<Level>> {
    match unlinkat(&dir, OsStr::from_bytes(name), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    match open_dir(&dir, name) {
        Ok(fd) => {
            let children = names(&fd)?.into_iter();
            Ok(Some(Level { fd, name: name.to_vec(), children }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
