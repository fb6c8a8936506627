//! State of containers: `<root>/<id>/state.json`, and `start.sock` next to it while the container
//! waits to be started.
//!
//! A directory is claimed by making it; the record is written to a temporary name and renamed, so
//! a reader sees all of it or none. A directory without a record is a creation in progress, or what
//! is left of one that was killed; `delete --force` takes it away.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skiff_model::oci::{Hooks, State};

use super::process::Handle;
use super::{CommandError, Result};
use crate::cgroup::{Cgroup, CgroupPaths};
use crate::plan::check_id;

/// What is kept of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) oci_version: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    /// RFC 3339.
    pub(super) created: String,
    pub(super) owner: String,
    /// First process, in the namespace of the one who created it, with its start time in clock
    /// ticks since the machine's start: together they are never reused.
    pub(super) pid: i32,
    pub(super) start_time: u64,
    /// `CLONE_NEW*` of namespaces that are not the creator's.
    pub(super) namespaces: u64,
    pub(super) cgroup: CgroupPaths,
    pub(super) annotations: std::collections::BTreeMap<String, String>,
    /// `poststart` and `poststop` only.
    pub(super) hooks: Hooks,
}

/// Status words of the specification, and runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

const RECORD: &str = "state.json";

/// Name of the socket that starts a created container.
pub(super) const START_SOCKET: &str = "start.sock";

/// All containers below one root directory.
pub(super) struct Store {
    root: PathBuf,
}

impl Store {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn dir(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Claims an id. The directory is removed again if the claim is dropped without being kept.
    pub(super) fn claim(&self, id: &str) -> Result<Claim> {
        check_id(id)?;
        let dir = self.dir(id);
        let make = || fs::DirBuilder::new().mode(0o700).create(&dir);
        let made = make().or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root)?;
                make()
            }
            _ => Err(error),
        });
        match made {
            Ok(()) => Ok(Claim { dir, kept: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(CommandError::new("container with given ID already exists"))
            }
            Err(error) => Err(CommandError::io(dir.display(), error)),
        }
    }

    /// Loads a container.
    pub(super) fn load(&self, id: &str) -> Result<Container> {
        check_id(id)?;
        let path = self.dir(id).join(RECORD);
        match read(&path) {
            Ok(record) => Ok(Container { record, dir: self.dir(id) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(CommandError::new("container does not exist"))
            }
            Err(error) => Err(CommandError::io(path.display(), error)),
        }
    }

    /// All containers that have a record, by id. Those that cannot be read are left out.
    pub(super) fn list(&self) -> Result<Vec<Container>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|error| CommandError::io(self.root.display(), error))?,
        };
        let mut containers: Vec<Container> =
            entries.filter_map(|entry| self.load(entry.ok()?.file_name().to_str()?).ok()).collect();
        containers.sort_by(|a, b| a.record.id.cmp(&b.record.id));
        Ok(containers)
    }

    /// Removes what is left of a creation that never finished. Says whether there was anything.
    pub(super) fn remove_unfinished(&self, id: &str) -> Result<bool> {
        check_id(id)?;
        let dir = self.dir(id);
        match fs::remove_dir_all(&dir) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(CommandError::io(dir.display(), error)),
        }
    }
}

fn read(path: &Path) -> io::Result<Record> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// A directory that was made for a container in creation.
pub(super) struct Claim {
    pub(super) dir: PathBuf,
    kept: bool,
}

impl Claim {
    /// Writes the record, which makes the container exist for others.
    pub(super) fn keep(mut self, record: Record) -> Result<Container> {
        let temporary = self.dir.join(".state.json");
        let written = serde_json::to_vec(&record)
            .map_err(io::Error::from)
            .and_then(|bytes| fs::write(&temporary, bytes))
            .and_then(|()| fs::rename(&temporary, self.dir.join(RECORD)));
        written.map_err(|error| CommandError::io(temporary.display(), error))?;
        self.kept = true;
        Ok(Container { record, dir: std::mem::take(&mut self.dir) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            // The error that led here is what the user must see.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A container on record.
pub(super) struct Container {
    pub(super) record: Record,
    pub(super) dir: PathBuf,
}

impl Container {
    /// Its first process, if that still runs.
    pub(super) fn process(&self) -> Option<Handle> {
        Handle::open(self.record.pid, self.record.start_time)
    }

    pub(super) fn cgroup(&self) -> Cgroup {
        Cgroup::open(self.record.cgroup.clone())
    }

    pub(super) fn status(&self) -> Status {
        if self.process().is_none() {
            Status::Stopped
        } else if self.dir.join(START_SOCKET).exists() {
            Status::Created
        } else if self.cgroup().is_frozen().unwrap_or(false) {
            Status::Paused
        } else {
            Status::Running
        }
    }

    /// The state as hooks are told it.
    pub(super) fn oci_state(&self, status: &str, pid: Option<i32>) -> State {
        State {
            oci_version: self.record.oci_version.clone(),
            id: self.record.id.clone(),
            status: status.to_owned(),
            pid,
            bundle: self.record.bundle.clone(),
            annotations: self.record.annotations.clone(),
        }
    }

    /// Removes the record and all that is with it.
    pub(super) fn forget(self) -> Result<()> {
        // The few names there are, so that no directory has to be read.
        for name in [START_SOCKET, RECORD] {
            match fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(CommandError::io(self.dir.display(), error));
                }
                _ => {}
            }
        }
        match fs::remove_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                fs::remove_dir_all(&self.dir)
            }
            other => other,
        }
        .map_err(|error| CommandError::io(self.dir.display(), error))
    }
}
