//! Mounts that show ids through a mapping, and the root file system made of such layers.
//!
//! Layers on disk have the container's own ids. A container in a user namespace gets an overlay
//! whose layers are id-mapped mounts, so no layer is ever copied or changed for it. The overlay is
//! made by a helper process in a mount namespace of its own, where the layers are attached: before
//! Linux 6.15 overlay takes no layer that is attached nowhere.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, mount_change, move_mount};
use skiff_sys::clone::{self, CloneRequest};
use skiff_sys::mount::{Change, set_attributes};
use skiff_sys::{namespace as ns, process};

use super::mount::attach;
use super::root::Overlay;
use super::source::open_bind;
use super::{file_system, open_path};
use crate::container::{died, end};
use crate::failure::{Context, failed, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::plan::{IdMaps, RootIdmap};
use crate::report::{self, Reporter, Word};

/// User namespaces that stand for mappings; one for each of them.
#[derive(Default)]
pub(super) struct Mappings(Vec<(IdMaps, OwnedFd)>);

impl Mappings {
    /// A user namespace with this mapping.
    pub(super) fn get(&mut self, maps: &IdMaps) -> Result<BorrowedFd<'_>, LaunchError> {
        let at = match self.0.iter().position(|(known, _)| known == maps) {
            Some(at) => at,
            None => {
                self.0.push((maps.clone(), user_namespace(maps)?));
                self.0.len() - 1
            }
        };
        Ok(self.0[at].1.as_fd())
    }
}

/// Makes a user namespace; a process made for the purpose is its first, and its maps are written
/// from outside. The descriptor keeps it.
fn user_namespace(maps: &IdMaps) -> Result<OwnedFd, LaunchError> {
    let holder = clone::spawn(CloneRequest { flags: ns::USER, cgroup: None }, || {
        // Killed by the parent, or left alone by its death.
        let _ =
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        loop {
            let forever = rustix::time::Timespec { tv_sec: 3600, tv_nsec: 0 };
            let _ = rustix::thread::nanosleep(&forever);
        }
    })
    .context(|| "make a user namespace for an id-mapped mount")?;
    let open = || {
        let base = format!("/proc/{}", holder.pid);
        super::write_file(&format!("{base}/uid_map"), &maps.uid)?;
        super::write_file(&format!("{base}/gid_map"), &maps.gid)?;
        open_path(Path::new(&format!("{base}/ns/user")), OFlags::RDONLY)
    };
    let result = open();
    end(&holder);
    result
}

/// Shows a detached mount's ids through the mapping of a user namespace.
pub(super) fn set(tree: BorrowedFd<'_>, userns: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    set_attributes(tree, &Change { idmap: Some(userns), recursive, ..Change::default() })
}

/// As [`set`], for what the engine keeps; `path` is what the mount is of.
pub(super) fn set_named(
    tree: BorrowedFd<'_>,
    userns: BorrowedFd<'_>,
    recursive: bool,
    path: &Path,
) -> Result<(), LaunchError> {
    set(tree, userns, recursive).map_err(|error| {
        let what = format!("map the ids of {}", path.display());
        // Before 5.12 there is no such call; later it depends on the file system.
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => of_kind(
                LaunchErrorKind::Failed,
                format!("{what}: the kernel or the file system cannot do id-mapped mounts"),
            ),
            _ => failed(what, error),
        }
    })
}

/// Makes the overlay of mapped layers, detached.
pub(super) fn overlay(
    overlay: &Overlay<'_>,
    label: Option<&str>,
    idmap: &RootIdmap,
    mappings: &mut Mappings,
) -> Result<OwnedFd, LaunchError> {
    let userns = mappings.get(&idmap.maps)?;
    let (listener, reporter) = report::channel().context(|| "make a socket pair")?;
    let helper = clone::spawn(CloneRequest { flags: ns::MOUNT, cgroup: None }, || {
        let made = in_own_mounts(overlay, label, idmap.owner, userns);
        match made.and_then(|tree| give(&reporter, &tree)) {
            Ok(()) => 0,
            Err(error) => {
                reporter.fail(&error);
                1
            }
        }
    })
    .context(|| "clone a process that mounts the layers")?;
    drop(reporter);
    let word = listener.next().context(|| "listen to the process that mounts the layers");
    let answer = match word {
        Ok(Word::Tree(tree)) => Ok(tree),
        Ok(Word::Failed(error)) | Err(error) => Err(error),
        Ok(_) => return Err(died(&helper)),
    };
    let _ = process::wait(helper.pidfd.as_fd(), true);
    answer
}

fn give(reporter: &Reporter, tree: &OwnedFd) -> Result<(), LaunchError> {
    reporter.give(report::TREE, tree.as_fd()).context(|| "hand the mount over")
}

/// The helper's work. Its mounts go with it; the overlay keeps the layers.
fn in_own_mounts(
    overlay: &Overlay<'_>,
    label: Option<&str>,
    owner: (u32, u32),
    userns: BorrowedFd<'_>,
) -> Result<OwnedFd, LaunchError> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context(|| "change the propagation of /")?;
    let mapped = |path: &Path| {
        let tree = open_bind(path, false)?;
        set_named(tree.as_fd(), userns, false, path).map(|()| tree)
    };
    // Before anything covers them.
    let writable = mapped(overlay.upper.parent().unwrap_or(Path::new("/")))?;
    let lowers = overlay.lowers.iter().map(|path| mapped(path));
    let lowers = lowers.collect::<Result<Vec<_>, _>>()?;
    let desk = file_system::make("tmpfs", &[], 0)
        .map_err(|(error, _)| error)
        .context(|| "mount a tmpfs for the layers")?;
    move_mount(&desk, "", rustix::fs::CWD, overlay.work, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .context(|| "mount a tmpfs for the layers")?;
    rustix::process::fchdir(&desk).context(|| "enter the directory of layers")?;
    let named: Vec<PathBuf> = (0..lowers.len()).map(|index| index.to_string().into()).collect();
    let top = PathBuf::from("top");
    for (tree, name) in lowers.iter().zip(&named).chain([(&writable, &top)]) {
        let step = || format!("attach layer {}", name.display());
        rustix::fs::mkdir(name, Mode::from_raw_mode(0o700)).context(step)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = rustix::fs::open(name, flags, Mode::empty()).context(step)?;
        attach(tree, &place)?;
    }
    // Overlay works with the rights and as the owner of who mounts it: the host's root has no id
    // on mapped layers, so it could create nothing there.
    process::own_files_as(owner.0, owner.1).context(|| "become the owner of the layers")?;
    let (upper, work) = (inside(&top, overlay.upper), inside(&top, overlay.work));
    Overlay { lowers: &named, upper: &upper, work: &work, volatile: overlay.volatile }.mount(label)
}

fn inside(top: &Path, path: &Path) -> PathBuf {
    top.join(path.file_name().unwrap_or_default())
}
