//! `docker save`: which images and names an archive gets.

use std::io::Write;

use skiff_model::digest::Digest;
use skiff_model::reference::{Reference, looks_like_id};
use skiff_store::archive::SaveImage;

use super::resolve::{Resolved, reference, resolve_for};
use super::tag::emit;
use crate::{Core, Error, Result};

/// Images that are held until they are written.
pub(super) struct Plan {
    images: Vec<SaveImage>,
    _held: Vec<Resolved>,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("images", &self.images).finish_non_exhaustive()
    }
}

pub(super) fn plan(core: &Core, names: &[String], platform: Option<&str>) -> Result<Plan> {
    let mut plan = Plan { images: Vec::new(), _held: Vec::new() };
    for name in names {
        if name.parse::<Digest>().is_ok() {
            plan.add(resolve_for(core, name, platform)?, None);
            continue;
        }
        match named(core, name)? {
            Names::Tags(tags) => {
                for tag in tags {
                    let found = resolve_for(core, &tag.to_string(), platform)?;
                    let tag = Some(tag).filter(|tag| tag.digest().is_none());
                    plan.add(found, tag);
                }
            }
            Names::Id => plan.add(resolve_for(core, name, platform)?, None),
        }
    }
    if plan.images.is_empty() {
        return Err(Error::invalid("no image to save"));
    }
    Ok(plan)
}

/// What a word of the command line stands for.
enum Names {
    Tags(Vec<Reference>),
    /// The start of an id, or what does not exist.
    Id,
}

/// A repository without a tag stands for all its tags.
fn named(core: &Core, name: &str) -> Result<Names> {
    let parsed = match reference(name) {
        Err(_) if looks_like_id(name).is_some() => return Ok(Names::Id),
        other => other?,
    };
    if !parsed.is_name_only() {
        if core.store.images().by_name(&parsed).is_none() && parsed.digest().is_none() {
            return Err(Error::not_found("reference does not exist"));
        }
        return Ok(Names::Tags(vec![parsed]));
    }
    let repository = parsed.name();
    let images = core.store.images().list();
    let tags: Vec<Reference> = images
        .into_iter()
        .flat_map(|named| named.tags)
        .filter(|tag| tag.name() == repository)
        .collect();
    Ok(if tags.is_empty() { Names::Id } else { Names::Tags(tags) })
}

impl Plan {
    fn add(&mut self, found: Resolved, name: Option<Reference>) {
        let id = *found.id();
        match self.images.iter_mut().find(|image| image.id == id) {
            Some(image) => {
                image.names.extend(name.filter(|name| !image.names.contains(name)));
            }
            None => {
                self.images.push(SaveImage { id, names: name.into_iter().collect() });
                self._held.push(found);
            }
        }
    }
}

pub(super) fn save(core: &Core, plan: &Plan, archive: &mut dyn Write) -> Result<()> {
    core.store.save(&plan.images, archive)?;
    for image in &plan.images {
        emit(core, &image.id, "save", &image.id.to_string());
    }
    Ok(())
}
