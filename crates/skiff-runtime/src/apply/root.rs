//! The root file system: attached in the container's mount namespace, then made the root.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount, unmount,
};
use skiff_sys::mount;

use super::file_system;
use super::idmap::{self, Mappings};
use super::source::{detach_from_host, open_bind};
use crate::facts;
use crate::failure::{Context, failed};
use crate::launch::{LaunchError, Rootfs};
use crate::plan::{Propagation, RootPlan};

/// Strings longer than this are refused by `fsconfig(2)`.
const MAX_FSCONFIG: usize = 255;

/// Opens the place of a root that the parent has opened.
pub(super) fn find_place(plan: &RootPlan) -> Result<Option<OwnedFd>, LaunchError> {
    if plan.shares_mounts {
        return Ok(None);
    }
    let place = place(&plan.rootfs);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let found = rustix::fs::open(place, flags, Mode::empty());
    found.context(|| format!("open {}", place.display())).map(Some)
}

/// Attaches the root and returns it. `opened` is the root if the parent opened it, `found` its
/// place if that has been looked up.
pub(super) fn attach(
    plan: &RootPlan,
    opened: Option<OwnedFd>,
    found: Option<OwnedFd>,
) -> Result<OwnedFd, LaunchError> {
    let place = place(&plan.rootfs);
    if plan.shares_mounts {
        return attach_among_ours(plan, place, opened);
    }
    mount_change("/", propagation_flags(plan.host_propagation))
        .context(|| "change the propagation of /")?;
    if plan.host_propagation.kind == skiff_sys::mount::propagation::SHARED {
        make_parent_private(place)?;
    }
    let tree = match opened {
        Some(tree) => tree,
        None => open(plan, &mut Mappings::default())?,
    };
    match found {
        Some(found) => {
            let empty =
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            move_mount(&tree, "", &found, "", empty)
                .context(|| format!("attach the root file system at {}", place.display()))?;
        }
        None => move_to(&tree, place)?,
    }
    Ok(tree)
}

/// Attaches the root where the caller's own mounts are. It takes no part in their propagation, so
/// that whatever is mounted on it is gone with it.
fn attach_among_ours(
    plan: &RootPlan,
    place: &Path,
    opened: Option<OwnedFd>,
) -> Result<OwnedFd, LaunchError> {
    let tree = match opened {
        Some(tree) => tree,
        None => open(plan, &mut Mappings::default())?,
    };
    detach_from_host(&tree)?;
    move_to(&tree, place)?;
    Ok(tree)
}

fn move_to(tree: &OwnedFd, place: &Path) -> Result<(), LaunchError> {
    let to = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(tree, "", CWD, place, to)
        .context(|| format!("attach the root file system at {}", place.display()))
}

/// What lies at the place of a root that shares the caller's mounts, before it is attached.
pub(crate) struct Place<'a> {
    path: &'a Path,
    mount: u64,
}

impl<'a> Place<'a> {
    /// Looks; `None` for a container with mounts of its own, whose root needs no removal.
    pub(crate) fn before(plan: &'a RootPlan) -> Option<Self> {
        let path = place(&plan.rootfs);
        plan.shares_mounts.then(|| Self { path, mount: mount_at(path).unwrap_or_default() })
    }

    /// Removes the root if it was attached since.
    pub(crate) fn clear(&self) {
        if mount_at(self.path).is_some_and(|mount| mount != self.mount) {
            remove_shared(self.path);
        }
    }
}

/// Removes a root that was attached among the caller's mounts, with all that lies on it.
pub(crate) fn remove_shared(path: &Path) {
    // Somebody may have done so already.
    let _ = unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
}

/// Id of the mount that a path is on.
fn mount_at(path: &Path) -> Option<u64> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MNT_ID).ok()?;
    (found.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(found.stx_mnt_id)
}

/// Makes the root's mount, detached.
pub(super) fn open(plan: &RootPlan, mappings: &mut Mappings) -> Result<OwnedFd, LaunchError> {
    let label = plan.label.as_deref();
    match (&plan.rootfs, &plan.idmap) {
        (Rootfs::Overlay { lowers, upper, work, volatile, .. }, Some(idmap)) => {
            let overlay = Overlay { lowers, upper, work, volatile: *volatile };
            idmap::overlay(&overlay, label, idmap, mappings)
        }
        (rootfs, _) => make(rootfs, label),
    }
}

fn make(rootfs: &Rootfs, label: Option<&str>) -> Result<OwnedFd, LaunchError> {
    match rootfs {
        Rootfs::Path(path) => open_bind(path, true),
        Rootfs::Overlay { lowers, upper, work, volatile, .. } => {
            Overlay { lowers, upper, work, volatile: *volatile }.mount(label)
        }
    }
}

/// Mounts a root where the caller's own mounts are.
pub(crate) fn mount_at_place(
    rootfs: &Rootfs,
    label: Option<&str>,
    place: &Path,
) -> Result<(), LaunchError> {
    move_to(&make(rootfs, label)?, place)
}

/// A directory to attach the root at; visible nowhere but in the container's mount namespace. Not
/// the upper directory's parent: what is bound into the container is often found there.
fn place(rootfs: &Rootfs) -> &Path {
    match rootfs {
        Rootfs::Path(path) => path,
        Rootfs::Overlay { work, .. } => work,
    }
}

