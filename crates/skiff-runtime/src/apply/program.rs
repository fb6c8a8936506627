//! Finding the program, with the words of Go's `os/exec` that Docker's clients match on.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;

use crate::failure::{of_kind, reason};
use crate::launch::{LaunchError, LaunchErrorKind};

/// Finds the file to execute for `name`, from the current directory and as the current user.
pub(super) fn find(name: &str, search_path: Option<&str>) -> Result<CString, LaunchError> {
    let found = if name.contains('/') {
        executable(Path::new(name)).map_err(|failure| failure.words(name))?;
        PathBuf::from(name)
    } else {
        let dirs = search_path.unwrap_or_default().split(':');
        dirs.map(|dir| Path::new(if dir.is_empty() { "." } else { dir }).join(name))
            .find(|candidate| !name.is_empty() && executable(candidate).is_ok())
            .ok_or_else(|| {
                let text = format!("exec: {name:?}: executable file not found in $PATH");
                of_kind(LaunchErrorKind::NotFound, text)
            })?
    };
    CString::new(found.as_os_str().as_bytes())
        .map_err(|_| of_kind(LaunchErrorKind::InvalidConfig, "args: contains a NUL byte".into()))
}

enum Failure {
    Stat(Errno),
    Permission,
}

impl Failure {
    fn words(self, name: &str) -> LaunchError {
        match self {
            Self::Stat(error @ (Errno::ACCESS | Errno::PERM)) => {
                let text = reason(&io::Error::from(error));
                of_kind(
                    LaunchErrorKind::NotExecutable,
                    format!("exec: {name:?}: stat {name}: {text}"),
                )
            }
            Self::Stat(error) => {
                let text = reason(&io::Error::from(error));
                of_kind(LaunchErrorKind::NotFound, format!("exec: {name:?}: stat {name}: {text}"))
            }
            Self::Permission => of_kind(
                LaunchErrorKind::NotExecutable,
                format!("exec: {name:?}: permission denied"),
            ),
        }
    }
}

fn executable(path: &Path) -> Result<(), Failure> {
    let found = stat(path).map_err(Failure::Stat)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    // The bits are looked at too: root's access does not need them, its execve does.
    let allowed = !kind.is_dir() && found.st_mode & 0o111 != 0 && may_execute(path);
    if allowed { Ok(()) } else { Err(Failure::Permission) }
}

fn may_execute(path: &Path) -> bool {
    match accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        // `faccessat2` is unknown to the kernel or to an old seccomp profile. The process has one
        // identity only, so asking for the real one gives the same answer.
        Err(Errno::PERM | Errno::NOSYS) => {
            accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).is_ok()
        }
        other => other.is_ok(),
    }
}

/// Says why the kernel did not execute a file that was found.
pub(super) fn refused(path: &CString, error: io::Error) -> LaunchError {
    let kind = match Errno::from_io_error(&error) {
        // The file is there: it is its interpreter that is not.
        Some(Errno::NOENT) => LaunchErrorKind::NotFound,
        Some(Errno::ACCESS | Errno::NOEXEC | Errno::PERM | Errno::LIBBAD) => {
            LaunchErrorKind::NotExecutable
        }
        _ => LaunchErrorKind::Failed,
    };
    let path = OsStr::from_bytes(path.as_bytes()).display();
    of_kind(kind, format!("exec {path}: {}", reason(&error)))
}
