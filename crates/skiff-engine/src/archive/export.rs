//! `docker export`: a container's files without its volumes, as one archive.

use std::io::Write;
use std::os::fd::OwnedFd;

use skiff_store::tar::diff::{Options, write_tree};

use crate::container::effect::emit;
use crate::container::record::Paths;
use crate::container::state::State;
use crate::{Core, Error, Result};

/// A container's layers, merged.
pub(super) struct Open {
    id: String,
    root: OwnedFd,
}

pub(super) fn open(core: &Core, name: &str) -> Result<Open> {
    let view = core.containers.get(name)?.view();
    let record = &view.record;
    if matches!(view.state, State::Dead | State::Removing(_)) {
        return Err(Error::conflict(format!(
            "You cannot export container {} which is being removed",
            record.id
        )));
    }
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
    // Read-only, so that it may be mounted while the container writes.
    let mut layers = super::layers(core, record)?;
    layers.insert(0, paths.upper());
    let root = super::snapshots(core).mount_detached(&layers, None)?;
    emit(&core.events, record, "export", []);
    Ok(Open { id: record.id.clone(), root })
}

impl Open {
    pub(super) fn write(self, archive: &mut dyn Write) -> Result<()> {
        let options = Options { whole_seconds: true, ..Options::default() };
        write_tree(&self.root, b"", options, archive)
            .map(|_| ())
            .map_err(|error| Error::failed(format!("export container {}", self.id), error))
    }
}
