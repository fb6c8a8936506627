//! A container's file system as one root descriptor, whether it runs or not.
//!
//! A running container's is `/proc/<pid>/root`: it has the mounts that the container sees. One that
//! does not run is put together in a mount namespace of its own: overlay, then volumes and binds on
//! top, each target resolved inside the root and used as a descriptor. Nothing of it is visible on
//! the host, and all of it goes away with the descriptors.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, MountPropagationFlags};
use skiff_store::tar::root::{Root, clean};

use crate::container::record::{Paths, ReadOnly, Record};
use crate::container::registry::View;
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
    /// Keeps the mounts of a container that does not run.
    _namespace: Option<OwnedFd>,
}

impl Rootfs {
    /// Opens the file system of a container with its volumes.
    pub(super) fn open(core: &Core, view: &View, access: Access) -> Result<Rootfs> {
        let id = &view.record.id;
        let what = |error: io::Error| {
            Error::failed(format!("open the file system of container {id}"), error)
        };
        if let Some(live) = view.state.live() {
            let root =
                open_directory(Path::new(&format!("/proc/{}/root", live.pid))).map_err(what)?;
            return Ok(Rootfs { root: Root::from_fd(root), _namespace: None });
        }
        let paths = Paths::new(&core.config.data_root, &core.config.exec_root, id);
        let plan = Plan::new(core, &view.record, &paths, access)?;
        // A thread, because a namespace is left by thread and this one must stay where it is.
        let built = std::thread::scope(|scope| {
            scope
                .spawn(|| plan.build())
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread that mounts it has panicked")))
        });
        let (root, namespace) = built.map_err(what)?;
        Ok(Rootfs { root, _namespace: Some(namespace) })
    }
}

/// Opens a directory by a path of ours.
fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The path that names a descriptor for calls that want a path.
fn by_descriptor(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

/// What to mount.
struct Plan {
    lowers: Vec<PathBuf>,
    upper: PathBuf,
    /// `None` mounts read-only, with the upper directory as the topmost layer.
    work: Option<PathBuf>,
    /// Any directory that none of the others is below of.
    at: PathBuf,
    binds: Vec<Bind>,
    read_only: bool,
}

struct Bind {
    source: PathBuf,
    /// Below a volume; what it leads through is the containers'.
    subpath: Vec<u8>,
    /// Cleaned, without leading slash.
    target: Vec<u8>,
    read_only: bool,
}

impl Plan {
    fn new(core: &Core, record: &Record, paths: &Paths, access: Access) -> Result<Plan> {
        let binds = record.mounts.iter().filter(|mount| {
            // A tmpfs is empty whenever its container does not run.
            matches!(mount.point.kind.as_str(), "bind" | "volume")
        });
        let mut binds: Vec<Bind> = binds
            .filter_map(|mount| {
                let (source, subpath) = match mount.subpath.as_str() {
                    "" => (mount.source.clone(), Vec::new()),
                    subpath => (core.volumes.data(&mount.point.name), clean(subpath.as_bytes())?),
                };
                Some(Bind {
                    source,
                    subpath,
                    target: clean(mount.point.destination.as_bytes())?,
                    read_only: mount.read_only != ReadOnly::No,
                })
            })
            .collect();
        // Outer ones first.
        binds.sort_by_key(|bind| bind.target.iter().filter(|&&byte| byte == b'/').count());
        Ok(Plan {
            lowers: super::layers(core, record)?,
            upper: paths.upper(),
            work: (access == Access::Write).then(|| paths.work()),
            at: core.config.exec_root.clone(),
            binds,
            read_only: record.host_config.readonly_rootfs,
        })
    }

    /// Runs in a thread of its own.
    fn build(&self) -> io::Result<(Root, OwnedFd)> {
        skiff_sys::namespace::leave(skiff_sys::namespace::MOUNT)?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private)?;
        self.mount_overlay()?;
        let root = Root::from_fd(open_directory(&self.at)?);
        for bind in &self.binds {
            bind.mount(&root)?;
        }
        let namespace = File::open("/proc/thread-self/ns/mnt")?;
        Ok((root, namespace.into()))
    }

    fn mount_overlay(&self) -> io::Result<()> {
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
        rustix::mount::mount("overlay", &self.at, "overlay", flags, data.as_c_str())?;
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
