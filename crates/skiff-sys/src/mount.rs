//! What `rustix::mount` lacks: attributes of mounts.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::check_long;

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