/// Mounting on a shared mount would show the mount to the host.
fn make_parent_private(place: &Path) -> Result<(), LaunchError> {
    for candidate in place.ancestors() {
        match mount_change(candidate, MountPropagationFlags::PRIVATE) {
            // Not a mount point.
            Err(rustix::io::Errno::INVAL) => {}
            other => return other.context(|| format!("make {} private", candidate.display())),
        }
    }
    Ok(())
}

fn propagation_flags(propagation: Propagation) -> MountPropagationFlags {
    use skiff_sys::mount::propagation as p;
    let kind = match propagation.kind {
        p::SHARED => MountPropagationFlags::SHARED,
        p::PRIVATE => MountPropagationFlags::PRIVATE,
        p::UNBINDABLE => MountPropagationFlags::UNBINDABLE,
        _ => MountPropagationFlags::DOWNSTREAM,
    };
    if propagation.recursive { kind | MountPropagationFlags::REC } else { kind }
}

/// Makes `root` the root directory and lets go of the old one.
pub(super) fn pivot(root: BorrowedFd<'_>, host: Propagation) -> Result<(), LaunchError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/", flags, Mode::empty()).context(|| "open /")?;
    rustix::process::fchdir(root).context(|| "chdir to the root file system")?;
    rustix::process::pivot_root(".", ".").context(|| "pivot_root")?;
    // The old root now lies on top of the new one.
    rustix::process::fchdir(&old).context(|| "chdir to the old root")?;
    if host.kind == skiff_sys::mount::propagation::SHARED {
        let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        mount_change(".", slave).context(|| "change the propagation of the old root")?;
    }
    unmount(".", UnmountFlags::DETACH).context(|| "unmount the old root")?;
    rustix::process::chdir("/").context(|| "chdir to /")
}

/// As [`pivot`], by moving the mount over `/`: the host's mounts stay below it, out of reach as
/// long as nothing escapes the change of root.
pub(super) fn take_place(root: BorrowedFd<'_>) -> Result<(), LaunchError> {
    rustix::process::fchdir(root).context(|| "chdir to the root file system")?;
    rustix::mount::mount_move(".", "/").context(|| "move the root file system to /")?;
    rustix::process::chroot(".").context(|| "change the root")?;
    rustix::process::chdir("/").context(|| "chdir to /")
}

/// Makes `root` the root directory, and leaves the mounts, which are the caller's too, as they are.
pub(crate) fn change(root: BorrowedFd<'_>) -> Result<(), LaunchError> {
    rustix::process::fchdir(root).context(|| "chdir to the root file system")?;
    rustix::process::chroot(".").context(|| "change the root")?;
    rustix::process::chdir("/").context(|| "chdir to /")
}

/// An overlay's directories.
pub(super) struct Overlay<'a> {
    pub(super) lowers: &'a [PathBuf],
    pub(super) upper: &'a Path,
    pub(super) work: &'a Path,
    pub(super) volatile: bool,
}

impl Overlay<'_> {
    pub(super) fn mount(&self, label: Option<&str>) -> Result<OwnedFd, LaunchError> {
        let upper = self.upper.display();
        if !facts::host().overlay_by_layers {
            return self.mount_old(label).context(|| format!("mount overlay for {upper}"));
        }
        let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).context(|| "open overlay")?;
        match self.configure(fs.as_fd(), label) {
            Ok(()) => {
                fsconfig_create(&fs).map_err(|error| {
                    failed(
                        format_args!("mount overlay for {upper}{}", file_system::complaint(&fs)),
                        error,
                    )
                })?;
                fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
                    .context(|| format!("mount overlay for {upper}"))
            }
            // No `lowerdir+` all the same.
            Err(rustix::io::Errno::INVAL) => {
                self.mount_old(label).context(|| format!("mount overlay for {upper}"))
            }
            Err(error) => Err(failed(format_args!("configure overlay for {upper}"), error)),
        }
    }

    fn configure(&self, fs: BorrowedFd<'_>, label: Option<&str>) -> rustix::io::Result<()> {
        // Paths that are too long are named by descriptors, which must live until the mount is
        // made; they are left to the caller's exit or `execve`.
        let string = |key: &str, path: &Path| {
            if path.as_os_str().len() <= MAX_FSCONFIG {
                return fsconfig_set_string(fs, key, path);
            }
            let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
            std::mem::forget(fd);
            fsconfig_set_string(fs, key, name)
        };
        for lower in self.lowers {
            string("lowerdir+", lower)?;
        }
        fsconfig_set_string(fs, "source", "overlay")?;
        string("upperdir", self.upper)?;
        string("workdir", self.work)?;
        if self.volatile {
            fsconfig_set_flag(fs, "volatile")?;
        }
        if let Some(label) = label {
            fsconfig_set_string(fs, "context", label)?;
        }
        Ok(())
    }

    /// As kernels before 6.5 want it.
    fn mount_old(&self, label: Option<&str>) -> io::Result<OwnedFd> {
        let mut more = String::new();
        if self.volatile {
            more.push_str(",volatile");
        }
        if let Some(label) = label {
            more.push_str(&format!(",context=\"{label}\""));
        }
        let overlay = mount::Overlay { lowers: self.lowers, upper: Some((self.upper, self.work)) };
        overlay.mount_by_options(&more, self.work)
    }
}
