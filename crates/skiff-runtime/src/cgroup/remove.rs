//! Removing a control group.
//!
//! After its last process is reaped a group may stay busy for a moment (exiting threads, v1
//! hierarchies that still count a dying task), and a container with a cgroup namespace may have
//! made groups below its own.

use std::path::Path;
use std::time::Duration;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::error::{CgroupError, Result};
use super::{CgroupPaths, file};

/// Waits between attempts, in microseconds: together 0.1 s, most of which nobody ever sees.
const WAITS_US: [u64; 12] = [0, 0, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 50_000];

/// Removes the directories that have no groups below them.
pub(super) fn remove_childless(paths: &CgroupPaths) {
    for dir in paths.all_dirs() {
        // Busy while a group is in it, and gone while another engine was faster.
        let _ = remove_dir(dir);
    }
}

/// Removes all directories; goes on after a failure and reports the first one.
pub(super) fn remove(paths: &CgroupPaths) -> Result<()> {
    let mut first = Ok(());
    for dir in paths.all_dirs() {
        let removed = remove_tree(dir);
        if first.is_ok() {
            first = removed;
        }
    }
    first
}

fn remove_tree(dir: &Path) -> Result<()> {
    match remove_dir(dir) {
        Ok(()) => return Ok(()),
        Err(Errno::BUSY) => {}
        Err(error) => return Err(failed(dir, error)),
    }
    file::for_each_below(dir, &mut |dir| remove_when_idle(dir))
}

fn remove_when_idle(dir: &Path) -> Result<()> {
    for wait in WAITS_US {
        match remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) => {}
            Err(error) => return Err(failed(dir, error)),
        }
        if wait == 0 {
            std::thread::yield_now();
        } else {
            std::thread::sleep(Duration::from_micros(wait));
        }
    }
    remove_dir(dir).map_err(|error| failed(dir, error))
}

fn remove_dir(dir: &Path) -> std::result::Result<(), Errno> {
    match rustix::fs::unlinkat(rustix::fs::CWD, dir, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

fn failed(dir: &Path, error: Errno) -> CgroupError {
    CgroupError::Remove { path: dir.into(), source: error.into() }
}
