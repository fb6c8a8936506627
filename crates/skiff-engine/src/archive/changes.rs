//! `docker diff`: what a container's writable layer changes.

use skiff_api::ChangeItem;
use skiff_store::tar::changes;
use skiff_store::tar::root::Root;

use crate::container::record::Paths;
use crate::{Core, Error, Result};

pub(super) fn changes(core: &Core, name: &str) -> Result<Vec<ChangeItem>> {
    let view = core.containers.get(name)?.view();
    let record = &view.record;
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
    let open = |path: &std::path::Path| {
        Root::open_path(path)
            .map_err(|error| Error::failed(format!("open {}", path.display()), error))
    };
    let upper = open(&paths.upper())?;
    let lowers = super::layers(core, record)?;
    let lowers = lowers.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
    let found = changes::changes(&upper, &lowers).map_err(|error| {
        Error::failed(format!("compare the files of container {}", record.id), error)
    })?;
    Ok(found.into_iter().map(item).collect())
}

fn item(change: changes::Change) -> ChangeItem {
    ChangeItem { kind: change.kind as u8, path: String::from_utf8_lossy(&change.path).into_owned() }
}
