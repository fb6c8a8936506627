//! What the unit tests of this crate share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// An engine without keeper and containers, in a directory.
pub(crate) fn core(directory: &TempDir) -> std::sync::Arc<crate::Core> {
    let path = directory.path();
    let config = crate::EngineConfig::new(path.join("data"), path.join("run"), "/proc/self/exe");
    std::sync::Arc::new(crate::container::restore::assemble(config).unwrap())
}

/// A directory that goes away with its value.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("skiff-engine-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
