//! A container's bundle, as another runtime takes it.
//!
//! ```text
//! <exec-root>/bundles/<id>/
//!   owner.json    the runtime and the container's id: for whoever has to clear this away
//!   config.json   the specification
//!   rootfs/       the container's root, mounted while the container lives
//!   log.json      what the last invocation logged, errors what it wrote to its stderr
//!   init.pid      exec-N.json, exec-N.pid, tty: only while they are needed
//! ```
//!
//! Invariant: nothing here is ever removed with what is below it, so that no removal can reach into
//! a container's files through a mount that could not be let go of.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};
use skiff_runtime::launch::{Launch, LaunchError};

use super::{adapt, words};
use crate::protocol::ExternalRuntime;

/// Name of the directory that the root is mounted on.
pub(super) const ROOTFS: &str = "rootfs";
const OWNER: &str = "owner.json";

#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    runtime: ExternalRuntime,
    id: String,
}

/// A bundle's place.
#[derive(Debug)]
pub(super) struct Bundle {
    path: PathBuf,
}

/// The files of one exec.
#[derive(Debug)]
pub(super) struct ExecFiles {
    pub(super) process: PathBuf,
    pub(super) pid: PathBuf,
}

impl ExecFiles {
    pub(super) fn remove(&self) {
        for file in [&self.process, &self.pid] {
            let _ = fs::remove_file(file);
        }
    }
}

impl Bundle {
    pub(super) fn new(path: &Path) -> Bundle {
        Bundle { path: path.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.path.join(ROOTFS)
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.path.join("init.pid")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log.json")
    }

    pub(super) fn errors(&self) -> PathBuf {
        self.path.join("errors")
    }

    pub(super) fn exec_files(&self, number: u32) -> ExecFiles {
        let file = |suffix: &str| self.path.join(format!("exec-{number}.{suffix}"));
        ExecFiles { process: file("json"), pid: file("pid") }
    }

    /// Fills the bundle of a container that has none.
    pub(super) fn make(
        &self,
        runtime: &ExternalRuntime,
        launch: &Launch,
    ) -> Result<(), LaunchError> {
        let rootfs = self.rootfs();
        for directory in [&runtime.root, &rootfs] {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(directory).map_err(words::file("mkdir", directory))?;
        }
        // First: whatever is made from here on has somebody to clear it away.
        let owner = Owner { runtime: runtime.clone(), id: launch.id.clone() };
        write_json(&self.path.join(OWNER), &owner)?;
        let label = launch.spec.linux.as_ref().map_or("", |linux| linux.mount_label.as_str());
        let label = Some(label).filter(|label| !label.is_empty());
        skiff_runtime::mount_rootfs(&launch.rootfs, label, &rootfs)?;
        let spec = adapt::spec(&launch.spec, launch.user.as_ref(), &rootfs)?;
        write_json(&self.path.join("config.json"), &spec)
    }

    /// Whose bundle it is; `None` if there is none.
    pub(super) fn owner(&self) -> Option<(ExternalRuntime, String)> {
        let bytes = fs::read(self.path.join(OWNER)).ok()?;
        let owner: Owner = serde_json::from_slice(&bytes).ok()?;
        Some((owner.runtime, owner.id))
    }

    /// Unmounts the root and removes the directory; being gone already is success.
    pub(super) fn remove(&self) -> Result<(), LaunchError> {
        let rootfs = self.rootfs();
        release(&rootfs).map_err(words::file("unmount", &rootfs))?;
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(words::file("read", &self.path))?,
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let removed =
                if path == rootfs { fs::remove_dir(&path) } else { fs::remove_file(&path) };
            removed.map_err(words::file("remove", &path))?;
        }
        fs::remove_dir(&self.path).map_err(words::file("remove", &self.path))
    }
}

/// Unmounts all that is mounted on a directory.
fn release(rootfs: &Path) -> io::Result<()> {
    loop {
        match unmount(rootfs, UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // Somebody looks at it; it goes when that is over.
            Err(rustix::io::Errno::BUSY) => {
                unmount(rootfs, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?;
            }
            // Not mounted, or not there.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LaunchError> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::from);
    bytes.and_then(|bytes| fs::write(path, bytes)).map_err(words::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temporary(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("skiff-bundle-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn removing_never_reaches_below_the_root() {
        let bundle = Bundle::new(&temporary("keep"));
        let precious = bundle.rootfs().join("precious");
        fs::create_dir_all(bundle.rootfs()).unwrap();
        fs::write(&precious, "x").unwrap();
        fs::write(bundle.path().join("config.json"), "{}").unwrap();
        let error = bundle.remove().unwrap_err();
        assert!(error.message.starts_with("remove "), "{error}");
        assert!(precious.exists());
        fs::remove_file(precious).unwrap();
        bundle.remove().unwrap();
        assert!(!bundle.path().exists());
        bundle.remove().unwrap();
    }

    #[test]
    fn a_bundle_says_whose_it_is() {
        let bundle = Bundle::new(&temporary("owner"));
        assert!(bundle.owner().is_none());
        fs::create_dir_all(bundle.path()).unwrap();
        let runtime = ExternalRuntime { name: "x".into(), ..ExternalRuntime::default() };
        let owner = Owner { runtime: runtime.clone(), id: "abc".into() };
        write_json(&bundle.path().join(OWNER), &owner).unwrap();
        assert_eq!(bundle.owner(), Some((runtime, "abc".to_owned())));
        bundle.remove().unwrap();
    }
}
