//! `docker rmi`: Docker's rules of what goes, what stays and what is refused.

use std::collections::HashMap;

use skiff_api::ImageDeleteItem;
use skiff_model::digest::Digest;
use skiff_model::reference::Reference;
use skiff_store::Named;

use super::RemoveOptions;
use super::resolve::{is_id_prefix, reference, resolve, short};
use super::tag::emit;
use crate::{Core, Error, Result};

pub(super) fn remove(
    core: &Core,
    name: &str,
    options: RemoveOptions,
) -> Result<Vec<ImageDeleteItem>> {
    let found = resolve(core, name)?;
    let id = *found.id();
    let named = found.named.clone();
    // Not held any longer: it is to go.
    drop(found);
    let mut removal = Removal::new(core);
    let by_id = is_id_prefix(&id, name) && !has_name(&named, name);
    if by_id {
        if is_single(&named) {
            let mask = Mask { references: false, stopped: !options.force };
            if let Some(conflict) = removal.conflict(&id, mask) {
                return Err(conflict.error(&id));
            }
            for reference in named.tags.iter().chain(&named.digests) {
                removal.untag(&id, reference)?;
            }
        }
    } else if !removal.remove_name(&id, name, &named, options.force)? {
        return Ok(removal.items);
    }
    removal.delete(id, options.force, !options.no_prune, !by_id)?;
    Ok(removal.items)
}

/// Whether a name is the image's, which it is found by before any id is looked at: `a` may be both.
fn has_name(named: &Named, name: &str) -> bool {
    let Ok(parsed) = reference(name).map(Reference::with_default_tag) else { return false };
    named.tags.contains(&parsed) || named.digests.contains(&parsed)
}

/// Whether there is at most one tag, and no second repository.
fn is_single(named: &Named) -> bool {
    let mut references = named.tags.iter().chain(&named.digests);
    let Some(first) = references.next() else { return false };
    named.tags.len() <= 1 && references.all(|other| other.name() == first.name())
}

/// What of the soft conflicts to look for.
#[derive(Clone, Copy)]
struct Mask {
    references: bool,
    stopped: bool,
}

/// Why an image may not be deleted.
struct Conflict {
    /// `force` does not help.
    hard: bool,
    /// A container uses it.
    used: bool,
    reason: String,
}

impl Conflict {
    fn error(&self, id: &Digest) -> Error {
        let how = if self.hard { "cannot be forced" } else { "must be forced" };
        Error::conflict(format!(
            "conflict: unable to delete {} ({how}) - {}",
            id.short(),
            self.reason
        ))
    }
}

/// What a removal did so far.
struct Removal<'a> {
    core: &'a Core,
    items: Vec<ImageDeleteItem>,
    /// Freed in layers.
    bytes: u64,
}

/// What a removal did.
pub(super) struct Removed {
    pub(super) items: Vec<ImageDeleteItem>,
    pub(super) bytes: u64,
}

/// Removes an image with all its names, unless something uses it (a conflict).
pub(super) fn remove_unused(core: &Core, id: &Digest) -> Result<Removed> {
    let mut removal = Removal::new(core);
    if let Some(conflict) = removal.conflict(id, Mask { references: false, stopped: true }) {
        return Err(conflict.error(id));
    }
    if let Some(named) = core.store.images().get(id) {
        for reference in named.tags.iter().chain(&named.digests) {
            removal.untag(id, reference)?;
        }
    }
    removal.delete(*id, false, true, false)?;
    Ok(Removed { items: removal.items, bytes: removal.bytes })
}

impl<'a> Removal<'a> {
    fn new(core: &'a Core) -> Self {
        Removal { core, items: Vec::new(), bytes: 0 }
    }

