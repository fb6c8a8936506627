//! What is in use although no image names it yet.
//!
//! A load or pull leases a blob or layer *before* it looks whether it is there. A collection holds
//! the table's lock from reading the roots to the last rename, so either it comes first and the
//! loader finds nothing, or the loader does and what it found stays.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skiff_model::digest::Digest;

/// What one lease holds.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) blobs: HashSet<Digest>,
    /// Layers by chain id.
    pub(crate) layers: HashSet<Digest>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    next: u64,
    pub(crate) held: HashMap<u64, Held>,
}

/// All leases of a store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases(Arc<Mutex<Table>>);

impl Leases {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self) -> Lease {
        let mut table = self.lock();
        table.next += 1;
        let id = table.next;
        table.held.insert(id, Held::default());
        drop(table);
        Lease { leases: self.clone(), id }
    }
}

/// Keeps blobs and layers from being collected until it is dropped.
#[derive(Debug)]
pub struct Lease {
    leases: Leases,
    id: u64,
}

impl Lease {
    /// Holds a blob, whether or not it exists.
    pub fn blob(&self, digest: &Digest) {
        self.with(|held| held.blobs.insert(*digest));
    }

    /// Holds a layer and, if it exists, those below it.
    pub fn layer(&self, chain_id: &Digest) {
        self.with(|held| held.layers.insert(*chain_id));
    }

    fn with(&self, change: impl FnOnce(&mut Held) -> bool) {
        if let Some(held) = self.leases.lock().held.get_mut(&self.id) {
            change(held);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.lock().held.remove(&self.id);
    }
}
