//! `/dev`: device nodes and the usual links.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, makedev, mknodat, openat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;
use skiff_sys::resolve;

use super::Setup;
use super::mount::attach;
use super::source::open_bind;
use crate::failure::{Context, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::plan::DevicePlan;

const DEV: &str = "/dev";

impl Setup<'_> {
    pub(super) fn make_device(
        &mut self,
        index: usize,
        plan: &DevicePlan,
    ) -> Result<(), LaunchError> {
        let step = || format!("make device {}", plan.path.display());
        let (parent, name) = self.parent_in_dev(&plan.path)?;
        let bound = self.sources.binds.remove(&index);
        let parent = parent.as_ref().map_or_else(|| self.dev_fd(), |fd| Ok(fd.as_fd()))?;
        if let Some(node) = bound {
            return bind_node(parent, &name, &node);
        }
        // The umask is 0 here, so the mode is what it says.
        let mode = Mode::from_raw_mode(plan.mode);
        match mknodat(parent, &name, plan.kind, mode, makedev(plan.major, plan.minor)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(Errno::PERM) if plan.kind != FileType::Fifo => {
                return bind_node(parent, &name, &open_host_node(plan)?);
            }
            Err(error) => return Err(error).context(step),
        }
        if plan.uid == 0 && plan.gid == 0 {
            return Ok(());
        }
        let owner = (Uid::from_raw(plan.uid), Gid::from_raw(plan.gid));
        chownat(parent, &name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW)
            .context(step)
    }

    pub(super) fn link(&mut self, path: &Path, target: &str) -> Result<(), LaunchError> {
        let (parent, name) = self.parent_in_dev(path)?;
        let parent = parent.as_ref().map_or_else(|| self.dev_fd(), |fd| Ok(fd.as_fd()))?;
        match symlinkat(target, parent, &name) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error).context(|| format!("link {}", path.display())),
        }
    }

    pub(super) fn link_ptmx(&mut self) -> Result<(), LaunchError> {
        self.parent_in_dev(Path::new("/dev/ptmx"))?;
        let dev = self.dev_fd()?;
        match unlinkat(dev, "ptmx", AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).context(|| "replace /dev/ptmx"),
        }
        symlinkat("pts/ptmx", dev, "ptmx").context(|| "link /dev/ptmx")
    }

    /// Opens the directory of a path, which is nearly always `/dev` itself: that one is kept, and
    /// `None` stands for it.
    fn parent_in_dev(&mut self, path: &Path) -> Result<(Option<OwnedFd>, OsString), LaunchError> {
        let step = || format!("open the directory of {}", path.display());
        if path.parent() != Some(Path::new(DEV)) {
            let (parent, name) = resolve::ensure_parent(self.root.as_fd(), path).context(step)?;
            return Ok((Some(parent), name));
        }
        if self.dev.is_none() {
            let mode = Mode::from_raw_mode(0o755);
            let dev = resolve::ensure_dir(self.root.as_fd(), Path::new(DEV), mode);
            self.dev = Some(dev.context(step)?);
        }
        let name = path.file_name().ok_or(Errno::INVAL).context(step)?;
        Ok((None, name.to_owned()))
    }

    fn dev_fd(&self) -> Result<BorrowedFd<'_>, LaunchError> {
        self.dev.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF).context(|| "open /dev")
    }
}

/// Opens the host's node for a device that cannot be made, as a detached mount.
pub(super) fn open_host_node(plan: &DevicePlan) -> Result<OwnedFd, LaunchError> {
    let open = |path: &Path| -> Result<Option<OwnedFd>, LaunchError> {
        let node = open_bind(path, false)?;
        let stat = fstat(&node).context(|| format!("stat {}", path.display()))?;
        let same = FileType::from_raw_mode(stat.st_mode) == plan.kind
            && stat.st_rdev == makedev(plan.major, plan.minor);
        Ok(same.then_some(node))
    };
    let same_name = open(&plan.path);
    if let Ok(Some(node)) = same_name {
        return Ok(node);
    }
    // The container knows it by another name than the host.
    if let Some(node) = kernels_name(plan).and_then(|path| open(&path).ok().flatten()) {
        return Ok(node);
    }
    same_name?;
    let (path, major, minor) = (plan.path.display(), plan.major, plan.minor);
    let text = format!("device {path} of the host is not {major}:{minor}");
    Err(of_kind(LaunchErrorKind::Failed, text))
}

/// Where devtmpfs has a device.
fn kernels_name(plan: &DevicePlan) -> Option<PathBuf> {
    let kind = if plan.kind == FileType::BlockDevice { "block" } else { "char" };
    let uevent = format!("/sys/dev/{kind}/{}:{}/uevent", plan.major, plan.minor);
    let text = std::fs::read_to_string(uevent).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some(Path::new(DEV).join(name))
}

fn bind_node(dir: BorrowedFd<'_>, name: &OsString, node: &OwnedFd) -> Result<(), LaunchError> {
    let step = || format!("make device {}", name.display());
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::from_raw_mode(0o666)) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(error) => return Err(io::Error::from(error)).context(step),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = openat(dir, name, flags, Mode::empty()).context(step)?;
    attach(node, &place)
}