    /// Takes a name away; false when the image has others and so stays.
    fn remove_name(&mut self, id: &Digest, name: &str, named: &Named, force: bool) -> Result<bool> {
        if !force
            && is_single(named)
            && let Some(user) = users(self.core, id).into_iter().next()
        {
            return Err(Error::conflict(format!(
                "conflict: unable to remove repository reference {name:?} (must force) - container \
                 {} is using its referenced image {}",
                short(&user.id),
                id.short()
            )));
        }
        let parsed = reference(name)?.with_default_tag();
        self.untag(id, &parsed)?;
        let left = self.core.store.images().get(id);
        let Some(left) = left else { return Ok(false) };
        // Digests of a repository mean nothing once its last tag is gone.
        let of_repository = |other: &&Reference| other.name() == parsed.name();
        if parsed.digest().is_none() && !left.tags.iter().any(|tag| of_repository(&tag)) {
            for digest in left.digests.iter().filter(of_repository) {
                self.untag(id, digest)?;
            }
        }
        let left = self.core.store.images().get(id);
        Ok(left.is_some_and(|left| left.tags.is_empty() && left.digests.is_empty()))
    }

    fn untag(&mut self, id: &Digest, reference: &Reference) -> Result<()> {
        self.core.store.images().untag(reference)?;
        emit(self.core, id, "untag", &id.to_string());
        self.items
            .push(ImageDeleteItem { untagged: reference.familiar(), ..ImageDeleteItem::default() });
        Ok(())
    }

    /// Deletes an image and, with `prune`, its untagged parents that nobody uses. With `quiet`
    /// conflicts mean that it stays, unless it is of no use to anyone.
    fn delete(&mut self, id: Digest, force: bool, prune: bool, quiet: bool) -> Result<()> {
        let mut next = Some((id, force, quiet));
        while let Some((id, force, quiet)) = next.take() {
            let Some(named) = self.core.store.images().get(&id) else { return Ok(()) };
            let mask = Mask { references: !force, stopped: !force };
            if let Some(conflict) = self.conflict(&id, mask) {
                let is_dangling = named.tags.is_empty() && named.digests.is_empty();
                if quiet && (!is_dangling || conflict.used) {
                    return Ok(());
                }
                return Err(conflict.error(&id));
            }
            emit(self.core, &id, "delete", &id.to_string());
            for reference in self.core.store.images().remove(&id)? {
                self.items.push(ImageDeleteItem {
                    untagged: reference.familiar(),
                    ..ImageDeleteItem::default()
                });
            }
            self.items.push(deleted(&id));
            let sizes = named.image.chain_ids();
            let sizes: HashMap<Digest, u64> = sizes
                .into_iter()
                .filter_map(|id| Some((id, self.core.store.snapshots().layer(&id).ok()?.size)))
                .collect();
            let collected = self.core.store.collect_image(&named.image)?;
            self.bytes += collected.layers.iter().filter_map(|id| sizes.get(id)).sum::<u64>();
            self.items.extend(collected.layers.iter().rev().map(deleted));
            // A parent with children, names or users is a conflict there, and stays quietly.
            next = named.image.parent.filter(|_| prune).map(|parent| (parent, false, true));
        }
        Ok(())
    }

    fn conflict(&self, id: &Digest, mask: Mask) -> Option<Conflict> {
        let images = self.core.store.images();
        if images.list().iter().any(|named| named.image.parent == Some(*id)) {
            let reason = "image has dependent child images".to_owned();
            return Some(Conflict { hard: true, used: false, reason });
        }
        let users = users(self.core, id);
        if let Some(user) = users.iter().find(|user| user.is_running) {
            let reason = format!("image is being used by running container {}", short(&user.id));
            return Some(Conflict { hard: true, used: true, reason });
        }
        let named = images.get(id)?;
        if mask.references && !(named.tags.is_empty() && named.digests.is_empty()) {
            let reason = "image is referenced in multiple repositories".to_owned();
            return Some(Conflict { hard: false, used: false, reason });
        }
        let user = users.first().filter(|_| mask.stopped)?;
        let reason = format!("image is being used by stopped container {}", short(&user.id));
        Some(Conflict { hard: false, used: true, reason })
    }
}

fn deleted(digest: &Digest) -> ImageDeleteItem {
    ImageDeleteItem { deleted: digest.to_string(), ..ImageDeleteItem::default() }
}

struct User {
    id: String,
    is_running: bool,
}

/// Containers of an image.
fn users(core: &Core, id: &Digest) -> Vec<User> {
    let id = id.to_string();
    let containers = core.containers.all();
    let views = containers.iter().map(|container| container.view());
    views
        .filter(|view| view.record.images().any(|image| image == id))
        .map(|view| User { id: view.record.id.clone(), is_running: view.state.is_active() })
        .collect()
}
