//! What is bound into a container from outside, as detached mounts.
//!
//! For containers in a user namespace the parent opens these before it clones: the container's
//! root may have no right to walk to them. Otherwise the child does, one at a time.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;
use skiff_sys::mount::{Change, propagation, set_attributes};
use skiff_sys::namespace as ns;

use super::cgroups::hierarchies_directory;
use super::idmap::{self, Mappings};
use super::{device, file_system, root};
use crate::failure::Context;
use crate::launch::LaunchError;
use crate::plan::{MountSource, Op, Plan};
use crate::prepared::Prepared;

/// Detached mounts by the index of their operation.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) root: Option<OwnedFd>,
    pub(crate) binds: HashMap<usize, OwnedFd>,
    /// New file systems that are ready to be mounted, by the same index.
    pub(crate) contexts: HashMap<usize, OwnedFd>,
    /// One to hide directories with.
    pub(crate) empty: Option<OwnedFd>,
}

/// Opens in the parent what only the parent can open, and takes what is ready.
pub(crate) fn open_sources(plan: &Plan, prepared: &mut Prepared) -> Result<Sources, LaunchError> {
    let mut sources = Sources::default();
    let mut mappings = Mappings::default();
    // An unprivileged caller has no more rights than the container's root.
    let foreign = plan.namespaces.has_own(ns::USER) && rustix::process::geteuid().is_root();
    if foreign {
        sources.root = Some(root::open(&plan.root, &mut mappings)?);
    }
    for (index, op) in plan.ops.iter().enumerate() {
        let source = match op {
            Op::Mount(mount) => match &mount.source {
                MountSource::Bind { path, recursive } if foreign || mount.idmap.is_some() => {
                    let fd = open_bind(path, *recursive)?;
                    if let Some(idmap) = &mount.idmap {
                        let userns = mappings.get(&idmap.maps)?;
                        idmap::set_named(fd.as_fd(), userns, idmap.recursive, path)?;
                    }
                    // The host's mounts may be shared; those of a container must not be, unless
                    // its options say so, which is applied later.
                    detach_from_host(&fd)?;
                    fd
                }
                // Queues of the host's IPC namespace are the host's to show.
                MountSource::New { kind, parameters, .. }
                    if foreign && kind == "mqueue" && !plan.namespaces.has_own(ns::IPC) =>
                {
                    file_system::make(kind, parameters, mount.set)
                        .map_err(|(error, _)| error)
                        .context(|| "mount the host's message queues")?
                }
                MountSource::New { kind, parameters, .. } => {
                    let ready = prepared.take(kind, parameters);
                    sources.contexts.extend(ready.map(|context| (index, context)));
                    continue;
                }
                _ => continue,
            },
            Op::MountCgroups(_) => {
                let ready = prepared.take("tmpfs", &hierarchies_directory());
                sources.contexts.extend(ready.map(|context| (index, context)));
                continue;
            }
            Op::MaskedPath(_) if sources.empty.is_none() => {
                sources.empty = prepared.take("tmpfs", &file_system::empty_directory());
                continue;
            }
            Op::Device(plan) if foreign => device::open_host_node(plan)?,
            _ => continue,
        };
        sources.binds.insert(index, source);
    }
    Ok(sources)
}

/// Copies the mount at a host path into a detached one.
pub(crate) fn open_bind(path: &Path, recursive: bool) -> Result<OwnedFd, LaunchError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(CWD, path, flags).context(|| format!("stat {}", path.display()))
}

/// Takes a copied mount out of the propagation to the host's.
pub(super) fn detach_from_host(tree: &OwnedFd) -> Result<(), LaunchError> {
    let change = Change { propagation: propagation::SLAVE, recursive: true, ..Change::default() };
    set_attributes(tree.as_fd(), &change).context(|| "set propagation")
}
