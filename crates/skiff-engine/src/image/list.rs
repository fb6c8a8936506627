//! `docker images`.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use skiff_api::filters::Filters;
use skiff_api::{ImageSummary, List, Map};
use skiff_model::digest::Digest;
use skiff_model::reference::Reference;
use skiff_store::{Image, Named};

use super::ListOptions;
use super::filter::{Facts, ImageFilter, invalid};
use super::resolve::resolve;
use crate::{Core, Error, Result};

const FILTERS: &[&str] = &["dangling", "label", "label!", "before", "since", "reference", "until"];

pub(super) fn list(core: &Core, options: &ListOptions) -> Result<Vec<ImageSummary>> {
    options.filters.accept_only(FILTERS).map_err(invalid)?;
    let mut filter = ImageFilter::new(&options.filters, options.all, Timestamp::now())?;
    filter.before = image_time(core, &options.filters, "before")?;
    filter.since = image_time(core, &options.filters, "since")?;
    let images = core.store.images().list();
    let parents: HashSet<Digest> = images.iter().filter_map(|named| named.image.parent).collect();
    let shared = match options.shared_size {
        true => Some(layer_users(&images)),
        false => None,
    };
    let mut summaries = Vec::with_capacity(images.len());
    for named in &images {
        // Removed a moment ago.
        let Ok(config) = core.store.config(&named.image.id) else { continue };
        let facts = Facts {
            tags: &named.tags,
            digests: &named.digests,
            created: created(&named.image),
            labels: &config.config.labels,
            has_children: parents.contains(&named.image.id),
        };
        let Some(tags) = filter.shown_tags(&facts) else { continue };
        let mut summary = summarize(named, &tags, &config.config.labels);
        if let Some(users) = &shared {
            summary.shared_size = shared_size(core, &named.image, users)?;
        }
        summaries.push(summary);
    }
    Ok(summaries)
}

fn summarize(
    named: &Named,
    tags: &[Reference],
    labels: &std::collections::BTreeMap<String, String>,
) -> ImageSummary {
    let image = &named.image;
    ImageSummary {
        containers: -1,
        created: created(image),
        id: image.id.to_string(),
        labels: if labels.is_empty() { Map::default() } else { Map::from(labels.clone()) },
        parent_id: image.parent.map(|parent| parent.to_string()).unwrap_or_default(),
        repo_digests: references(&named.digests),
        repo_tags: references(tags),
        shared_size: -1,
        size: image.size.cast_signed(),
        ..ImageSummary::default()
    }
}

/// As users write them.
pub(super) fn references(references: &[Reference]) -> List<String> {
    references.iter().map(Reference::familiar).collect()
}

/// Unix seconds; 0 for an image that does not say.
pub(super) fn created(image: &Image) -> i64 {
    let time = image.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    time.map_or(0, Timestamp::as_second)
}

/// When the image that a filter names was made.
fn image_time(core: &Core, filters: &Filters, key: &str) -> Result<Option<i64>> {
    let mut values = filters.values(key);
    let Some(name) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid(format!("invalid filter '{key}'")));
    }
    Ok(Some(created(&resolve(core, name)?.named.image)))
}

/// How many images have each layer.
fn layer_users(images: &[Named]) -> HashMap<Digest, usize> {
    let mut users = HashMap::new();
    for chain_id in images.iter().flat_map(|named| named.image.chain_ids()) {
        *users.entry(chain_id).or_default() += 1;
    }
    users
}

/// Bytes of the layers that other images have, too.
fn shared_size(core: &Core, image: &Image, users: &HashMap<Digest, usize>) -> Result<i64> {
    let mut total = 0;
    for chain_id in image.chain_ids() {
        if users.get(&chain_id).is_some_and(|&count| count > 1) {
            total += core.store.snapshots().layer(&chain_id)?.size;
        }
    }
    Ok(total.cast_signed())
}
