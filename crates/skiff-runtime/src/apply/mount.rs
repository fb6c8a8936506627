//! Mounts of the specification: made detached with their attributes set, then moved onto a
//! descriptor of the place, so that no path is looked at twice (CVE-2021-30465).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, move_mount};
use skiff_sys::mount::{Change, attr, propagation, set_attributes};
use skiff_sys::resolve;

use super::Setup;
use super::file_system::{self, copy_tree, is_procfs};
use super::source::open_bind;
use crate::failure::{Context, failed, of_kind, reason};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::plan::{MountPlan, MountSource, Parameter, Propagation};

/// Files of procfs that tools like lxcfs replace; nothing else may be mounted over procfs, or it
/// would catch writes of labels and parameters (CVE-2019-16884).
const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

impl Setup<'_> {
    pub(super) fn mount(&mut self, index: usize, plan: &MountPlan) -> Result<(), LaunchError> {
        let named = |error: LaunchError| LaunchError {
            message: format!(
                "error mounting {:?} to rootfs at {:?}: {}",
                plan.named_source,
                plan.destination.display().to_string(),
                error.message
            ),
            ..error
        };
        match &plan.source {
            MountSource::Bind { path, recursive } => {
                self.bind(index, plan, path, *recursive).map_err(named)
            }
            MountSource::New { kind, parameters, copy_up } => {
                let made = self.sources.binds.remove(&index);
                let ready = self.sources.contexts.remove(&index);
                self.mount_new(plan, (kind, parameters, *copy_up), made, ready).map_err(named)
            }
            MountSource::Cgroup => self.mount_cgroups(index, plan),
        }
    }

    /// The directory to mount onto, and whether it was there.
    fn place(&self, destination: &Path) -> io::Result<(OwnedFd, bool)> {
        let found = OFlags::PATH | OFlags::DIRECTORY;
        if let Ok(place) = resolve::open(self.root.as_fd(), destination, found) {
            return Ok((place, true));
        }
        let mode = Mode::from_raw_mode(0o755);
        resolve::ensure_dir(self.root.as_fd(), destination, mode).map(|place| (place, false))
    }

    fn bind(
        &mut self,
        index: usize,
        plan: &MountPlan,
        path: &Path,
        recursive: bool,
    ) -> Result<(), LaunchError> {
        let tree = match self.sources.binds.remove(&index) {
            Some(tree) => tree,
            None => open_bind(path, recursive)?,
        };
        let destination = &plan.destination;
        let target = if is_dir(&tree)? {
            resolve::ensure_dir(self.root.as_fd(), destination, Mode::from_raw_mode(0o755))
        } else {
            resolve::ensure_file(self.root.as_fd(), destination, Mode::from_raw_mode(0o755))
        }
        .context(|| format!("create mountpoint for {} mount", destination.display()))?;
        check_procfs(&target, Some(&tree), destination)?;
        let early = set_plan_attributes(tree.as_fd(), plan);
        if let Err(error) = &early
            && !is_missing(error)
        {
            return Err(failed(
                "set mount attributes",
                io::Error::from_raw_os_error(error.raw_os_error().unwrap_or_default()),
            ));
        }
        attach(&tree, &target)?;
        if early.is_err() {
            set_attributes_old(tree.as_fd(), plan).context(|| "set mount attributes")?;
        }
        Ok(())
    }

    fn mount_new(
        &mut self,
        plan: &MountPlan,
        (kind, parameters, copy_up): (&str, &[Parameter], bool),
        made: Option<OwnedFd>,
        ready: Option<OwnedFd>,
    ) -> Result<(), LaunchError> {
        let destination = &plan.destination;
        let ordinary = matches!(kind, "proc" | "sysfs");
        let (target, existed) = if ordinary {
            (self.ordinary_dir(kind, destination)?, true)
        } else {
            self.place(destination)
                .context(|| format!("create mountpoint for {} mount", destination.display()))?
        };
        if !(kind == "proc" && destination == Path::new("/proc")) {
            check_procfs(&target, None, destination)?;
        }
        let mut parameters = parameters.to_vec();
        let has_mode = parameters.iter().any(|parameter| parameter.key == "mode");
        if kind == "tmpfs" && existed && !has_mode {
            // A tmpfs takes the place of a directory: /tmp stays writable for all. One that was
            // not there has a tmpfs's own mode, which is writable for all as well.
            let stat = fstat(&target).context(|| "stat mountpoint")?;
            let mode = format!("{:o}", stat.st_mode & 0o7777);
            parameters.push(Parameter { key: "mode".into(), value: Some(mode) });
        }
        let made = match made {
            Some(made) => Ok(made),
            None => file_system::make_unless_ready(ready, kind, &parameters, plan.set),
        };
        let tree = match made {
            Err((error, _)) if kind == "sysfs" && is_permission(&error) => {
                // In a user namespace that shares the network namespace there is no new sysfs.
                let tree = open_bind(Path::new("/sys"), true)?;
                set_plan_attributes(tree.as_fd(), plan).context(|| "set mount attributes")?;
                tree
            }
            made => made.map_err(|(error, said)| {
                of_kind(LaunchErrorKind::Failed, format!("{}{said}", reason(&error)))
            })?,
        };
        if copy_up {
            copy_tree(&target, &tree).context(|| "copy what the tmpfs will hide")?;
        }
        attach(&tree, &target)?;
        if let Some(propagation) = plan.propagation {
            set_propagation(tree.as_fd(), propagation).context(|| "set propagation")?;
        }
        if kind == "proc" && self.procfs.is_none() && destination == Path::new("/proc") {
            // Good for our own writes too: resolved from its root, without mounts on top of it.
            self.procfs = Some(tree);
        }
        Ok(())
    }

    /// The directory for a procfs or sysfs, which must not be reached by any symbolic link: masks
    /// and labels would land somewhere else (CVE-2019-19921).
    fn ordinary_dir(&self, kind: &str, path: &Path) -> Result<OwnedFd, LaunchError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = self.root.as_fd();
        let found = match resolve::open_no_links(root, path, flags) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                resolve::ensure_dir(root, path, Mode::from_raw_mode(0o755))
                    .and_then(|_| resolve::open_no_links(root, path, flags))
            }
            other => other,
        };
        found.map_err(|error| {
            let text = format!("filesystem {kind:?} must be mounted on ordinary directory");
            failed(text, error)
        })
    }

    /// Makes a mount read-only that had to be filled first.
    pub(super) fn make_readonly(&self, path: &Path) -> Result<(), LaunchError> {
        let step = || format!("make {} read-only", path.display());
        let mount = resolve::open(self.root.as_fd(), path, OFlags::PATH).context(step)?;
        set_readonly(mount.as_fd()).context(step)
    }
}

