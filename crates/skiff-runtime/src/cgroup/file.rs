//! Reading and writing the small files of a control group directory.
//!
//! One `write(2)` for each value, since the kernel takes a setting by the call. Paths are the
//! host's; nothing in a container can influence what is at them.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::error::{CgroupError, Result};

/// Opens a file for writing.
pub(super) fn open_write(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| CgroupError::Open { path: path.into(), source: error.into() })
}

/// Writes one value.
pub(super) fn write(dir: &Path, name: &str, value: &str) -> Result<()> {
    let path = dir.join(name);
    let fd = open_write(&path)?;
    write_fd(&fd, &path, value)
}

/// Writes one value to an open file; `path` is for the error.
pub(super) fn write_fd(fd: &OwnedFd, path: &Path, value: &str) -> Result<()> {
    loop {
        match rustix::io::write(fd, value.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => {
                return Err(CgroupError::Write {
                    path: path.into(),
                    value: value.into(),
                    source: error.into(),
                });
            }
        }
    }
}

/// Reads a whole file as text.
pub(super) fn read(dir: &Path, name: &str) -> Result<String> {
    let path = dir.join(name);
    read_path(&path).map_err(|source| CgroupError::Read { path, source })
}

/// Reads a file that this kernel may not have.
pub(super) fn read_if_there(dir: &Path, name: &str) -> Result<Option<String>> {
    match read(dir, name) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.is_missing_file() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads without asking for the size first, which control group files do not know.
fn read_path(path: &Path) -> io::Result<String> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::with_capacity(512);
    loop {
        if text.spare_capacity_mut().is_empty() {
            text.reserve(4096);
        }
        match rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut text)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    String::from_utf8(text).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

/// Reads a file that holds one number; "max" is `u64::MAX`.
pub(super) fn read_number(dir: &Path, name: &str) -> Result<Option<u64>> {
    let Some(text) = read_if_there(dir, name)? else { return Ok(None) };
    let text = text.trim();
    if text == "max" {
        return Ok(Some(u64::MAX));
    }
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(CgroupError::InvalidContent { path: dir.join(name), line: text.into() }),
    }
}

/// Finds a key in text of `key value` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    pairs(text).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// Splits text into its `key value` lines; lines of another form are passed over.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        let value = value.trim();
        Some((key, if value == "max" { u64::MAX } else { value.parse().ok()? }))
    })
}

/// Lists the processes of one directory; a directory that is gone has none.
pub(super) fn read_pids(dir: &Path) -> Result<Vec<i32>> {
    let text = match read(dir, "cgroup.procs") {
        Ok(text) => text,
        Err(error) if error.is_missing_file() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    text.lines()
        .map(|line| {
            line.parse().map_err(|_| CgroupError::InvalidContent {
                path: dir.join("cgroup.procs"),
                line: line.into(),
            })
        })
        .collect()
}

/// Calls `visit` for a directory and everything below it, children before their parent.
pub(super) fn for_each_below(dir: &Path, visit: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    // A container nests as deep as it likes: the stack is ours, not the thread's.
    let mut pending: Vec<(PathBuf, bool)> = vec![(dir.to_owned(), false)];
    while let Some((dir, expanded)) = pending.pop() {
        if expanded {
            visit(&dir)?;
            continue;
        }
        let children = child_dirs(&dir)?;
        pending.push((dir.clone(), true));
        pending.extend(children.iter().map(|name| (dir.join(name), false)));
    }
    Ok(())
}

/// Lists the names of the directories in one; a directory that is gone has none.
fn child_dirs(dir: &Path) -> Result<Vec<std::ffi::OsString>> {
    let failed = |source| CgroupError::Read { path: dir.into(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => break,
            Err(error) => return Err(failed(error)),
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

/// How often a directory is tried to be made.
const ATTEMPTS: usize = 8;

/// Makes a directory, with its parents if need be; `on_new_parent` is called for each of those, the
/// outermost first. Tells whether the directory is new, and so has the kernel's defaults: one that
/// is left of an earlier container is made anew if it is empty.
pub(super) fn make_dir(
    dir: &Path,
    on_new_parent: &mut dyn FnMut(&Path) -> Result<()>,
) -> Result<bool> {
    let failed = |error: Errno| CgroupError::Create { path: dir.into(), source: error.into() };
    // Whoever makes or removes the same groups may come between any two calls, but not for ever.
    let mut removed = false;
    for _ in 0..ATTEMPTS {
        match rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) if removed || rustix::fs::rmdir(dir).is_err() => return Ok(false),
            Err(Errno::EXIST) => removed = true,
            Err(Errno::NOENT) => {
                let parent = dir.parent().filter(|parent| parent.components().count() > 1);
                let parent = parent.ok_or_else(|| failed(Errno::NOENT))?;
                make_parent(parent, on_new_parent)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(Errno::NOENT))
}

/// Makes a parent. It may be another container's too, which starts at the same time.
fn make_parent(dir: &Path, on_new: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    if dir.exists() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_parent(parent, on_new)?;
    }
    match rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)) {
        Ok(()) => on_new(dir),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(CgroupError::Create { path: dir.into(), source: error.into() }),
    }
}

impl CgroupError {
    /// Tells whether the file, or the whole group, does not exist. A group removed while one of
    /// its files is open answers ENODEV.
    pub fn is_missing_file(&self) -> bool {
        self.errno().is_some_and(|errno| matches!(errno, Errno::NOENT | Errno::NODEV))
    }

    /// Returns the kernel's error number, where there is one.
    pub(super) fn errno(&self) -> Option<Errno> {
        match self {
            CgroupError::Create { source, .. }
            | CgroupError::Remove { source, .. }
            | CgroupError::Read { source, .. }
            | CgroupError::Open { source, .. }
            | CgroupError::Write { source, .. }
            | CgroupError::MemoryInUse { source, .. }
            | CgroupError::DeviceProgram { source, .. }
            | CgroupError::Bus { source, .. } => Errno::from_io_error(source),
            _ => None,
        }
    }
}
