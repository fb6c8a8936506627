//! What `rustix::mount` lacks: attributes of mounts, and overlays on older kernels.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, OpenTreeFlags, UnmountFlags, mount, open_tree, unmount};

use crate::check_long;

/// Room of the data argument of `mount(2)`.
const DATA_MAX: usize = 4095;

/// `MOUNT_ATTR_*`, read-only and the like.
pub mod attr {
    pub const RDONLY: u64 = 0x1;
    pub const NOSUID: u64 = 0x2;
    pub const NODEV: u64 = 0x4;
    pub const NOEXEC: u64 = 0x8;
    /// The field of the three access time modes; relatime is its zero.
    pub const ATIME: u64 = 0x70;
    pub const NOATIME: u64 = 0x10;
    pub const STRICTATIME: u64 = 0x20;
    pub const NODIRATIME: u64 = 0x80;
    pub const IDMAP: u64 = 0x10_0000;
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

/// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` and `MS_UNBINDABLE` as `mount_setattr` takes them.
pub mod propagation {
    pub const UNBINDABLE: u64 = 1 << 17;
    pub const PRIVATE: u64 = 1 << 18;
    pub const SLAVE: u64 = 1 << 19;
    pub const SHARED: u64 = 1 << 20;
}

/// A change of a mount's attributes.
#[derive(Debug, Default, Clone, Copy)]
pub struct Change<'a> {
    pub set: u64,
    pub clear: u64,
    /// One of [`propagation`], or 0 to leave it.
    pub propagation: u64,
    /// User namespace whose mapping the mount shows ids through; implies [`attr::IDMAP`].
    pub idmap: Option<BorrowedFd<'a>>,
    pub recursive: bool,
}

/// Changes the attributes of the mount that `mount` is the root of.
///
/// [mount_setattr(2)](https://man7.org/linux/man-pages/man2/mount_setattr.2.html), Linux 5.12.
pub fn set_attributes(mount: BorrowedFd<'_>, change: &Change<'_>) -> io::Result<()> {
    let mut args = MountAttr {
        set: change.set,
        clear: change.clear,
        propagation: change.propagation,
        userns_fd: 0,
    };
    if let Some(idmap) = change.idmap {
        args.set |= attr::IDMAP;
        args.userns_fd = idmap.as_raw_fd() as u64;
    }
    let recursive = if change.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel reads `args`, whose size is passed, and a static empty string.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            &raw const args,
            size_of::<MountAttr>(),
        )
    };
    check_long(done).map(drop)
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// The directories of an overlay.
#[derive(Debug, Clone, Copy)]
pub struct Overlay<'a> {
    /// Topmost first.
    pub lowers: &'a [PathBuf],
    /// Upper and work directory; without them it is read-only.
    pub upper: Option<(&'a Path, &'a Path)>,
}

impl Overlay<'_> {
    /// Mounts it by one string of options and gives the mount, attached nowhere: for kernels
    /// without `fsopen` (before 5.2), or whose overlay does not take its layers one by one (before
    /// 6.5). `more` are further options; `place` is a directory to mount on for a moment.
    ///
    /// [mount(2)](https://man7.org/linux/man-pages/man2/mount.2.html)
    pub fn mount_by_options(&self, more: &str, place: &Path) -> io::Result<OwnedFd> {
        let mut options = self.options(&mut |path| Ok(escape(path)))? + more;
        let mut pinned = Vec::new();
        if options.len() > DATA_MAX {
            // Short names, which lead somewhere until the mount is made.
            let mut name = |path: &Path| {
                let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
                pinned.push(fd);
                Ok(name)
            };
            options = self.options(&mut name)? + more;
        }
        let data = CString::new(options)?;
        mount("overlay", place, "overlay", MountFlags::empty(), data.as_c_str())?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, place, flags);
        unmount(place, UnmountFlags::DETACH)?;
        Ok(tree?)
    }

    fn options(&self, name: &mut dyn FnMut(&Path) -> io::Result<String>) -> io::Result<String> {
        let lowers = self.lowers.iter().map(|lower| name(lower)).collect::<io::Result<Vec<_>>>()?;
        let mut options = format!("lowerdir={}", lowers.join(":"));
        if let Some((upper, work)) = self.upper {
            options += &format!(",upperdir={},workdir={}", name(upper)?, name(work)?);
        }
        Ok(options)
    }
}

/// Overlay's option syntax gives a meaning to these three.
fn escape(path: &Path) -> String {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        if matches!(c, '\\' | ':' | ',') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_paths_are_escaped() {
        assert_eq!(escape(Path::new("/a:b,c\\d")), "/a\\:b\\,c\\\\d");
    }

    #[test]
    fn directories_with_long_or_odd_names_are_merged() {
        let scratch =
            std::env::temp_dir().join(format!("skiff-sys-overlay-{}", std::process::id()));
        let odd = scratch.join("a:b,c\\d");
        let long = scratch.join("l".repeat(200)).join("l".repeat(200));
        for (lower, count) in [(odd, 2), (long, 20)] {
            let lowers: Vec<PathBuf> = (0..count).map(|n| lower.join(n.to_string())).collect();
            for (n, lower) in lowers.iter().enumerate() {
                std::fs::create_dir_all(lower).unwrap();
                std::fs::write(lower.join(format!("file-{n}")), "").unwrap();
            }
            let place = scratch.join("place");
            std::fs::create_dir_all(&place).unwrap();
            let overlay = Overlay { lowers: &lowers, upper: None };
            let merged = overlay.mount_by_options("", &place).unwrap();
            let entries = format!("/proc/self/fd/{}", merged.as_raw_fd());
            assert_eq!(std::fs::read_dir(entries).unwrap().count(), count);
            assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
        }
        std::fs::remove_dir_all(&scratch).unwrap();
    }
}
