//! Files that are whole or absent after a power cut: written aside, synced, renamed.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::error::{Result, StoreError};

/// Replaces `path` by `bytes`, durably.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("new");
    let written = File::create(&aside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_data()
    });
    written.map_err(|error| StoreError::io("write", &aside, error))?;
    std::fs::rename(&aside, path).map_err(|error| StoreError::io("replace", path, error))?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Makes renames in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(|error| StoreError::io("sync", path, error))
}

/// Makes a directory, private to root, unless it exists.
pub(crate) fn ensure_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| StoreError::io("create", path, error))
}
