//! Masked and read-only paths.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, fstat};
use rustix::mount::{OpenTreeFlags, open_tree};
use skiff_sys::mount::attr;
use skiff_sys::resolve;

use super::mount::{attach, set_readonly};
use super::source::open_bind;
use super::{Setup, file_system};
use crate::failure::{Context, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};

impl Setup<'_> {
    /// Opens what is to be hidden; what does not exist needs no hiding.
    fn find(&self, path: &Path) -> Result<Option<OwnedFd>, LaunchError> {
        match resolve::open(self.root.as_fd(), path, OFlags::PATH) {
            Ok(found) => Ok(Some(found)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).context(|| format!("open {}", path.display())),
        }
    }

    pub(super) fn make_readonly_path(&self, path: &Path) -> Result<(), LaunchError> {
        let Some(target) = self.find(path)? else { return Ok(()) };
        let step = || format!("make {} read-only", path.display());
        let flags = OpenTreeFlags::AT_RECURSIVE;
        let copy = open_tree(&target, "", copy_flags() | flags).context(step)?;
        set_readonly(copy.as_fd()).context(step)?;
        attach(&copy, &target)
    }

    pub(super) fn mask(&mut self, path: &Path) -> Result<(), LaunchError> {
        let Some(target) = self.find(path)? else { return Ok(()) };
        let step = || format!("mask {}", path.display());
        let stat = fstat(&target).context(step)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            return self.mask_directory(path, &target);
        }
        match self.null.take() {
            Some(Null::Attached(null)) => {
                let copy = open_tree(&null, "", copy_flags()).context(step)?;
                self.null = Some(Null::Attached(null));
                attach(&copy, &target)
            }
            Some(Null::Detached(null)) => {
                attach(&null, &target)?;
                self.null = Some(Null::Attached(null));
                Ok(())
            }
            None => Err(of_kind(LaunchErrorKind::Failed, "no /dev/null to mask with".into())),
        }
    }

    /// Covers a directory with an empty one that holds nothing and never will.
    fn mask_directory(&mut self, path: &Path, target: &OwnedFd) -> Result<(), LaunchError> {
        let step = || format!("mask {}", path.display());
        if let Some(first) = &self.empty {
            let copy = open_tree(first, "", copy_flags()).context(step)?;
            return attach(&copy, target);
        }
        let (ready, parameters) = (self.sources.empty.take(), file_system::empty_directory());
        let attributes = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;
        let made = file_system::make_unless_ready(ready, "tmpfs", &parameters, attributes)
            .map_err(|(error, _)| error)
            .context(step)?;
        attach(&made, target)?;
        self.empty = Some(made);
        Ok(())
    }

    /// Finds a `/dev/null` of which it is certain that it is one (CVE-2025-31133), while the
    /// host's is still in reach. Preferred is the container's own node: a mount of that has
    /// nothing of the host.
    pub(super) fn find_null(&mut self) -> Result<(), LaunchError> {
        let root = self.root.as_fd();
        let inside = resolve::open_no_links(root, Path::new("/dev/null"), OFlags::PATH);
        self.null = Some(match inside.ok().filter(is_null) {
            Some(null) => Null::Attached(null),
            None => Null::Detached(open_outside()?),
        });
        Ok(())
    }
}

/// A null device to mask files with.
pub(super) enum Null {
    /// On a mount of this namespace, of which copies can be made.
    Attached(OwnedFd),
    /// A copy that is attached nowhere yet.
    Detached(OwnedFd),
}

fn open_outside() -> Result<OwnedFd, LaunchError> {
    let null = open_bind(Path::new("/dev/null"), false)?;
    if is_null(&null) {
        return Ok(null);
    }
    Err(of_kind(LaunchErrorKind::Failed, "/dev/null is not the null device".to_owned()))
}

fn is_null(fd: &OwnedFd) -> bool {
    fstat(fd).is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == rustix::fs::makedev(1, 3)
    })
}

fn copy_flags() -> OpenTreeFlags {
    OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH
}
