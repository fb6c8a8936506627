//! Reads a directory tree through descriptors, names in order, so that two walks of one tree are
//! the same.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, openat, statat};
use rustix::io::Errno;

/// Names in a directory, sorted by their bytes, without `.` and `..`.
pub fn names(dir: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut names = Vec::new();
    // A second descriptor, so that the reading position of the caller's is left alone.
    let fresh = openat(dir, ".", directory(), Mode::empty())?;
    let mut entries = RawDir::new(&fresh, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Opens a directory in a directory, not following a link.
pub fn open_dir(dir: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    Ok(openat(dir, OsStr::from_bytes(name), directory(), Mode::empty())?)
}

/// Looks at a name in a directory, not following a link.
pub fn look(dir: impl AsFd, name: &[u8]) -> io::Result<Stat> {
    Ok(statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// As [`look`], with absence as `None`.
pub fn look_if_there(dir: impl AsFd, name: &[u8]) -> io::Result<Option<Stat>> {
    match look(dir, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The type of what was looked at.
pub fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Extended attributes of `name` in `dir` itself (not of what a link points to), sorted.
pub fn xattrs(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat();
    let path = OsStr::from_bytes(&path);
    let list = match grow(|buffer| rustix::fs::llistxattr(path, buffer)) {
        Ok(list) => list,
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut pairs = Vec::new();
    for attribute in list.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(attribute);
        match grow(|buffer| rustix::fs::lgetxattr(path, name, buffer)) {
            Ok(value) => pairs.push((attribute.to_vec(), value)),
            // Removed since, or not ours to read.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    pairs.sort_unstable();
    Ok(pairs)
}

/// Calls with a small buffer first: nearly all attributes fit.
fn grow(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(n) => return Ok(small[..n].to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut large = vec![0; 64 << 10];
    let n = call(&mut large)?;
    large.truncate(n);
    Ok(large)
}
