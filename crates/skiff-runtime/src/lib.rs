//! The OCI runtime: turns a [`launch::Launch`] into a running container.
//!
//! The way is always plan, then apply. [`plan`] is pure: specification and facts about the host
//! in, an ordered list of operations with every string ready out. [`apply`] carries them out in
//! the cloned child, by file descriptor. [`container`] is the parent's half: control group, clone,
//! hooks, the report of success or of the exact step that failed.
//!
//! Callers must be single-threaded: the child is a plain clone that runs ordinary code until it
//! executes the program. Nothing here knows of images, of networks or of the daemon.

pub mod accounts;
mod apply;
pub mod cgroup;
pub mod command;
pub mod container;
pub mod facts;
mod failure;
mod hooks;
pub mod init;
pub mod join;
pub mod launch;
mod notify;
pub mod plan;
pub mod prepared;
mod report;
pub mod seccomp;

/// Mounts a root file system at `place` in the caller's own mount namespace: for runtimes that are
/// other programs and take a root that is there.
pub fn mount_rootfs(
    rootfs: &launch::Rootfs,
    label: Option<&str>,
    place: &std::path::Path,
) -> Result<(), launch::LaunchError> {
    apply::mount_at_place(rootfs, label, place)
}

pub use prepared::Prepared;

pub use container::{
    Container, Gate, Joined, Options, Stdio, launch, launch_meanwhile, launch_with,
};
