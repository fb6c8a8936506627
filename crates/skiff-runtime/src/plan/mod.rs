//! From a [`Launch`] and [`HostFacts`] to a [`Plan`]: pure, no file is opened here.
//!
//! A plan is the complete list of what the child does, in order, with every string ready. What can
//! be wrong with a specification is found here and named, so that [`crate::apply`] fails only when
//! the kernel or the host says no. The order of operations is the OCI specification's and, where
//! that leaves room, runc's.

mod device;
mod mount;
mod namespace;
mod process;
mod sysctl;
#[cfg(test)]
mod tests;

use std::ffi::CString;
use std::path::{Path, PathBuf};

use skiff_model::id_map::IdMap;
use skiff_model::oci::{Hook, Linux, Spec};
use skiff_sys::mount::attr;
use skiff_sys::namespace as ns;

pub use device::DevicePlan;
pub(crate) use mount::plan as plan_mount;
pub use mount::{IdmapPlan, MountPlan, MountSource, Parameter, Propagation};
pub use namespace::{IdMaps, Join, NamespacePlan};
pub use process::{
    CapabilityPlan, ProcessPlan, RlimitPlan, SeccompAgent, SeccompPlan, UserPlan, compile_seccomp,
};
pub use sysctl::Sysctl;

use crate::cgroup::CgroupConfig;
use crate::container::Options;
use crate::facts::HostFacts;
use crate::launch::{ExecLaunch, Launch, LaunchError, LaunchErrorKind, Rootfs, SeccompSource};

/// Everything the parent and the child do to start a container.
#[derive(Debug, Clone)]
pub struct Plan {
    pub cgroup: CgroupConfig,
    pub namespaces: NamespacePlan,
    pub root: RootPlan,
    /// Done by the child in its new namespaces, in this order, before it becomes the user.
    pub ops: Vec<Op>,
    pub process: ProcessPlan,
    /// Run a minimal init as process 1.
    pub init: bool,
    pub hooks: HookPlan,
    /// Descriptors from 3 on that stay open.
    pub preserve_fds: i32,
}

impl Plan {
    /// Changes the plan as the command line asks.
    pub(crate) fn apply_options(&mut self, options: Options) {
        self.preserve_fds = options.preserve_fds;
        if options.no_new_keyring {
            self.ops.retain(|op| !matches!(op, Op::Keyring(_)));
        }
        for op in &mut self.ops {
            if let Op::PivotRoot { by_moving, .. } = op {
                *by_moving = options.no_pivot;
            }
        }
    }

    /// Says whether writing to procfs needs one that the container does not see. The one that is
    /// mounted on its `/proc` is as good, and saves waiting for the kernel to unmount the other;
    /// but labels are written when its paths are masked already.
    pub(crate) fn needs_private_procfs(&self) -> bool {
        let has_label = self.process.has_label();
        let masked = |op: &Op| match op {
            Op::ReadonlyPath(path) | Op::MaskedPath(path) => hides_processes(path),
            _ => false,
        };
        let writes = has_label || self.ops.iter().any(|op| matches!(op, Op::Sysctl(_)));
        let own_is_good = self.ops.iter().any(Op::mounts_whole_procfs)
            && !(has_label && self.ops.iter().any(masked));
        writes && !own_is_good
    }
}

/// Where the root file system comes from and how it is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootPlan {
    pub rootfs: Rootfs,
    /// Of every mount the child inherits, before it makes its own; `MS_*` propagation.
    pub host_propagation: Propagation,
    /// SELinux label of the overlay.
    pub label: Option<String>,
    /// The container shares the caller's mounts: only its root directory is changed.
    pub shares_mounts: bool,
    /// The layers' ids are shown through this mapping.
    pub idmap: Option<RootIdmap>,
}

/// The id mapping of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootIdmap {
    pub maps: IdMaps,
    /// User and group that the container's root is on the host.
    pub owner: (u32, u32),
}

/// Hooks that the plan's operations do not carry themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookPlan {
    /// `prestart`, then `createRuntime`.
    pub create_runtime: Vec<Hook>,
    /// Run by the child, as the user, right before the program.
    pub start_container: Vec<Hook>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

/// One step of the child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Keyring(CString),
    LoopbackUp,
    Mount(MountPlan),
    /// The container's view of its control groups.
    MountCgroups(MountPlan),
    Device(DevicePlan),
    /// A symbolic link in `/dev`; what is there already stays.
    DevLink {
        path: PathBuf,
        target: &'static str,
    },
    /// `/dev/ptmx`, replacing what is there.
    Ptmx,
    /// Let the parent run its hooks and wait for it.
    RuntimeHooks,
    ContainerHooks(Vec<Hook>),
    PivotRoot {
        propagation: Option<Propagation>,
        /// Move the mount over `/` and change the root to it, instead of `pivot_root(2)`.
        by_moving: bool,
    },
    /// Make mounts read-only that had to be filled first.
    LateReadonly(PathBuf),
    RootReadonly,
    /// Open the terminal and show it as `/dev/console`.
    Console,
    Hostname(String),
    Domainname(String),
    Sysctl(Sysctl),
    ReadonlyPath(PathBuf),
    MaskedPath(PathBuf),
}

