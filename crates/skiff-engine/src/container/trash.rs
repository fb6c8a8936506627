//! The end of a container: its files leave with one rename and are deleted behind, by the store's
//! trash.

use std::sync::Arc;

use super::launch;
use super::record::{Paths, Record};
use crate::error::{Error, Result};
use crate::{Core, log, volume};

/// Takes a container's files away.
pub(super) fn discard(core: &Core, record: &Record, paths: &Paths) -> Result<()> {
    launch::clean_run_dir(paths);
    core.store.discard(&paths.dir).map_err(|error| {
        Error::failed(format!("cannot remove container \"{}\"", record.name), error)
    })?;
    core.execs.container_removed(&record.id);
    Ok(())
}

/// Removes the volumes that were made for a container alone, after it is gone itself.
pub(super) async fn discard_volumes(core: &Arc<Core>, record: &Arc<Record>) {
    if !record.mounts.iter().any(|mount| mount.anonymous) {
        return;
    }
    let (core, record) = (core.clone(), record.clone());
    let id = record.id.clone();
    let removed =
        tokio::task::spawn_blocking(move || volume::remove_anonymous(&core, &record)).await;
    for error in removed.into_iter().flatten() {
        log::warn(&format!("container {id}: {error}"));
    }
}
