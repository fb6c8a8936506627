//! The end of a container: its files leave with one rename and are deleted behind, by the store's
//! trash.

use super::record::{Paths, Record};
use super::launch;
use crate::Core;
use crate::error::{Error, Result};
use crate::{log, volume};

/// Takes a container's files away, and with `volumes` those of its volumes that nobody named.
pub(super) fn discard(core: &Core, record: &Record, paths: &Paths, volumes: bool) -> Result<()> {
    launch::clean_run_dir(paths);
    core.store.discard(&paths.dir).map_err(|error| {
        Error::failed(format!("cannot remove container \"{}\"", record.name), error)
    })?;
    core.execs.container_removed(&record.id);
    if volumes {
        for error in volume::remove_anonymous(core, record) {
            log::warn(&format!("container {}: {error}", record.id));
        }
    }
    Ok(())
}