impl Op {
    /// Whether it mounts a writable procfs with everything in it on `/proc`.
    fn mounts_whole_procfs(&self) -> bool {
        let Op::Mount(MountPlan { source, destination, set, .. }) = self else { return false };
        let MountSource::New { kind, parameters, .. } = source else { return false };
        kind == "proc"
            && destination == Path::new("/proc")
            && set & attr::RDONLY == 0
            && parameters.iter().all(|parameter| parameter.key == "source")
    }

    /// Whether it shows the control group to the container or to somebody else.
    pub(crate) fn needs_group(&self) -> bool {
        matches!(
            self,
            Op::MountCgroups(_) | Op::RuntimeHooks | Op::ContainerHooks(_) | Op::PivotRoot { .. }
        )
    }
}

/// Whether hiding a path could hide a process's own directory in procfs.
fn hides_processes(path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix("/proc") else { return false };
    match inside.components().next() {
        Some(first) => {
            let name = first.as_os_str().as_encoded_bytes();
            name == b"self" || name == b"thread-self" || name.iter().all(u8::is_ascii_digit)
        }
        None => true,
    }
}

/// Makes the plan of a container.
pub fn plan(launch: &Launch, facts: &HostFacts) -> Result<Plan, LaunchError> {
    let spec = &launch.spec;
    check_id(&launch.id)?;
    let linux = spec.linux.clone().unwrap_or_default();
    let process = spec.process.as_ref().ok_or_else(|| invalid("process: must be set"))?;
    let namespaces = namespace::plan(&linux)?;
    check_against_namespaces(spec, &namespaces)?;
    let mut process = process::plan(process, launch.user.as_ref(), facts)?;
    process.personality = process::personality(linux.personality.as_ref())?;
    process.seccomp = match &launch.seccomp {
        SeccompSource::Program(program) => Some(SeccompPlan::compiled(program.clone())),
        SeccompSource::Spec => compile_seccomp(linux.seccomp.as_ref())?,
    };
    let hooks = spec.hooks.clone().unwrap_or_default();
    let mut resources = linux.resources.clone().unwrap_or_default();
    device::allow_defaults(&mut resources);
    let label = (facts.selinux && !linux.mount_label.is_empty()).then(|| linux.mount_label.clone());
    Ok(Plan {
        cgroup: CgroupConfig {
            path: linux.cgroups_path.clone(),
            id: launch.id.clone(),
            driver: launch.cgroup_driver,
            resources,
        },
        root: root_plan(launch, &linux, &namespaces, label.clone())?,
        ops: ops(launch, &namespaces, label.as_deref(), facts)?,
        namespaces,
        process,
        init: launch.init,
        preserve_fds: 0,
        hooks: HookPlan {
            create_runtime: hooks.prestart.into_iter().chain(hooks.create_runtime).collect(),
            start_container: hooks.start_container,
            poststart: hooks.poststart,
            poststop: hooks.poststop,
        },
    })
}

/// Makes the plan of a process that joins a container.
pub fn plan_exec(exec: &ExecLaunch, facts: &HostFacts) -> Result<ProcessPlan, LaunchError> {
    let mut plan = process::plan(&exec.process, exec.user.as_ref(), facts)?;
    plan.seccomp = exec.seccomp.clone().map(SeccompPlan::compiled);
    Ok(plan)
}

/// An error for what a configuration may not say.
pub(crate) fn invalid(message: impl Into<String>) -> LaunchError {
    LaunchError { kind: LaunchErrorKind::InvalidConfig, message: message.into() }
}

/// Checks a container id: it becomes a file name and a control group's name.
pub fn check_id(id: &str) -> Result<(), LaunchError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    let ok =
        !id.is_empty() && id.len() <= 1024 && id != "." && id != ".." && id.bytes().all(allowed);
    if ok { Ok(()) } else { Err(invalid("invalid container ID format")) }
}

fn check_against_namespaces(spec: &Spec, namespaces: &NamespacePlan) -> Result<(), LaunchError> {
    let named = !spec.hostname.is_empty() || !spec.domainname.is_empty();
    if named && !namespaces.has_own(skiff_sys::namespace::UTS) {
        return Err(invalid("unable to set hostname without a private UTS namespace"));
    }
    Ok(())
}

fn root_plan(
    launch: &Launch,
    linux: &Linux,
    namespaces: &NamespacePlan,
    label: Option<String>,
) -> Result<RootPlan, LaunchError> {
    let shares_mounts = !namespaces.has_own(ns::MOUNT);
    let rootfs = match &launch.rootfs {
        Rootfs::Path(path) if path.is_relative() => Rootfs::Path(launch.bundle.join(path)),
        Rootfs::Overlay { .. } if shares_mounts => {
            return Err(invalid("root: an overlay needs a mount namespace of its own"));
        }
        Rootfs::Overlay { lowers, .. } if lowers.is_empty() => {
            return Err(invalid("root: an overlay needs a lower directory"));
        }
        other => other.clone(),
    };
    let host_propagation = match linux.rootfs_propagation.as_str() {
        "" => Propagation::slave(true),
        word => Propagation::parse(word)
            .ok_or_else(|| invalid(format!("rootfsPropagation={word} is not supported")))?,
    };
    // Unbindable mounts could not be bound into the container.
    let host_propagation = host_propagation.unless_unbindable();
    let host_propagation = host_propagation.recursive();
    let idmap = root_idmap(&rootfs, linux)?;
    Ok(RootPlan { rootfs, host_propagation, label, shares_mounts, idmap })
}

