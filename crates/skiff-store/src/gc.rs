//! Garbage collection: what no image, lease or container needs goes to the trash.

use std::collections::HashSet;

use skiff_model::digest::Digest;

use crate::Store;
use crate::error::Result;
use crate::images::Image;

/// What is in use by something outside the store: containers.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    /// Image ids, whose configs are kept.
    pub images: Vec<Digest>,
    /// Topmost layers by chain id; those below are kept too.
    pub layers: Vec<Digest>,
}

/// What must stay.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Roots {
    pub blobs: HashSet<Digest>,
    pub layers: HashSet<Digest>,
}

/// What goes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Doomed {
    pub blobs: Vec<Digest>,
    pub layers: Vec<Digest>,
}

/// What a collection freed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    pub blobs: Vec<Digest>,
    /// Chain ids.
    pub layers: Vec<Digest>,
    pub bytes: u64,
}

impl Roots {
    /// Adds an image.
    pub fn image(&mut self, image: &Image) {
        self.blobs.extend(image.blobs());
        self.layers.extend(image.chain_ids());
    }
}

/// Decides: everything that exists and is no root.
pub fn doomed(roots: &Roots, blobs: &[Digest], layers: &[Digest]) -> Doomed {
    let without = |all: &[Digest], kept: &HashSet<Digest>| {
        all.iter().filter(|digest| !kept.contains(*digest)).copied().collect()
    };
    Doomed { blobs: without(blobs, &roots.blobs), layers: without(layers, &roots.layers) }
}

impl Store {
    /// Removes everything that nothing needs.
    pub fn collect(&self) -> Result<Collected> {
        self.collect_of(&self.content().list()?, &self.snapshots().list()?)
    }

    /// As [`Store::collect`] for what a removed image held only, without looking at the rest.
    pub fn collect_image(&self, removed: &Image) -> Result<Collected> {
        let blobs: Vec<Digest> = removed.blobs().collect();
        self.collect_of(&blobs, &removed.chain_ids())
    }

    /// Removes those of `blobs` and `layers` that nothing needs. Whatever the caller believes of
    /// them: others may have found and begun to use them since.
    pub(crate) fn collect_of(&self, blobs: &[Digest], layers: &[Digest]) -> Result<Collected> {
        // Held until everything is renamed; see `lease`.
        let leases = self.leases.lock();
        // Not before: a container is there before the lease of its making is dropped.
        let pins = (self.pins)();
        let mut roots = Roots::default();
        for image in self.images().lock().images() {
            roots.image(image);
        }
        roots.blobs.extend(&pins.images);
        let mut tops = pins.layers;
        for held in leases.held.values() {
            roots.blobs.extend(&held.blobs);
            tops.extend(&held.layers);
        }
        for top in tops {
            // Leased before it exists, or pinned though lost: then there is nothing below either.
            let below = self.snapshots().ancestors(&top).unwrap_or_else(|_| vec![top]);
            roots.layers.extend(below);
        }
        for chain_id in &roots.layers {
            let layer = self.snapshots().layer(chain_id);
            roots.blobs.extend(layer.ok().and_then(|layer| layer.blob));
        }
        let doomed = doomed(&roots, blobs, layers);
        let mut collected = Collected::default();
        for digest in doomed.blobs {
            let size = self.content().size(&digest).unwrap_or(0);
            if self.trash.put(&self.content().path(&digest))? {
                collected.bytes += size;
                collected.blobs.push(digest);
                self.forget_config(&digest);
            }
        }
        for chain_id in doomed.layers {
            let size = self.snapshots().layer(&chain_id).map_or(0, |layer| layer.size);
            if self.snapshots().remove(&chain_id, &self.trash)? {
                collected.bytes += size;
                collected.layers.push(chain_id);
            }
        }
        drop(leases);
        if !collected.blobs.is_empty() || !collected.layers.is_empty() {
            self.trash.wake();
        }
        Ok(collected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_no_root_goes() {
        let digest = |n| Digest::from_bytes([n; 32]);
        let roots = Roots { blobs: [digest(1)].into(), layers: [digest(2), digest(3)].into() };
        let gone = doomed(&roots, &[digest(1), digest(2)], &[digest(2), digest(4)]);
        assert_eq!(gone, Doomed { blobs: vec![digest(2)], layers: vec![digest(4)] });
    }
}
