//! A running container's control group, found through its process: that works for every driver,
//! parent and cgroup version, and never touches a group the container is not in.

use std::{fs, io};

use skiff_runtime::cgroup::{Cgroup, CgroupPaths, host_layout};

use super::record::Record;
use super::spec::resources::DEFAULT_PARENT;
use crate::config::{CgroupDriver, EngineConfig};
use crate::error::{Error, Result};

const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

/// The group of the container whose init is `pid`.
pub(crate) fn of(record: &Record, pid: i32) -> Result<Cgroup> {
    let what = || format!("find the control group of container {}", record.id);
    let ended = || Error::conflict(format!("container {} is not running", record.id));
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|error| {
        // No such process: it has ended, and the news is on its way.
        if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH) {
            ended()
        } else {
            Error::failed(what(), error)
        }
    })?;
    let layout = host_layout().map_err(|error| Error::failed(what(), error))?;
    let paths = CgroupPaths::of_process(layout, &text, &record.id);
    // A process that has ended is in no group of v1 but the root, while nobody has reaped it.
    if paths == CgroupPaths::default() {
        return Err(ended());
    }
    Ok(Cgroup::open(paths))
}

/// Removes the group that containers' groups were made in, unless there are some. One that the
/// user named is the user's.
pub(super) async fn leave(config: &EngineConfig) {
    if config.cgroup_driver == CgroupDriver::Systemd || !config.cgroup_parent.is_empty() {
        return;
    }
    // Nobody is harmed by an empty group, so a failure is nothing to tell of.
    let _ = tokio::task::spawn_blocking(|| Cgroup::remove_parent(DEFAULT_PARENT)).await;
}

/// The group of a container whose init nobody knows: that of any process in one with its id.
fn find(record: &Record) -> Option<Cgroup> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| of(record, pid).ok()).next()
}

/// Kills whatever is left of a container whose monitor has died.
pub(super) async fn kill(record: &Record, pid: Option<i32>) {
    let record = record.clone();
    let done = tokio::task::spawn_blocking(move || -> Result<()> {
        let known = pid.and_then(|pid| of(&record, pid).ok());
        let Some(group) = known.or_else(|| find(&record)) else { return Ok(()) };
        group
            .kill_all()
            .and_then(|()| group.remove())
            .map_err(|error| Error::failed(format!("kill container {}", record.id), error))
    });
    match done.await {
        // Gone already, which is what was wanted.
        Ok(_) | Err(_) => {}
    }
}
