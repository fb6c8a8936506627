//! A copy of the running executable that nothing can write to.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Copies the running executable into memory and seals it. Executing the copy keeps a container
/// from reaching the file on disk through `/proc/<pid>/exe` (CVE-2019-5736).
pub fn sealed_self(name: &str) -> io::Result<OwnedFd> {
    let source = File::open("/proc/self/exe")?;
    let length = source.metadata()?.len();
    let copy = create(name)?;
    let mut offset = 0u64;
    while offset < length {
        let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
        let copied = rustix::fs::sendfile(&copy, &source, Some(&mut offset), left)?;
        if copied == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
    }
    fcntl_add_seals(&copy, SEALS)?;
    Ok(copy)
}

/// Says whether the running executable is such a copy.
pub fn self_is_sealed() -> bool {
    let Ok(exe) = File::open("/proc/self/exe") else { return false };
    fcntl_get_seals(exe.as_fd()).is_ok_and(|seals| seals.contains(SEALS))
}

fn create(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC (Linux 6.3) is wanted where `vm.memfd_noexec` is set; older kernels refuse it.
    match memfd_create(name, flags | MemfdFlags::EXEC) {
        Err(rustix::io::Errno::INVAL) => Ok(memfd_create(name, flags)?),
        other => Ok(other?),
    }
}
