//! The image store: everything below the data root that images are made of.
//!
//! ```text
//! <data-root>/content/    blobs by digest           (content)
//!             snapshots/  unpacked layers           (snapshots)
//!             images.json image records and names   (images)
//!             trash/      on its way out            (trash)
//! ```
//!
//! Whatever has its final name is whole and synced; what is being made has another name and is
//! swept by the next [`Store::open`]. All methods take `&self` and may be called from many threads.
//! Nothing here is asynchronous, knows containers or touches a network.

#![forbid(unsafe_code)]

pub mod archive;
pub mod compression;
pub mod content;
mod durable;
pub mod error;
pub mod gc;
pub mod hash;
pub mod images;
pub mod lease;
pub mod make;
mod names;
mod pump;
mod remove;
pub mod snapshots;
pub mod tar;
mod trash;
pub mod usage;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use skiff_model::digest::Digest;
use skiff_model::image::ImageConfig;

pub use content::Content;
pub use error::{Result, StoreError};
pub use gc::{Collected, Pins};
pub use images::{Image, Images, Named, Untagged};
pub use lease::Lease;
pub use snapshots::{Layer, Snapshots};

/// An open store. The caller holds the lock on the data root: one process at a time.
pub struct Store {
    root: PathBuf,
    content: Content,
    snapshots: Snapshots,
    images: Images,
    leases: lease::Leases,
    /// What containers use at the moment; asked by every collection under the leases' lock.
    pins: Box<dyn Fn() -> Pins + Send + Sync>,
    trash: trash::Trash,
    /// Configs that were read.
    configs: Mutex<HashMap<Digest, Arc<ImageConfig>>>,
}

impl Store {
    /// Opens (or makes) the store below `root` and sweeps what an interrupted process left. `pins`
    /// says what containers use, whenever something is about to be collected; it must not wait for
    /// anyone who takes or drops a lease.
    pub fn open(root: &Path, pins: impl Fn() -> Pins + Send + Sync + 'static) -> Result<Self> {
        durable::ensure_dir(root)?;
        let names = names::Names::new();
        let trash = trash::Trash::open(root.join("trash"), names.clone())?;
        Ok(Self {
            content: Content::open(&root.join("content"), names.clone())?,
            snapshots: Snapshots::open(root, names, &trash)?,
            images: Images::open(root.join("images.json"))?,
            leases: lease::Leases::default(),
            pins: Box::new(pins),
            trash,
            configs: Mutex::default(),
            root: root.to_owned(),
        })
    }

    /// Blobs.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Unpacked layers.
    pub fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    /// Image records and names.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Begins to hold blobs and layers that no image names yet.
    pub fn lease(&self) -> Lease {
        self.leases.take()
    }

    /// An image's config.
    pub fn config(&self, id: &Digest) -> Result<Arc<ImageConfig>> {
        let cached = self.configs.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(config) = cached {
            return Ok(config);
        }
        let config: Arc<ImageConfig> = Arc::new(self.content.document(id)?);
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        configs.insert(*id, config.clone());
        Ok(config)
    }

    pub(crate) fn forget_config(&self, id: &Digest) {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Takes a file or directory below the data root away at once; it is deleted behind. False when
    /// it is not there.
    pub fn discard(&self, path: &Path) -> Result<bool> {
        let was_there = self.trash.put(path)?;
        self.trash.wake();
        Ok(was_there)
    }

    /// Waits until removed things are deleted and not only renamed away.
    pub fn wait_for_trash(&self) {
        self.trash.wait();
    }

    /// Bytes that may still be written, keeping a reserve so that removal always works.
    pub(crate) fn free_space(&self) -> u64 {
        const RESERVE: u64 = 16 << 20;
        match rustix::fs::statvfs(&self.root) {
            Ok(stat) => (stat.f_bavail * stat.f_frsize).saturating_sub(RESERVE),
            // Unknown: the kernel will tell when there is none.
            Err(_) => u64::MAX,
        }
    }
}
