//! Removes trees through descriptors, so that a link swapped in on the way is removed, not
//! followed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, unlinkat};
use rustix::io::Errno;

use crate::tar::walk::{names, open_dir};

/// A directory on the way down and what is left in it.
struct Level {
    fd: OwnedFd,
    name: Vec<u8>,
    children: std::vec::IntoIter<Vec<u8>>,
}

/// Removes `name` in `dir` with everything below; absence is no error.
pub(crate) fn tree_at(dir: impl AsFd, name: &OsStr) -> io::Result<()> {
    let Some(level) = remove_or_enter(dir.as_fd(), name.as_bytes())? else { return Ok(()) };
    // A list instead of recursion: trees may be deeper than a thread's stack.
    let mut levels = vec![level];
    while let Some(level) = levels.last_mut() {
        if let Some(child) = level.children.next() {
            if let Some(deeper) = remove_or_enter(level.fd.as_fd(), &child)? {
                levels.push(deeper);
            }
            continue;
        }
        let Some(done) = levels.pop() else { break };
        let parent = levels.last().map_or(dir.as_fd(), |level| level.fd.as_fd());
        match unlinkat(parent, OsStr::from_bytes(&done.name), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
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
