//! Keeping the executable out of containers' reach (CVE-2019-5736).
//!
//! A process in a container can make itself the runtime, by executing `/proc/self/exe` in the last
//! moment of the runtime's own child, and another one can then open that executable for writing.
//! So what starts containers runs from a copy that cannot be written to, whoever tries: through an
//! overlay without an upper layer, which costs one mount that is attached nowhere, or, where that
//! is not possible, from a sealed copy in memory. The resident keeper has its own copy and needs
//! none of this.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use skiff_sys::exec::{StringArray, execve_fd};
use skiff_sys::memfd;

use super::{CommandError, Result};

/// Set for the second life of the process. Who can set it for us can also replace us.
const MARK: &str = "_SKIFF_RUNTIME_PROTECTED";

/// Returns if the executable is out of reach; otherwise starts over from a copy that is.
pub(super) fn ensure() -> Result<()> {
    if std::env::var_os(MARK).is_some() || memfd::self_is_sealed() {
        return Ok(());
    }
    let fail = |error: io::Error| CommandError::io("protect the executable", error);
    let copy = overlay().or_else(|_| memfd::sealed_self("skiff-runtime")).map_err(fail)?;
    let args = StringArray::new(std::env::args_os().map(|arg| arg.as_bytes().to_vec()));
    let env = StringArray::new(
        std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()),
    );
    let (Ok(args), Ok(mut env)) = (args, env) else {
        return Err(fail(io::Error::from(io::ErrorKind::InvalidInput)));
    };
    env.push(CString::new(format!("{MARK}=1")).unwrap_or_default());
    Err(fail(execve_fd(copy.as_fd(), &args, &env)))
}

/// Opens the executable through a read-only overlay of its directory.
fn overlay() -> io::Result<OwnedFd> {
    let path = std::fs::read_link("/proc/self/exe")?;
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    };
    let fs = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // An overlay without an upper layer wants two lower ones that do not lie in each other; the
    // second adds nothing that is looked at.
    let second = if dir.starts_with("/dev") { Path::new("/run") } else { Path::new("/dev") };
    fsconfig_set_string(&fs, "lowerdir+", dir)?;
    fsconfig_set_string(&fs, "lowerdir+", second)?;
    fsconfig_create(&fs)?;
    let mount = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let copy = openat(&mount, name, flags, Mode::empty())?;
    // The name may have been given to another file since we were started.
    let own = std::fs::metadata("/proc/self/exe")?;
    let found = fstat(&copy)?;
    let same = std::os::unix::fs::MetadataExt::size(&own) == found.st_size.cast_unsigned()
        && std::os::unix::fs::MetadataExt::mtime(&own) == found.st_mtime
        && std::os::unix::fs::MetadataExt::mtime_nsec(&own)
            == i64::try_from(found.st_mtime_nsec).unwrap_or(-1);
    if same { Ok(copy) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
}
