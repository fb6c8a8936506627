//! `docker image prune`.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use skiff_api::filters::Filters;
use skiff_api::{ImagesPruneReport, List};

use super::filter::{invalid, until};
use super::list::created;
use super::remove::{Removed, remove_unused};
use crate::{Core, Kind, Result};

pub(super) fn prune(core: &Core, filters: &Filters) -> Result<ImagesPruneReport> {
    filters.accept_only(&["dangling", "label", "label!", "until"]).map_err(invalid)?;
    let only_dangling = filters.boolean("dangling", true).map_err(invalid)?;
    let until = until(filters, Timestamp::now())?;
    let used: HashSet<String> = core
        .containers
        .all()
        .iter()
        .flat_map(|container| {
            container.view().record.images().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let mut deleted = Vec::new();
    for named in core.store.images().list() {
        let id = named.image.id;
        let Ok(config) = core.store.config(&id) else { continue };
        let is_dangling = named.tags.is_empty() && named.digests.is_empty();
        let chosen = (is_dangling || !only_dangling)
            && until.is_none_or(|until| created(&named.image) < until)
            && filters.accepts_labels(&config.config.labels)
            && !used.contains(&id.to_string());
        if !chosen {
            continue;
        }
        match remove_unused(core, &id) {
            Ok(removed) => deleted.push(removed),
            // A container was made of it, or it is the parent of one that stays.
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    // Also what earlier failures left.
    core.store.collect()?;
    Ok(report(core, deleted))
}

fn report(core: &Core, deleted: Vec<Removed>) -> ImagesPruneReport {
    let space_reclaimed: u64 = deleted.iter().map(|removed| removed.bytes).sum();
    let attributes = BTreeMap::from([("reclaimed".to_owned(), space_reclaimed.to_string())]);
    core.events.emit("image", "prune", "", attributes);
    let items = deleted.into_iter().flat_map(|removed| removed.items).collect::<Vec<_>>();
    ImagesPruneReport {
        images_deleted: if items.is_empty() { List::default() } else { items.into() },
        space_reclaimed,
    }
}
