//! New file systems, as detached mounts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen,
};
use skiff_sys::mount::attr;

use super::open_path;
use crate::failure::{Context, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::plan::Parameter;

/// Makes a file system and a detached mount of it.
pub(super) fn make(
    kind: &str,
    parameters: &[Parameter],
    attributes: u64,
) -> Result<OwnedFd, (io::Error, String)> {
    mount(&make_context(kind, parameters)?, attributes)
}

/// Makes a file system that is mounted nowhere.
pub(crate) fn make_context(
    kind: &str,
    parameters: &[Parameter],
) -> Result<OwnedFd, (io::Error, String)> {
    let plain = |error: rustix::io::Errno| (io::Error::from(error), String::new());
    let fs = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(plain)?;
    let said = |error: rustix::io::Errno| (io::Error::from(error), complaint(&fs));
    for Parameter { key, value } in parameters {
        let set = match value {
            Some(value) => fsconfig_set_string(&fs, key, value.as_str()),
            None => fsconfig_set_flag(&fs, key),
        };
        set.map_err(said)?;
    }
    fsconfig_create(&fs).map_err(said)?;
    Ok(fs)
}

/// Makes the detached mount of a new file system.
fn mount(fs: &OwnedFd, attributes: u64) -> Result<OwnedFd, (io::Error, String)> {
    let attributes = MountAttrFlags::from_bits_retain(attributes as u32);
    fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map_err(|error| (io::Error::from(error), complaint(fs)))
}

/// As [`make`], of what is ready if it is.
pub(super) fn make_unless_ready(
    ready: Option<OwnedFd>,
    kind: &str,
    parameters: &[Parameter],
    attributes: u64,
) -> Result<OwnedFd, (io::Error, String)> {
    match ready {
        Some(fs) => mount(&fs, attributes),
        None => make(kind, parameters, attributes),
    }
}

/// Parameters of the tmpfs that holds nothing and never will.
pub(crate) fn empty_directory() -> Vec<Parameter> {
    vec![value("source", "tmpfs"), value("nr_blocks", "1"), value("nr_inodes", "1")]
}

/// A parameter with a value.
pub(super) fn value(key: &str, value: &str) -> Parameter {
    Parameter { key: key.to_owned(), value: Some(value.to_owned()) }
}

/// What the kernel wrote into the context about the last failure, as " (text)"; empty if nothing.
pub(super) fn complaint(fs: &OwnedFd) -> String {
    let mut buffer = [0; 512];
    match rustix::io::read(fs, &mut buffer) {
        Ok(length) => {
            let text = String::from_utf8_lossy(&buffer[..length]);
            format!(" ({})", text.trim().trim_start_matches("e ").replace('\n', " "))
        }
        Err(_) => String::new(),
    }
}

/// A procfs of the current pid namespace that is attached nowhere.
pub(super) fn private_procfs() -> Result<OwnedFd, LaunchError> {
    let attributes = attr::NOSUID | attr::NODEV | attr::NOEXEC;
    make("proc", &[], attributes).map_err(|(error, _)| error).context(|| "make a procfs")
}

/// The procfs of the host, checked to be one.
pub(super) fn host_procfs() -> Result<OwnedFd, LaunchError> {
    let proc = open_path(Path::new("/proc"), OFlags::PATH | OFlags::DIRECTORY)?;
    if is_procfs(&proc)? {
        return Ok(proc);
    }
    Err(of_kind(LaunchErrorKind::Failed, "/proc is not a procfs".to_owned()))
}

/// Says whether a descriptor is on a procfs.
pub(super) fn is_procfs(fd: impl AsFd) -> Result<bool, LaunchError> {
    let kind = rustix::fs::fstatfs(fd.as_fd()).context(|| "statfs")?.f_type;
    Ok(kind == rustix::fs::PROC_SUPER_MAGIC)
}

/// Copies what lies below the directory `from` into the directory `to`, for `tmpcopyup`.
pub(super) fn copy_tree(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    use rustix::fs::{AtFlags, FileType, Gid, Uid, chownat, openat, readlinkat, statat, symlinkat};
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listing = openat(from, ".", readable, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&listing)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = statat(&listing, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, mode)?;
                let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let source = openat(&listing, name, directory | OFlags::CLOEXEC, Mode::empty())?;
                let target = openat(to, name, directory | OFlags::CLOEXEC, Mode::empty())?;
                copy_tree(&source, &target)?;
            }
            FileType::Symlink => {
                symlinkat(readlinkat(&listing, name, Vec::new())?, to, name)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let source = openat(&listing, name, flags, Mode::empty())?;
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let target = openat(to, name, flags, mode)?;
                io::copy(&mut std::fs::File::from(source), &mut std::fs::File::from(target))?;
            }
            _ => rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?,
        }
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        chownat(to, name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)?;
        if kind != FileType::Symlink {
            // Changing the owner took the set-id bits away.
            rustix::fs::chmodat(to, name, mode, AtFlags::empty())?;
        }
    }
    Ok(())
}
