//! Volumes: directories that outlive containers (driver `local`).
//!
//! ```text
//! <data-root>/volumes/<name>/volume.json   labels, options, creation time
//!                           /_data         what containers see
//! ```
//! A volume is a directory here, complete as soon as it has its name: it is made under another
//! name (`.new-…`) and renamed, and goes by being renamed (`.gone-…`) before it is deleted. A
//! record that cannot be read costs labels and options, never data. References are not stored:
//! containers' records name the volumes they use, and [`Held`] covers the time until a record does.

mod copy_up;
mod local;
mod record;
mod table;
mod usage;

use std::collections::BTreeSet;
use std::sync::Arc;

use skiff_api::filters::Filters;
use skiff_api::{Volume, VolumeCreateRequest, VolumeListResponse, VolumesPruneReport};

use crate::Core;
use crate::container::record::Record;
use crate::error::Result;

pub(crate) use table::{Held, VolumeTable};

/// Every operation on volumes.
#[derive(Clone)]
pub struct Volumes(pub(crate) Arc<Core>);

impl Volumes {
    /// Makes a volume, or gives the one that has this name. Without a name it gets a random one.
    pub fn create(&self, request: VolumeCreateRequest) -> Result<Volume> {
        usage::create(&self.0, &request)
    }

    /// Everything about one volume.
    pub fn inspect(&self, name: &str) -> Result<Volume> {
        usage::inspect(&self.0, name)
    }

    /// Lists volumes by name; filters `name`, `label`, `label!`, `driver`, `dangling`.
    pub fn list(&self, filters: &Filters) -> Result<VolumeListResponse> {
        usage::list(&self.0, filters)
    }

    /// Removes a volume that no container uses; `force` also accepts one that does not exist.
    pub fn remove(&self, name: &str, force: bool) -> Result<()> {
        usage::remove(&self.0, name, force)
    }

    /// Removes volumes that no container uses: anonymous ones, with the filter `all=true` also
    /// named ones; further filters are `label`, `label!`. Blocks.
    pub fn prune(&self, filters: &Filters) -> Result<VolumesPruneReport> {
        usage::prune(&self.0, filters)
    }
}

/// For creating a container: the volume of this name (made if it does not exist; a new anonymous
/// one for an empty name), safe from removal until the value is dropped. Keep it until the
/// container's record is registered. Its host path is [`Held::data`].
pub(crate) fn hold(core: &Core, request: &VolumeCreateRequest) -> Result<Held> {
    usage::hold(core, request)
}

/// For creating a container, when its record is complete: fills its empty volumes with what the
/// image has at their places, where `copy_up` says so.
pub(crate) fn copy_up(core: &Core, record: &Record) -> Result<()> {
    copy_up::container(core, record)
}

/// For starting a container: mounts what its volumes' options (`type`, `o`, `device`) say.
pub(crate) fn mount(core: &Core, record: &Record) -> Result<()> {
    usage::mount_for(core, record)
}

/// For starting a container: those of its volumes that have a file system of their own on them.
pub(crate) fn mounted_over(core: &Core, record: &Record) -> BTreeSet<String> {
    let volumes = record.mounts.iter().filter(|mount| mount.point.kind == "volume");
    let foreign = |name: &&String| {
        core.volumes.get(name).is_some_and(|volume| !volume.option("type").is_empty())
    };
    volumes.map(|mount| &mount.point.name).filter(foreign).cloned().collect()
}

/// For removing a container (`rm -v`, `--rm`), after its record is gone: removes its anonymous
/// volumes, but those that other containers use. Gives what failed, to be logged.
pub(crate) fn remove_anonymous(core: &Core, record: &Record) -> Vec<crate::Error> {
    usage::remove_anonymous(core, record)
}

/// Bytes that a volume takes, and how many containers use it, for each; walks all files.
pub(crate) fn disk_usage(core: &Core) -> Result<Vec<Volume>> {
    usage::disk_usage(core)
}
