//! Getting a process into a control group.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use super::error::{CgroupError, Result};
use super::systemd::Placeholder;
use super::{CgroupPaths, file};

/// Open descriptors with which a process joins a control group without looking up a path.
///
/// Order for the caller: clone (with [`Placement::clone_into`] where there is one), in the child
/// [`Placement::enter_self`], and only then `unshare(CLONE_NEWCGROUP)`: a cgroup namespace made by
/// the clone itself is rooted at the *parent's* group.
#[derive(Debug)]
pub struct Placement {
    directory: Option<OwnedFd>,
    files: Vec<OwnedFd>,
    /// Ends when this value is dropped or settled, by which time the real process is inside.
    placeholder: Option<Placeholder>,
}

impl Placement {
    /// Opens what is needed: of v2 the directory, of v1 each hierarchy's `tasks`.
    pub(super) fn open(paths: &CgroupPaths, placeholder: Option<Placeholder>) -> Result<Placement> {
        let cgroup2 = paths.unified.as_ref().or(paths.tracking.as_ref());
        let directory = cgroup2
            .map(|dir| {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::open(dir, flags, Mode::empty())
                    .map_err(|error| CgroupError::Open { path: dir.clone(), source: error.into() })
            })
            .transpose()?;
        let files = paths
            .v1
            .iter()
            .map(|dir| file::open_write(&dir.dir.join("tasks")))
            .collect::<Result<_>>()?;
        Ok(Placement { directory, files, placeholder })
    }

    /// The same, in a process that was sent [`Placement::files`].
    pub(crate) fn of_files(files: Vec<OwnedFd>) -> Placement {
        Placement { directory: None, files, placeholder: None }
    }

    /// The first process is inside: what held the group together until then may go.
    pub(crate) fn settle(&mut self) {
        self.placeholder = None;
    }

    /// Returns the descriptor for `clone_args.cgroup` with CLONE_INTO_CGROUP (v2, Linux 5.7).
    pub fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.directory.as_ref().map(AsFd::as_fd)
    }

    /// Prepares for a kernel that refused CLONE_INTO_CGROUP: [`Placement::enter_self`] then does
    /// it, at the price of a grace period.
    pub fn without_clone_into(mut self) -> Result<Placement> {
        if let Some(directory) = self.directory.take() {
            let procs = rustix::fs::openat(
                &directory,
                "cgroup.procs",
                OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .map_err(|error| CgroupError::Open {
                path: "cgroup.procs".into(),
                source: error.into(),
            })?;
            self.files.push(procs);
        }
        Ok(self)
    }

    /// Returns the files that [`Placement::enter_self`] writes to.
    pub fn files(&self) -> &[OwnedFd] {
        &self.files
    }

    /// Moves the calling thread, which must be the only one of its process. Nothing but system
    /// calls, so it is fit for the child of a clone. On v2 there is nothing to do, unless
    /// [`Placement::without_clone_into`] was asked for.
    pub fn enter_self(&self) -> rustix::io::Result<()> {
        for file in &self.files {
            rustix::io::retry_on_intr(|| rustix::io::write(file, b"0"))?;
        }
        Ok(())
    }
}

/// Moves a process by number.
pub(super) fn add(paths: &CgroupPaths, pid: Pid) -> Result<()> {
    let number = pid.as_raw_nonzero().to_string();
    for dir in paths.all_dirs() {
        file::write(dir, "cgroup.procs", &number)?;
    }
    Ok(())
}