/// Refuses mounts on procfs, unless it is a procfs on `/proc` or one of the replaceable files.
fn check_procfs(
    target: &OwnedFd,
    source: Option<&OwnedFd>,
    destination: &Path,
) -> Result<(), LaunchError> {
    let refused = |why: &str| {
        let text = format!(
            "{:?} cannot be mounted because it is {why}",
            destination.display().to_string()
        );
        Err(of_kind(LaunchErrorKind::InvalidConfig, text))
    };
    if destination == Path::new("/proc") {
        return match source {
            Some(source) if !is_procfs(source)? => refused("not of type proc"),
            _ => Ok(()),
        };
    }
    let allowed = PROC_FILES.iter().any(|file| destination == Path::new(file));
    if (destination.starts_with("/proc") || is_procfs(target)?) && !allowed {
        return refused("inside /proc");
    }
    Ok(())
}

/// Moves a detached mount onto a place.
pub(super) fn attach(tree: &OwnedFd, target: &OwnedFd) -> Result<(), LaunchError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    match move_mount(tree, "", target, "", flags) {
        // What mount(2) says of a file on a directory, and engines explain to users.
        Err(Errno::INVAL) if is_dir(tree)? != is_dir(target)? => Err(Errno::NOTDIR),
        other => other,
    }
    .context(|| "move mount")
}

