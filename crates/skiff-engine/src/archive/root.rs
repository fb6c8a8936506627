//! A container's file system as one root descriptor, whether it runs or not: its layers with its
//! volumes and binds, but without `/proc`, `/dev` and whatever else is mounted in it.
//!
//! It is put together in a mount namespace of its own. Of a running container the mounts themselves
//! are cloned, so what is written arrives where the container sees it; of one that does not run
//! they are made as they would be at its start. Each target is resolved inside the root and used as
//! a descriptor. Nothing of it is visible on the host, and all of it goes with the descriptors.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, move_mount, open_tree,
};
use skiff_model::id_map::IdMap;
use skiff_store::tar::root::{Root, clean};
use skiff_store::tar::walk;
use skiff_sys::namespace;

use crate::container::record::{Paths, ReadOnly, Record, ResolvedMount};
use crate::container::registry::View;
use crate::container::users;
use crate::{Core, Error, Result};

/// What is done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A root, for as long as this lives.
pub(super) struct Rootfs {
    pub(super) root: Root,
    /// What the files' ids are here, if not those that the container knows.
    pub(super) ids: Option<IdMap>,
    /// Keeps the mounts.
    _namespace: OwnedFd,
}

impl Rootfs {
    /// Opens the file system of a container with its volumes.
    pub(super) fn open(core: &Core, view: &View, access: Access) -> Result<Rootfs> {
        let record = &view.record;
        let live = view.state.live();
        let binds = binds(core, record, live.is_some());
        let ids = live.map(|live| users::map_of_process(live.pid)).transpose()?.flatten();
        let layers = match live {
            // Its own mounts show other ids than the container's, the layers have those. They may
            // be read, but not be mounted twice to be written.
            Some(_) if ids.is_some() && access == Access::Read => {
                Layers::stopped(core, record, access)?
            }
            Some(live) => Layers::Running(live.pid),
            None => Layers::stopped(core, record, access)?,
        };
        let at = &core.config.exec_root;
        // A thread, because a namespace is left by thread and this one must stay where it is.
        let built = std::thread::scope(|scope| {
            let build = || match &layers {
                Layers::Running(pid) => clone_running(*pid, &binds),
                Layers::Stopped(overlay) => overlay.build(at, &binds),
            };
            scope
                .spawn(build)
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread that mounts it has panicked")))
        });
        let built = built.map_err(|error| {
            Error::failed(format!("open the file system of container {}", record.id), error)
        })?;
        Ok(Rootfs { ids: ids.filter(|_| access == Access::Write), ..built })
    }

    /// The calling thread's namespace keeps the mounts below `root`. `proc` is the host's: that of
    /// a container does not know this thread.
    fn here(root: Root, proc: &OwnedFd) -> io::Result<Rootfs> {
        let namespace = openat(proc, "thread-self/ns/mnt", NAMESPACE, Mode::empty())?;
        Ok(Rootfs { root, ids: None, _namespace: namespace })
    }
}

/// Leaves for a new namespace, a copy of the current one, that hears of nothing.
fn leave() -> io::Result<()> {
    namespace::leave(namespace::MOUNT)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    Ok(rustix::mount::mount_change("/", private)?)
}

