//! Control groups of a container, on v1, hybrid and unified (v2) hosts.
//!
//! [`Cgroup::create`] makes the directories and writes the limits, [`Cgroup::placement`] gives what
//! the container's first process needs to get in, and [`CgroupPaths`] is the description with which
//! another process opens the same group again. What to write is computed by pure functions
//! (`v1::settings`, `v2::settings`, `devices`) and carried out by `file`; only files whose value
//! differs from the kernel's default are touched.
//!
//! Invariant: a process enters by writing "0" to `tasks` (v1), or is born inside
//! (CLONE_INTO_CGROUP, v2). Moving it by number through `cgroup.procs` takes the kernel's global
//! percpu-rwsem for writing and so waits for an RCU grace period: measured 7.5 ms against 0.2 ms
//! for nine hierarchies (6.18, HZ=250, one start each 50 ms).

mod device_bpf;
mod devices;
mod error;
mod file;
mod freeze;
mod layout;
mod oom;
mod paths;
mod placement;
mod remove;
mod setting;
mod stats;
mod systemd;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use skiff_model::oci::Resources;

pub use self::error::{CgroupError, Result};
pub use self::layout::{Controller, Hierarchy, Layout, LayoutMode, host_layout};
pub use self::oom::OomEvents;
pub use self::placement::Placement;
pub use self::stats::{
    BlkioEntry, BlkioStats, CpuStats, HugetlbStats, MemoryStats, PidsStats, Stats,
};
use self::systemd::Placeholder;
use crate::launch::CgroupDriver;

/// What to create.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CgroupConfig {
    /// `linux.cgroupsPath`: with the cgroupfs driver a path, absolute from the root of each
    /// hierarchy or relative to the caller's own group; with systemd `slice:prefix:name`. Empty
    /// stands for the id.
    pub path: String,
    pub id: String,
    pub driver: CgroupDriver,
    pub resources: Resources,
}

/// Where a control group is: enough to open it again in another process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPaths {
    /// The v1 directories; several controllers share one when mounted together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub v1: Vec<ControllerDir>,
    /// The cgroup2 directory with the controllers; on hybrid hosts absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unified: Option<PathBuf>,
    /// The cgroup2 directory without controllers by which systemd, on hybrid hosts, knows which
    /// processes are in a scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<PathBuf>,
    /// The transient unit, when systemd made the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A directory of a v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerDir {
    pub controllers: Vec<Controller>,
    pub dir: PathBuf,
}

impl CgroupPaths {
    /// Returns the v1 directory of a controller.
    pub fn v1_dir(&self, controller: Controller) -> Option<&Path> {
        self.v1.iter().find(|d| d.controllers.contains(&controller)).map(|d| d.dir.as_path())
    }

    /// The groups that a process is in and that are the container's own: `table` is the process's
    /// `/proc/PID/cgroup`, and the container's id is in the name of each group. Works for every
    /// driver, parent and cgroup version, whoever made the groups.
    pub fn of_process(layout: &Layout, table: &str, id: &str) -> CgroupPaths {
        paths::of_process(layout, table, id)
    }

    /// Lists all directories.
    fn all_dirs(&self) -> impl Iterator<Item = &Path> {
        let v1 = self.v1.iter().map(|dir| dir.dir.as_path());
        v1.chain(self.unified.as_deref()).chain(self.tracking.as_deref())
    }

    /// Returns the directory whose `cgroup.procs` lists the container's processes.
    fn process_dir(&self) -> Option<&Path> {
        self.unified.as_deref().or_else(|| {
            // The pids hierarchy is the one least likely to be shared with another manager.
            self.v1_dir(Controller::Pids).or_else(|| self.v1.first().map(|d| d.dir.as_path()))
        })
    }
}

/// A control group that exists.
#[derive(Debug, Clone)]
pub struct Cgroup {
    paths: CgroupPaths,
    /// Keeps a scope of systemd alive until the first [`Placement`] takes it over.
    placeholder: Arc<Mutex<Option<Placeholder>>>,
}

impl Cgroup {
    /// Makes the group with its limits set. What was made is removed again on failure.
    pub fn create(config: &CgroupConfig) -> Result<Cgroup> {
        Cgroup::create_in(host_layout()?, config)
    }

