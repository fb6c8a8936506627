//! Owner, mode, attributes and times, in the order in which each survives the next: `chown` takes
//! set-id bits and capabilities away, so modes and attributes come after it, times last.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod,
    fchown, fsetxattr, futimens, lsetxattr, openat, utimensat,
};
use rustix::io::Errno;

use crate::tar::{Entry, Kind, TarError, Time, lossy};

/// Reads the process's umask without changing it, as other threads create files meanwhile.
pub(super) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    // Unknown: assume that every bit is taken off, so that modes are always set.
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o777)
}

fn timestamps(atime: Time, mtime: Time) -> Timestamps {
    let spec = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    Timestamps { last_access: spec(atime), last_modification: spec(mtime) }
}

/// Sets times of an open file.
pub(super) fn set_times(fd: impl AsFd, atime: Time, mtime: Time) -> io::Result<()> {
    Ok(futimens(fd, &timestamps(atime, mtime))?)
}

/// Sets all but times on an open file that was just created with mode `created`; gives the number
/// of attributes that the file system does not know.
pub(super) fn set_open(
    fd: impl AsFd,
    entry: &Entry,
    (uid, gid): (u32, u32),
    created: u32,
) -> Result<u64, TarError> {
    let fd = fd.as_fd();
    // Files are made as root; a directory may be an older one of somebody else's.
    if (uid, gid) != (0, 0) || entry.kind == Kind::Directory {
        fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(|error| TarError::entry("change the owner of", &entry.path, error))?;
    }
    if entry.mode != created || entry.kind == Kind::Directory {
        fchmod(fd, Mode::from_raw_mode(entry.mode))
            .map_err(|error| TarError::entry("change the mode of", &entry.path, error))?;
    }
    let mut ignored = 0;
    for (name, value) in kept_xattrs(entry) {
        let result = fsetxattr(fd, OsStr::from_bytes(name), value, XattrFlags::empty());
        ignored += u64::from(!xattr_taken(result, name, entry)?);
    }
    Ok(ignored)
}

/// Sets everything on what cannot be opened for it: links and special files. `created` is the mode
/// it has.
pub(super) fn set_by_name(
    dir: BorrowedFdArg<'_>,
    name: &[u8],
    entry: &Entry,
    (uid, gid): (u32, u32),
    created: u32,
) -> Result<u64, TarError> {
    let os_name = OsStr::from_bytes(name);
    if (uid, gid) != (0, 0) {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(dir, os_name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| TarError::entry("change the owner of", &entry.path, error))?;
    }
    let mode_differs = entry.mode != created || entry.mode & 0o6000 != 0;
    if entry.kind != Kind::Symlink && mode_differs {
        chmod_special(dir.as_fd(), os_name, entry.mode)
            .map_err(|error| TarError::entry("change the mode of", &entry.path, error))?;
    }
    let mut ignored = 0;
    for (xattr, value) in kept_xattrs(entry) {
        // There is no fsetxattr for what cannot be opened; the directory's descriptor still keeps
        // the path from leading elsewhere, and `l` keeps the name from being followed.
        let fd = dir.as_fd().as_raw_fd();
        let path = [format!("/proc/self/fd/{fd}/").as_bytes(), name].concat();
        let xattr_name = OsStr::from_bytes(xattr);
        let result = lsetxattr(OsStr::from_bytes(&path), xattr_name, value, XattrFlags::empty());
        ignored += u64::from(!xattr_taken(result, xattr, entry)?);
    }
    let times = timestamps(entry.atime.unwrap_or(entry.mtime), entry.mtime);
    utimensat(dir, os_name, &times, AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|error| TarError::entry("set times of", &entry.path, error))?;
    Ok(ignored)
}

/// A directory by its descriptor.
pub(super) type BorrowedFdArg<'a> = &'a std::os::fd::OwnedFd;

/// `fchmodat` follows links; an `O_PATH` descriptor of the file itself cannot be swapped.
fn chmod_special(dir: BorrowedFd<'_>, name: &OsStr, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(dir, name, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

/// Attributes of the archive without those that steer overlay: an image must not hide or redirect
/// files by them.
fn kept_xattrs(entry: &Entry) -> impl Iterator<Item = (&[u8], &[u8])> {
    let overlay =
        |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    let pairs = entry.xattrs.iter().map(|(name, value)| (&name[..], &value[..]));
    pairs.filter(move |(name, _)| !overlay(name))
}

/// Whether the attribute was set; a file system without attributes is not an error, as in Docker.
fn xattr_taken(result: Result<(), Errno>, name: &[u8], entry: &Entry) -> Result<bool, TarError> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::NOTSUP | Errno::PERM) => Ok(false),
        Err(error) => Err(TarError::Entry {
            action: "set an attribute of",
            name: format!("{} ({})", lossy(&entry.path), lossy(name)),
            source: error.into(),
        }),
    }
}