fn is_dir(file: &OwnedFd) -> Result<bool, LaunchError> {
    let stat = fstat(file).context(|| "stat what is mounted")?;
    Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// Sets attributes and propagation of a detached mount.
fn set_plan_attributes(tree: BorrowedFd<'_>, plan: &MountPlan) -> io::Result<()> {
    let top = Change { set: plan.set, clear: plan.clear, ..Change::default() };
    let all = Change {
        set: plan.set_recursive,
        clear: plan.clear_recursive,
        recursive: true,
        ..Change::default()
    };
    let wanted = |change: &Change<'_>| change.set != 0 || change.clear != 0;
    for change in [all, top].iter().filter(|change| wanted(change)) {
        match set_attributes(tree, change) {
            // In a user namespace, attributes that the host's mount has cannot be taken away.
            Err(error) if change.clear != 0 && is_permission(&error) => {
                set_attributes(tree, &Change { clear: change.clear & attr::ATIME, ..*change })?;
            }
            other => other?,
        }
    }
    match plan.propagation {
        Some(propagation) => set_propagation(tree, propagation),
        None => Ok(()),
    }
}

/// As [`set_plan_attributes`], for kernels without `mount_setattr`: by remounting the attached
/// mount, reached through its descriptor.
fn set_attributes_old(mount: BorrowedFd<'_>, plan: &MountPlan) -> io::Result<()> {
    if plan.set_recursive != 0 || plan.clear_recursive != 0 {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    if plan.set != 0 || plan.clear != 0 {
        // The flags are set as a whole, so those the mount has are kept: statvfs has the numbers
        // of mount(2) for the ones that matter.
        let has = rustix::fs::fstatvfs(mount)?.f_flag.bits();
        let flags = [
            (attr::RDONLY, 1),
            (attr::NOSUID, 2),
            (attr::NODEV, 4),
            (attr::NOEXEC, 8),
            (attr::NOATIME, 1024),
            (attr::NODIRATIME, 2048),
        ];
        let bits = flags.iter().fold(0, |bits, (attribute, flag)| {
            let on = plan.set & attribute != 0 || (has & flag != 0 && plan.clear & attribute == 0);
            if on { bits | flag } else { bits }
        });
        let flags = MountFlags::from_bits_retain(bits as u32) | MountFlags::BIND;
        rustix::mount::mount_remount(path.as_str(), flags, c"")?;
    }
    match plan.propagation {
        Some(propagation) => set_propagation(mount, propagation),
        None => Ok(()),
    }
}

/// Makes one mount read-only.
pub(super) fn set_readonly(mount: BorrowedFd<'_>) -> io::Result<()> {
    match set_attributes(mount, &Change { set: attr::RDONLY, ..Change::default() }) {
        Err(error) if is_missing(&error) => {
            let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
            // The low bits of the two sets of numbers are the same.
            let has = rustix::fs::fstatvfs(mount)?.f_flag.bits() & 0xf;
            let flags = MountFlags::from_bits_retain(has as u32);
            let flags = flags | MountFlags::BIND | MountFlags::RDONLY;
            Ok(rustix::mount::mount_remount(path.as_str(), flags, c"")?)
        }
        other => other,
    }
}

/// Sets the propagation of a mount.
pub(super) fn set_propagation(mount: BorrowedFd<'_>, wanted: Propagation) -> io::Result<()> {
    let change =
        Change { propagation: wanted.kind, recursive: wanted.recursive, ..Change::default() };
    match set_attributes(mount, &change) {
        Err(error) if is_missing(&error) => {
            let kind = match wanted.kind {
                propagation::SHARED => MountPropagationFlags::SHARED,
                propagation::PRIVATE => MountPropagationFlags::PRIVATE,
                propagation::UNBINDABLE => MountPropagationFlags::UNBINDABLE,
                _ => MountPropagationFlags::DOWNSTREAM,
            };
            let rec = MountPropagationFlags::REC;
            let flags = if wanted.recursive { kind | rec } else { kind };
            let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
            Ok(rustix::mount::mount_change(path.as_str(), flags)?)
        }
        other => other,
    }
}

fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

fn is_permission(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