    /// As [`Cgroup::create`], on the given hierarchies.
    pub fn create_in(layout: &Layout, config: &CgroupConfig) -> Result<Cgroup> {
        let cgroup = match config.driver {
            CgroupDriver::Cgroupfs => {
                let cgroup = Cgroup::open(paths::resolve(layout, config)?);
                cgroup.refuse_occupied()?;
                cgroup
            }
            CgroupDriver::Systemd => {
                let (paths, placeholder) = systemd::start_scope(layout, config)?;
                Cgroup { paths, placeholder: Arc::new(Mutex::new(Some(placeholder))) }
            }
        };
        let made = match &cgroup.paths.unified {
            Some(dir) => v2::create(layout, dir, &config.resources),
            None => v1::create(layout, &cgroup.paths, &config.resources),
        };
        match made {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                // The first error is what the user must see.
                drop(cgroup.remove());
                Err(error)
            }
        }
    }

    /// Removes the group at `path` that other groups were made in, unless there are some in it now.
    pub fn remove_parent(path: &str) -> Result<()> {
        let config = CgroupConfig { path: path.to_owned(), ..CgroupConfig::default() };
        let layout = host_layout()?;
        let paths = paths::resolve(layout, &config)?;
        // On hybrid hosts other runtimes make groups in the tree of version 2, too.
        let unified = layout.unified.as_ref().map(|root| root.join(path.trim_start_matches('/')));
        remove::remove_childless(&CgroupPaths {
            unified: paths.unified.clone().or(unified),
            ..paths
        });
        Ok(())
    }

    /// Says where a group will be that can be made while its first process is under way: on v1 a
    /// process enters whenever it likes, on v2 it has to be born inside. `None` if it has to be
    /// made first.
    pub fn made_meanwhile(config: &CgroupConfig) -> Result<Option<Cgroup>> {
        if config.driver != CgroupDriver::Cgroupfs {
            return Ok(None);
        }
        let paths = paths::resolve(host_layout()?, config)?;
        let enters_by_file = paths.unified.is_none() && !paths.v1.is_empty();
        Ok(enters_by_file.then(|| Cgroup::open(paths)))
    }

    /// Two containers in one group would share limits, and removing one would kill the other. One
    /// hierarchy stands for all, since asking each would cost more than it finds.
    fn refuse_occupied(&self) -> Result<()> {
        let Some(dir) = self.paths.process_dir() else { return Ok(()) };
        match self.all_procs()?.len() {
            0 => Ok(()),
            count => Err(CgroupError::NotEmpty { path: dir.into(), count }),
        }
    }

    /// Opens a group by its description; nothing is checked or read.
    pub fn open(paths: CgroupPaths) -> Cgroup {
        Cgroup { paths, placeholder: Arc::default() }
    }

    /// Returns the description to store.
    pub fn paths(&self) -> &CgroupPaths {
        &self.paths
    }

    /// Returns what a new process needs to be placed here. It is to be kept until the process is
    /// inside: with systemd, the first one made after [`Cgroup::create`] holds the group together.
    pub fn placement(&self) -> Result<Placement> {
        let placeholder = self.placeholder.lock().unwrap_or_else(PoisonError::into_inner).take();
        Placement::open(&self.paths, placeholder)
    }

    /// Moves a process here, with all its threads, by number. Slow (see the module's text): for
    /// processes that cannot use a [`Placement`].
    pub fn add(&self, pid: Pid) -> Result<()> {
        placement::add(&self.paths, pid)
    }

    /// Writes limits to a group that has none yet.
    pub fn apply(&self, resources: &Resources) -> Result<()> {
        match &self.paths.unified {
            Some(dir) => v2::apply(dir, resources, setting::Stage::Fresh),
            None => v1::apply(&self.paths, resources, setting::Stage::Fresh),
        }
    }

    /// Changes limits of a running container; absent fields stay as they are.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        if let Some(unit) = &self.paths.unit {
            systemd::set_properties(unit, resources, self.paths.unified.is_some())?;
        }
        match &self.paths.unified {
            Some(dir) => v2::apply(dir, resources, setting::Stage::Running),
            None => v1::apply(&self.paths, resources, setting::Stage::Running),
        }
    }

    /// Stops all processes and waits until they stand still.
    pub fn freeze(&self) -> Result<()> {
        freeze::freeze(&self.paths)
    }

    /// Lets frozen processes run.
    pub fn thaw(&self) -> Result<()> {
        freeze::thaw(&self.paths)
    }

    /// Tells whether the group is frozen or about to be.
    pub fn is_frozen(&self) -> Result<bool> {
        freeze::is_frozen(&self.paths)
    }

    /// Kills every process in the group and below; none can escape by forking.
    pub fn kill_all(&self) -> Result<()> {
        freeze::kill_all(&self.paths)
    }

    /// Lists the processes in the group itself, as seen from our pid namespace.
    pub fn procs(&self) -> Result<Vec<i32>> {
        self.paths.process_dir().map_or_else(|| Ok(Vec::new()), file::read_pids)
    }

    /// Lists the processes in the group and in groups that the container made below it.
    pub fn all_procs(&self) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        if let Some(dir) = self.paths.process_dir() {
            file::for_each_below(dir, &mut |dir| {
                pids.extend(file::read_pids(dir)?);
                Ok(())
            })?;
        }
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Reads the usage of all controllers.
    pub fn stats(&self) -> Result<Stats> {
        stats::read(&self.paths)
    }

    /// Returns how many processes the kernel killed for want of memory; 0 where it does not say.
    pub fn oom_kill_count(&self) -> u64 {
        oom::kill_count(&self.paths)
    }

    /// Opens a descriptor that becomes ready when memory runs out.
    pub fn oom_events(&self) -> Result<OomEvents> {
        oom::events(&self.paths)
    }

    /// Removes the group and everything below; being gone already is success.
    pub fn remove(&self) -> Result<()> {
        if let Some(unit) = &self.paths.unit {
            systemd::stop_scope(unit)?;
        }
        remove::remove(&self.paths)
    }
}
