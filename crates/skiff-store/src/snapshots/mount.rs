//! A merged view of layers that no mount table shows.
//!
//! `fsopen`, `fsconfig`, `fsmount` make a mount that only its descriptor holds: no path on the host
//! leads to it and closing the descriptor ends it, so nothing can be left behind.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_string, fsmount, fsopen,
};
use skiff_sys::mount::Overlay;

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
        let mut lowers = lowers.to_vec();
        // Overlay without an upper directory wants two lower ones, and not the same twice.
        let wanted = if upper.is_none() { 2 } else { 1 };
        lowers.extend(self.empty.iter().take(wanted - wanted.min(lowers.len())).cloned());
        let overlay = Overlay { lowers: &lowers, upper };
        detached(&overlay)
            .or_else(|error| match error {
                Errno::NOSYS | Errno::INVAL => self.attached_then_cloned(&overlay),
                error => Err(error.into()),
            })
            .map_err(|error| StoreError::io("mount layers below", &self.dir, error))
    }

    /// For kernels without `fsopen` or whose overlay takes only one long option string.
    fn attached_then_cloned(&self, overlay: &Overlay<'_>) -> io::Result<OwnedFd> {
        let place = self.dir.join(format!("{}mount-{}", super::NEW, self.names.next()));
        std::fs::create_dir(&place)?;
        let result = overlay.mount_by_options("", &place);
        let _ = std::fs::remove_dir(&place);
        result
    }
}

fn detached(overlay: &Overlay<'_>) -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    for lower in overlay.lowers {
        // `lowerdir+` (6.5) takes a layer at a time, so there is no limit on the whole.
        if lower.as_os_str().len() <= FSCONFIG_MAX {
            fsconfig_set_string(context, "lowerdir+", lower)?;
        } else {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = open(lower, flags, Mode::empty())?;
            fsconfig_set_fd(context, "lowerdir+", &fd)?;
        }
    }
    if let Some((upper, work)) = overlay.upper {
        fsconfig_set_string(context, "upperdir", upper)?;
        fsconfig_set_string(context, "workdir", work)?;
    }
    fsconfig_create(context)?;
    let attributes = match overlay.upper {
        Some(_) => MountAttrFlags::empty(),
        None => MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}
