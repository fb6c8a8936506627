//! `docker history`.

use jiff::Timestamp;
use skiff_api::{HistoryItem, List};
use skiff_model::digest::Digest;

use super::list::references;
use super::resolve::resolve_for;
use crate::{Core, Result};

pub(super) fn history(core: &Core, name: &str, platform: Option<&str>) -> Result<Vec<HistoryItem>> {
    let found = resolve_for(core, name, platform)?;
    let mut chain = found.named.image.chain_ids().into_iter();
    let mut items = Vec::with_capacity(found.config.history.len());
    for step in &found.config.history {
        let layer = if step.empty_layer { None } else { chain.next() };
        let size = match layer {
            Some(chain_id) => core.store.snapshots().layer(&chain_id)?.size,
            None => 0,
        };
        items.push(HistoryItem {
            comment: step.comment.clone(),
            created: step
                .created
                .as_deref()
                .and_then(|text| text.parse::<Timestamp>().ok())
                .map_or(0, Timestamp::as_second),
            created_by: step.created_by.clone(),
            id: "<missing>".to_owned(),
            size: size.cast_signed(),
            tags: List::default(),
        });
    }
    items.reverse();
    name_images(core, *found.id(), &mut items);
    Ok(items)
}

/// The newest steps have images of their own, as far as parents are known: each commit made one.
fn name_images(core: &Core, id: Digest, items: &mut [HistoryItem]) {
    let mut id = Some(id);
    for item in items {
        let Some(named) = id.and_then(|id| core.store.images().get(&id)) else { return };
        item.id = named.image.id.to_string();
        if !named.tags.is_empty() {
            item.tags = references(&named.tags);
        }
        id = named.image.parent;
    }
}
