//! Volumes: directories that outlive containers (driver `local`).
//!
//! ```text
//! <data-root>/volumes/<name>/volume.json   name, labels, options, creation time
//!                           /_data         what containers see
//! ```
//! A volume exists when its `volume.json` does: it is written (temporary file and rename) after
//! `_data` is made and unlinked before `_data` is deleted, so a crash leaves a directory without a
//! record, which the next start deletes. References are not stored: containers' records name the
//! volumes they use.

mod copy_up;
mod filter;
mod local;
mod name;
mod prune;
mod record;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use skiff_api::filters::Filters;
use skiff_api::{Volume, VolumeCreateRequest, VolumeListResponse, VolumesPruneReport};

use crate::error::Result;

pub(crate) use table::VolumeTable;

/// Every operation on volumes.
#[derive(Clone)]
pub struct Volumes(pub(crate) Arc<crate::Core>);

impl Volumes {
    /// Makes a volume, or gives the one that has this name and the same options. Without a name it
    /// gets a random one.
    pub fn create(&self, request: VolumeCreateRequest) -> Result<Volume> {
        table::create(&self.0, request)
    }

    /// Everything about one volume.
    pub fn inspect(&self, name: &str) -> Result<Volume> {
        table::inspect(&self.0, name)
    }

    /// Lists volumes by name; filters `name`, `label`, `label!`, `driver`, `dangling`.
    pub fn list(&self, filters: &Filters) -> Result<VolumeListResponse> {
        table::list(&self.0, filters)
    }

    /// Removes a volume that no container uses; `force` also accepts one that does not exist.
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        table::remove(&self.0, name, force)
    }

    /// Removes volumes that no container uses: anonymous ones, with the filter `all=true` also
    /// named ones; further filters are `label`, `label!`.
    pub fn prune(&self, filters: &Filters) -> Result<VolumesPruneReport> {
        prune::prune(&self.0, filters)
    }
}
