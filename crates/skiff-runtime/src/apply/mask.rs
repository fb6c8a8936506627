//! Masked and read-only paths.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat};
use rustix::mount::{OpenTreeFlags, open_tree};
use skiff_sys::mount::attr;
use skiff_sys::resolve;

use super::mount::{attach, set_readonly};
use super::{Setup, file_system};
use crate::failure::{Context, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::plan::Parameter;

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
        let null = self.null()?;
        let copy = open_tree(null, "", copy_flags()).context(step)?;
        attach(&copy, &target)
    }

    /// Covers a directory with an empty one that holds nothing and never will.
    fn mask_directory(&mut self, path: &Path, target: &OwnedFd) -> Result<(), LaunchError> {
        let step = || format!("mask {}", path.display());
        if let Some(first) = &self.empty {
            let copy = open_tree(first, "", copy_flags()).context(step)?;
            return attach(&copy, target);
        }
        let one = Some("1".to_owned());
        let parameters = [
            Parameter { key: "source".into(), value: Some("tmpfs".into()) },
            Parameter { key: "nr_blocks".into(), value: one.clone() },
            Parameter { key: "nr_inodes".into(), value: one },
        ];
        let attributes = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;
        let made = file_system::make("tmpfs", &parameters, attributes)
            .map_err(|(error, _)| error)
            .context(step)?;
        attach(&made, target)?;
        self.empty = Some(made);
        Ok(())
    }

    /// Returns `/dev/null`, once it is certain that it is (CVE-2025-31133). It is the container's
    /// own node, so that a mount of it has nothing of the host.
    fn null(&mut self) -> Result<&OwnedFd, LaunchError> {
        if self.null.is_none() {
            let root = self.root.as_fd();
            let inside = resolve::open_no_links(root, Path::new("/dev/null"), OFlags::PATH)
                .ok()
                .filter(is_null);
            let found = match inside {
                Some(null) => null,
                None => open_outside()?,
            };
            self.null = Some(found);
        }
        self.null.as_ref().ok_or_else(|| of_kind(LaunchErrorKind::Failed, "no /dev/null".into()))
    }
}

fn open_outside() -> Result<OwnedFd, LaunchError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null =
        rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty()).context(|| "open /dev/null")?;
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