/// Clones the root mount of a running container and its volumes. The clones are made in the
/// container's namespace and attached in one of ours: a copy of the container's would have its
/// mounts locked together if it belongs to another user namespace.
fn clone_running(pid: i32, binds: &[Bind]) -> io::Result<Rootfs> {
    let proc = open_directory(Path::new("/proc"))?;
    let theirs = File::open(format!("/proc/{pid}/ns/mnt"))?;
    // What this process is of; a number that was given to another one would have another root.
    let there = Root::from_fd(open_directory(Path::new(&format!("/proc/{pid}/root")))?);
    leave()?;
    let ours = openat(&proc, "thread-self/ns/mnt", NAMESPACE, Mode::empty())?;
    namespace::join(theirs.as_fd(), namespace::MOUNT)?;
    let here = Root::from_fd(open_directory(Path::new("/"))?);
    let same = |a: &Root, b: &Root| -> io::Result<bool> {
        let (a, b) = (walk::look(a, b".")?, walk::look(b, b".")?);
        Ok((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    };
    if !same(&there, &here)? {
        return Err(io::Error::other("the container has left its root"));
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let whole = clone | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_EMPTY_PATH;
    let volumes = binds
        .iter()
        .filter_map(|bind| {
            here.open(&bind.target, OFlags::PATH, Mode::empty()).ok().zip(Some(bind))
        })
        .map(|(target, bind)| Ok((open_tree(&target, "", whole)?, bind)))
        .collect::<io::Result<Vec<_>>>()?;
    let tree = open_tree(CWD, "/", clone)?;
    namespace::join(ours.as_fd(), namespace::MOUNT)?;
    let attach = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&tree, "", CWD, "/", attach)?;
    // What is mounted on a clone must not appear in the container.
    let part = |tree: &OwnedFd| {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change(by_descriptor(tree), private)
    };
    part(&tree)?;
    let root = Root::from_fd(openat(&tree, ".", DIRECTORY, Mode::empty())?);
    for (volume, bind) in volumes {
        let target = root.open(&bind.target, OFlags::PATH, Mode::empty())?;
        move_mount(&volume, "", &target, "", attach | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH)?;
        part(&volume)?;
    }
    Rootfs::here(root, &proc)
}

const NAMESPACE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a directory by a path of ours.
fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, DIRECTORY, Mode::empty())?)
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The path that names a descriptor for calls that want a path.
fn by_descriptor(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

/// Where a container's own files come from.
enum Layers {
    /// The process whose root they are.
    Running(i32),
    Stopped(Overlay),
}

/// The layers of a container that does not run.
struct Overlay {
    lowers: Vec<PathBuf>,
    upper: PathBuf,
    /// `None` mounts read-only, with the upper directory as the topmost layer.
    work: Option<PathBuf>,
    read_only: bool,
}

impl Layers {
    fn stopped(core: &Core, record: &Record, access: Access) -> Result<Layers> {
        let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
        Ok(Layers::Stopped(Overlay {
            lowers: super::layers(core, record)?,
            upper: paths.upper(),
            work: (access == Access::Write).then(|| paths.work()),
            read_only: record.host_config.readonly_rootfs,
        }))
    }
}

/// What is mounted on a container's own files and has files of its own.
struct Bind {
    source: PathBuf,
    /// Below a volume; what it leads through is the containers'.
    subpath: Vec<u8>,
    /// Cleaned, without leading slash.
    target: Vec<u8>,
    read_only: bool,
}

/// Binds and volumes, outer ones first, and images while they are mounted. A tmpfs is empty for
/// everyone but its container.
fn binds(core: &Core, record: &Record, runs: bool) -> Vec<Bind> {
    let has_files = |mount: &&ResolvedMount| match &*mount.point.kind {
        "bind" | "volume" => true,
        "image" => runs,
        _ => false,
    };
    let bind = |mount: &ResolvedMount| {
        let (source, subpath) = match mount.subpath.as_str() {
            subpath if subpath.is_empty() || mount.image.is_some() => {
                (mount.source.clone(), clean(subpath.as_bytes())?)
            }
            subpath => (core.volumes.data(&mount.point.name), clean(subpath.as_bytes())?),
        };
        let target = clean(mount.point.destination.as_bytes())?;
        Some(Bind { source, subpath, target, read_only: mount.read_only != ReadOnly::No })
    };
    let mut binds: Vec<Bind> = record.mounts.iter().filter(has_files).filter_map(bind).collect();
    binds.sort_by_key(|bind| bind.target.iter().filter(|&&byte| byte == b'/').count());
    binds
}

/// Mounts layers, the topmost first, read-only at a directory of ours.
pub(super) fn mount_image(mut layers: Vec<PathBuf>, at: &Path) -> io::Result<()> {
    std::fs::create_dir_all(at)?;
    // An overlay without an upper directory needs two lower ones; this one is empty.
    layers.push(at.to_owned());
    let top = layers.remove(0);
    Overlay { lowers: layers, upper: top, work: None, read_only: true }.mount(at)
}

impl Overlay {
    /// Runs in a thread of its own. `at` is any directory that no layer is below of.
    fn build(&self, at: &Path, binds: &[Bind]) -> io::Result<Rootfs> {
        leave()?;
        self.mount(at)?;
        let root = Root::from_fd(open_directory(at)?);
        for bind in binds {
            bind.mount(&root)?;
        }
        Rootfs::here(root, &open_directory(Path::new("/proc"))?)
    }

    fn mount(&self, at: &Path) -> io::Result<()> {
        // Descriptors keep the option string below a page, whatever the paths are; they have to be
        // opened here, as upper and work must be of this namespace's mounts.
        let upper = open_path(&self.upper)?;
        let mut lowers =
            self.lowers.iter().map(|path| open_path(path)).collect::<Result<Vec<_>, _>>()?;
        let mut flags = MountFlags::empty();
        let (work, uppers) = match &self.work {
            Some(work) => {
                let work = open_path(work)?;
                let text =
                    format!(",upperdir={},workdir={}", by_descriptor(&upper), by_descriptor(&work));
                (Some(work), text)
            }
            None => (None, String::new()),
        };
        if self.work.is_none() {
            flags |= MountFlags::RDONLY;
            lowers.insert(0, upper);
        } else if self.read_only {
            flags |= MountFlags::RDONLY;
        }
        let names: Vec<String> = lowers.iter().map(by_descriptor).collect();
        let data = CString::new(format!("lowerdir={}{uppers}", names.join(":")))?;
        rustix::mount::mount("overlay", at, "overlay", flags, data.as_c_str())?;
        drop((work, lowers));
        Ok(())
    }
}

impl Bind {
    fn open_source(&self) -> io::Result<OwnedFd> {
        if self.subpath.is_empty() {
            return open_path(&self.source);
        }
        Root::open_path(&self.source)?.open(&self.subpath, OFlags::PATH, Mode::empty())
    }

    /// Mounts it below `root`; a target that does not exist (its container never ran) or a source
    /// that is gone is left out.
    fn mount(&self, root: &Root) -> io::Result<()> {
        let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        let source = match self.open_source() {
            Err(error) if absent(&error) => return Ok(()),
            other => other?,
        };
        let target = || root.open(&self.target, OFlags::PATH, Mode::empty());
        let found = match target() {
            Err(error) if absent(&error) => return Ok(()),
            other => other?,
        };
        let recursive = MountFlags::BIND | MountFlags::REC;
        rustix::mount::mount(
            by_descriptor(&source),
            by_descriptor(&found),
            "",
            recursive,
            None::<&std::ffi::CStr>,
        )?;
        if self.read_only {
            // A second look gives the root of the new mount.
            let mounted = target()?;
            let flags = MountFlags::BIND | MountFlags::RDONLY;
            rustix::mount::mount_remount(by_descriptor(&mounted), flags, c"")?;
        }
        Ok(())
    }
}
