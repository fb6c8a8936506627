//! From a container's record to the OCI specification it runs by: an ordered list of small steps,
//! each of which fills in one part. Nothing here changes anything; the little that has to be asked
//! of the host while building (device numbers, namespaces of other containers) is in
//! [`Facts`] and [`Peers`] or read by `devices.rs`.
//!
//! Defaults are Docker's; `defaults.rs` has them as data.

pub(crate) mod defaults;
pub(crate) mod devices;
mod mounts;
mod namespaces;
mod process;
pub(crate) mod resources;
pub(crate) mod security;

use std::collections::BTreeSet;
use std::path::PathBuf;

use skiff_model::id_map::IdMap;
use skiff_model::oci::{Linux, Mount, Process, Root, Spec};
use skiff_runtime::launch::CgroupDriver;

use super::record::{Paths, Record};
use crate::error::Result;

pub(crate) use namespaces::{Owner, owner, private_cgroup};
pub(crate) use process::{arguments, capabilities, exec_process};

/// What the host and the daemon's settings contribute.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The host has the unified hierarchy only.
    pub cgroup_v2: bool,
    pub cgroup_driver: CgroupDriver,
    /// Parent of containers' control groups.
    pub cgroup_parent: String,
    /// Paths to hide besides the fixed ones.
    pub thermal_paths: Vec<PathBuf>,
    pub default_ulimits: Vec<(String, i64, i64)>,
    pub no_new_privileges: bool,
    /// Capabilities this host can give: what our own bounding set has.
    pub capabilities: Vec<String>,
    /// An init for containers that do not say.
    pub init: bool,
    /// AppArmor is enabled on this host.
    pub apparmor: bool,
    /// Ids of the user namespaces of containers that have one.
    pub users: Option<IdMap>,
}

/// Processes of other containers whose namespaces are joined, by what is shared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peers {
    pub network: Option<i32>,
    pub ipc: Option<i32>,
    pub pid: Option<i32>,
    /// The process whose user namespace is joined: what belongs to it takes its rights.
    pub users: Option<i32>,
    /// `/dev/shm` of the container whose IPC is shared, on the host.
    pub shm: Option<PathBuf>,
}

/// Everything a step may look at.
pub(crate) struct Input<'a> {
    pub record: &'a Record,
    pub paths: &'a Paths,
    pub facts: &'a Facts,
    pub peers: &'a Peers,
    /// `/etc/hosts` and the like: where they are on the host, `None` for those not bound.
    pub files: super::files::Bound,
    /// Volumes with somebody else's file system on them.
    pub foreign_volumes: BTreeSet<String>,
}

impl Input<'_> {
    /// Ids of the container's user namespace, if it has one.
    fn users(&self) -> Option<&IdMap> {
        super::users::map_of(self.facts, self.record)
    }
}

type Step = fn(&Input<'_>, &mut Spec) -> Result<()>;

/// In the order they are applied: later ones see what earlier ones did.
const STEPS: &[Step] = &[
    process::program,
    process::environment,
    process::identity,
    namespaces::namespaces,
    namespaces::users,
    namespaces::names,
    namespaces::sysctls,
    resources::control_group,
    devices::devices,
    security::privileges,
    security::system_paths,
    mounts::system,
    mounts::shared_memory,
    mounts::requested,
    mounts::etc_files,
    mounts::read_only,
];

/// Builds the specification.
pub(crate) fn build(input: &Input<'_>) -> Result<Spec> {
    let mut spec = Spec {
        oci_version: "1.2.1".to_owned(),
        process: Some(Process::default()),
        root: Some(Root {
            path: PathBuf::from("rootfs"),
            readonly: input.record.host_config.readonly_rootfs,
        }),
        linux: Some(Linux::default()),
        annotations: input.record.host_config.annotations.iter().fold(
            std::collections::BTreeMap::new(),
            |mut all, (key, value)| {
                all.insert(key.clone(), value.clone());
                all
            },
        ),
        ..Spec::default()
    };
    for step in STEPS {
        step(input, &mut spec)?;
    }
    Ok(spec)
}

/// Has the program started by our minimal init, which is this executable, bound into the container.
/// For runtimes that have none of their own.
pub(crate) fn run_under_init(spec: &mut Spec, executable: &std::path::Path) {
    let process = process_of(spec);
    process.args.splice(0..0, [skiff_runtime::init::PATH.to_owned(), "--".to_owned()]);
    spec.mounts.push(Mount {
        destination: PathBuf::from(skiff_runtime::init::PATH),
        kind: "bind".to_owned(),
        source: executable.to_string_lossy().into_owned(),
        options: ["bind", "ro"].map(str::to_owned).to_vec(),
        ..Mount::default()
    });
}

/// The parts every specification here has; [`build`] makes them first.
fn process_of(spec: &mut Spec) -> &mut Process {
    spec.process.get_or_insert_default()
}

fn linux_of(spec: &mut Spec) -> &mut Linux {
    spec.linux.get_or_insert_default()
}

#[cfg(test)]
pub(crate) mod tests;