fn root_idmap(rootfs: &Rootfs, linux: &Linux) -> Result<Option<RootIdmap>, LaunchError> {
    let Rootfs::Overlay { mapped: true, upper, work, .. } = rootfs else { return Ok(None) };
    // The kernel wants both on one mount, and each mapping is a mount.
    if upper.parent().is_none() || upper.parent() != work.parent() {
        return Err(invalid("root: the directories of a mapped overlay need one parent"));
    }
    let map = IdMap { uids: linux.uid_mappings.clone(), gids: linux.gid_mappings.clone() };
    let owner = map.root().ok_or_else(|| invalid("root: the mappings have no root"))?;
    let maps = IdMaps { uid: namespace::map(&map.uids), gid: namespace::map(&map.gids) };
    Ok(Some(RootIdmap { maps, owner }))
}

fn ops(
    launch: &Launch,
    namespaces: &NamespacePlan,
    label: Option<&str>,
    facts: &HostFacts,
) -> Result<Vec<Op>, LaunchError> {
    let spec = &launch.spec;
    let linux = spec.linux.clone().unwrap_or_default();
    let hooks = spec.hooks.clone().unwrap_or_default();
    let mut ops = Vec::with_capacity(spec.mounts.len() + linux.masked_paths.len() + 40);
    let keyring = format!("_ses.{}", launch.id);
    ops.push(Op::Keyring(
        CString::new(keyring).map_err(|_| invalid("invalid container ID format"))?,
    ));
    if namespaces.create & skiff_sys::namespace::NETWORK != 0 {
        ops.push(Op::LoopbackUp);
    }
    let mut late = Vec::new();
    for mount in &spec.mounts {
        let plan = mount::plan(mount, &launch.bundle, label)?;
        if plan.late_readonly {
            late.push(Op::LateReadonly(plan.destination.clone()));
        }
        ops.push(match plan.source {
            MountSource::Cgroup => Op::MountCgroups(plan),
            _ => Op::Mount(plan),
        });
    }
    if needs_dev(spec) {
        device::push_ops(&linux.devices, facts, &mut ops)?;
    }
    defer_cgroups(&mut ops);
    if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
        ops.push(Op::RuntimeHooks);
    }
    if !hooks.create_container.is_empty() {
        ops.push(Op::ContainerHooks(hooks.create_container));
    }
    let propagation = Propagation::parse(&linux.rootfs_propagation);
    ops.push(Op::PivotRoot { propagation, by_moving: false });
    ops.append(&mut late);
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        ops.push(Op::RootReadonly);
    }
    ops.push(Op::Console);
    if !spec.hostname.is_empty() {
        ops.push(Op::Hostname(spec.hostname.clone()));
    }
    if !spec.domainname.is_empty() {
        ops.push(Op::Domainname(spec.domainname.clone()));
    }
    for (key, value) in &linux.sysctl {
        ops.push(Op::Sysctl(sysctl::check(key, value, namespaces)?));
    }
    let absolute = |path: &PathBuf| {
        if path.is_absolute() {
            Ok(path.clone())
        } else {
            Err(invalid(format!("{} is not an absolute path", path.display())))
        }
    };
    for path in &linux.readonly_paths {
        ops.push(Op::ReadonlyPath(absolute(path)?));
    }
    for path in &linux.masked_paths {
        ops.push(Op::MaskedPath(absolute(path)?));
    }
    Ok(ops)
}

/// Moves the mount of the control groups behind all else that is mounted or made: they may still
/// be in the making. It stays where it is if a later mount has to do with its place.
fn defer_cgroups(ops: &mut [Op]) {
    let Some(index) = ops.iter().position(|op| matches!(op, Op::MountCgroups(_))) else { return };
    let place = |op: &Op| match op {
        Op::Mount(plan) | Op::MountCgroups(plan) => Some(plan.destination.clone()),
        _ => None,
    };
    let Some(own) = place(&ops[index]) else { return };
    let mut later = ops[index + 1..].iter().filter_map(place);
    if !later.any(|other| own.starts_with(&other) || other.starts_with(&own)) {
        ops[index..].rotate_left(1);
    }
}

/// A container that got the host's `/dev`, or any other, by a bind keeps it as it is.
fn needs_dev(spec: &Spec) -> bool {
    !spec.mounts.iter().any(|mount| {
        let bind = mount.kind == "bind"
            || mount.options.iter().any(|option| option == "bind" || option == "rbind");
        bind && mount::clean(&mount.destination) == Path::new("/dev")
    })
}
