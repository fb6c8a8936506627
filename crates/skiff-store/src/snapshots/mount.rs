//! A merged view of layers that no mount table shows.
//!
//! `fsopen`, `fsconfig`, `fsmount` make a mount that only its descriptor holds: no path on the host
//! leads to it and closing the descriptor ends it, so nothing can be left behind.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen, mount, open_tree,
    unmount,
};

use super::Snapshots;
use crate::error::{Result, StoreError};

/// Longest string one `fsconfig` call takes.
const FSCONFIG_MAX: usize = 255;

impl Snapshots {
    /// Mounts `lowers` (topmost first) merged, read-only, or writable with `upper` and `work`.
    pub fn mount_detached(
        &self,
        lowers: &[PathBuf],
        upper: Option<(&Path, &Path)>,
    ) -> Result<OwnedFd> {
        let mut lowers: Vec<&Path> = lowers.iter().map(PathBuf::as_path).collect();
        // Overlay without an upper directory wants two lower ones, and not the same twice.
        let wanted = if upper.is_none() { 2 } else { 1 };
        lowers.extend(
            self.empty.iter().take(wanted - wanted.min(lowers.len())).map(PathBuf::as_path),
        );
        detached(&lowers, upper)
            .or_else(|error| match error {
                Errno::NOSYS | Errno::INVAL => self.attached_then_cloned(&lowers, upper),
                error => Err(error.into()),
            })
            .map_err(|error| StoreError::io("mount layers below", &self.dir, error))
    }

    /// For kernels without `fsopen` or whose overlay takes only one long option string: a mount in
    /// a private directory, cloned and taken away at once.
    fn attached_then_cloned(
        &self,
        lowers: &[&Path],
        upper: Option<(&Path, &Path)>,
    ) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fds = lowers
            .iter()
            .map(|lower| open(*lower, flags, Mode::empty()))
            .collect::<Result<Vec<_>, _>>()?;
        let paths: Vec<String> =
            fds.iter().map(|fd| format!("/proc/self/fd/{}", fd.as_raw_fd())).collect();
        let mut data = format!("lowerdir={}", paths.join(":"));
        let uppers = match upper {
            Some((upper, work)) => {
                Some((open(upper, flags, Mode::empty())?, open(work, flags, Mode::empty())?))
            }
            None => None,
        };
        if let Some((upper, work)) = &uppers {
            data.push_str(&format!(
                ",upperdir=/proc/self/fd/{},workdir=/proc/self/fd/{}",
                upper.as_raw_fd(),
                work.as_raw_fd()
            ));
        }
        let target = self.dir.join(format!("{}mount-{}", super::NEW, self.names.next()));
        std::fs::create_dir(&target)?;
        let data = std::ffi::CString::new(data).map_err(io::Error::other)?;
        let result =
            mount("overlay", &target, "overlay", MountFlags::empty(), &*data).and_then(|()| {
                let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
                let tree = open_tree(CWD, &target, flags);
                unmount(&target, UnmountFlags::DETACH)?;
                tree
            });
        let _ = std::fs::remove_dir(&target);
        Ok(result?)
    }
}

fn detached(lowers: &[&Path], upper: Option<(&Path, &Path)>) -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    for lower in lowers {
        // `lowerdir+` (6.5) takes a layer at a time, so there is no limit on the whole.
        if lower.as_os_str().len() <= FSCONFIG_MAX {
            fsconfig_set_string(context, "lowerdir+", *lower)?;
        } else {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = open(*lower, flags, Mode::empty())?;
            fsconfig_set_fd(context, "lowerdir+", &fd)?;
        }
    }
    if let Some((upper, work)) = upper {
        fsconfig_set_string(context, "upperdir", upper)?;
        fsconfig_set_string(context, "workdir", work)?;
    }
    fsconfig_create(context)?;
    let attributes = match upper {
        Some(_) => MountAttrFlags::empty(),
        None => MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
