//! Unpacked layers, by chain id:
//!
//! ```text
//! snapshots/<chain-id hex>/fs/          what overlay mounts
//!                          layer.json   what the layer is
//!                          recipe       how to make its tar again (layers without a blob)
//!                          shadowed/    contents the tar has and the tree has not
//! snapshots/.new-<name>/                being unpacked
//! empty/0/, empty/1/                    layers of nothing (overlay wants two)
//! ```
//!
//! A layer is unpacked aside, synced, and renamed to its chain id: whoever finds that name finds a
//! whole layer. Everything else is swept when the store is opened. A layer's tree does not depend
//! on the layers below it; only its name does.

mod mount;
mod unpack;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use skiff_model::digest::Digest;

pub use unpack::{Preparing, Unpacked};

use crate::durable::{ensure_dir, sync_dir};
use crate::error::{Result, StoreError};
use crate::hash::{HashWriter, digest_of};
use crate::names::Names;
use crate::tar::recipe::{Contents, Shadowed, replay};
use crate::tar::root::Root;
use crate::trash::Trash;

/// Prefix of directories that are being unpacked.
const NEW: &str = ".new-";

/// What is known of an unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layer {
    pub diff_id: Digest,
    /// Chain id of the layer below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// Sum of the files' sizes, as Docker counts.
    pub size: u64,
    /// Size of the uncompressed tar.
    pub tar_size: u64,
    /// Whether the tar can be made again from the files.
    pub recipe: bool,
    /// The compressed blob it came from, which lives as long as the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<Digest>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shadowed: Vec<Shadowed>,
}

/// The unpacked layers.
pub struct Snapshots {
    dir: PathBuf,
    empty: [PathBuf; 2],
    names: Names,
    /// Layers whose `layer.json` was read.
    known: Mutex<HashMap<Digest, Arc<Layer>>>,
}

/// Chain ids of a list of diff ids, lowest first (OCI image spec, "Layer ChainID").
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => *diff_id,
            Some(parent) => digest_of(format!("{parent} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

impl Snapshots {
    /// Opens `<data-root>/snapshots` and moves what is not a whole layer to the trash.
    pub(crate) fn open(root: &Path, names: Names, trash: &Trash) -> Result<Self> {
        let dir = root.join("snapshots");
        ensure_dir(&dir)?;
        let empty = [root.join("empty/0"), root.join("empty/1")];
        empty.iter().try_for_each(|path| ensure_dir(path))?;
        let entries =
            std::fs::read_dir(&dir).map_err(|error| StoreError::io("read", &dir, error))?;
        for entry in entries.flatten() {
            let named = entry.file_name().to_str().is_some_and(|n| Digest::from_hex(n).is_ok());
            if !named || !entry.path().join("layer.json").exists() {
                trash.put(&entry.path())?;
                trash.wake();
            }
        }
        Ok(Self { dir, empty, names, known: Mutex::default() })
    }

    fn path(&self, chain_id: &Digest) -> PathBuf {
        self.dir.join(chain_id.hex())
    }

    /// The directory to mount for a layer, if it exists.
    pub fn fs_path(&self, chain_id: &Digest) -> PathBuf {
        self.path(chain_id).join("fs")
    }

    /// Whether a layer is unpacked.
    pub fn exists(&self, chain_id: &Digest) -> bool {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(chain_id)
            || self.path(chain_id).join("layer.json").exists()
    }

    /// What is known of a layer.
    pub fn layer(&self, chain_id: &Digest) -> Result<Arc<Layer>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = known.get(chain_id) {
            return Ok(layer.clone());
        }
        drop(known);
        let path = self.path(chain_id).join("layer.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::NoLayer(*chain_id));
            }
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let layer: Layer = serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::invalid(path.display().to_string(), error))?;
        let layer = Arc::new(layer);
        // Only what still exists may be remembered: it may be collected at this moment.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if self.path(chain_id).exists() {
            known.insert(*chain_id, layer.clone());
        }
        Ok(layer)
    }

    /// The directories to mount for an image, topmost first.
    pub fn chain(&self, diff_ids: &[Digest]) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::with_capacity(diff_ids.len());
        for chain_id in chain_ids(diff_ids).iter().rev() {
            if !self.exists(chain_id) {
                return Err(StoreError::NoLayer(*chain_id));
            }
            paths.push(self.fs_path(chain_id));
        }
        Ok(paths)
    }

    /// A layer's chain ids from itself down to the lowest.
    pub fn ancestors(&self, chain_id: &Digest) -> Result<Vec<Digest>> {
        let mut all = vec![*chain_id];
        let mut layer = self.layer(chain_id)?;
        while let Some(parent) = layer.parent {
            all.push(parent);
            layer = self.layer(&parent)?;
        }
        Ok(all)
    }

    /// All layers, in no order.
    pub fn list(&self) -> Result<Vec<Digest>> {
        let entries = std::fs::read_dir(&self.dir)
            .map_err(|error| StoreError::io("read", &self.dir, error))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| Digest::from_hex(&name).ok()).collect())
    }

    /// Starts a new layer.
    pub fn prepare(&self) -> Result<Preparing> {
        Preparing::new(self.dir.join(format!("{NEW}{}", self.names.next())))
    }

    /// Makes everything written below the data root durable: call once before committing the
    /// layers and blobs of an image.
    pub fn sync(&self) -> Result<()> {
        let dir =
            File::open(&self.dir).map_err(|error| StoreError::io("open", &self.dir, error))?;
        rustix::fs::syncfs(&dir).map_err(|error| StoreError::io("sync", &self.dir, error))
    }

    /// Makes an unpacked layer visible. A layer that is there already wins. The caller has called
    /// [`Unpacked::set_parent`], then synced, and calls [`Snapshots::sync_names`] after the last.
    pub fn commit(&self, mut unpacked: Unpacked) -> Result<Digest> {
        let chain_id = unpacked.chain_id();
        let target = self.path(&chain_id);
        match std::fs::rename(unpacked.path(), &target) {
            Ok(()) => unpacked.keep(),
            // Not empty: another load was first.
            Err(error) if target.exists() => drop(error),
            Err(error) => return Err(StoreError::io("commit", &target, error)),
        }
        Ok(chain_id)
    }

    /// Makes commits durable.
    pub fn sync_names(&self) -> Result<()> {
        sync_dir(&self.dir)
    }

    /// Moves a layer to the trash.
    pub(crate) fn remove(&self, chain_id: &Digest, trash: &Trash) -> Result<bool> {
        let removed = trash.put(&self.path(chain_id));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(chain_id);
        removed
    }

    /// Writes a layer's tar, made again from its files, and checks it against the diff id. Only
    /// for layers with a recipe; `Store::write_tar` knows the others too.
    pub(crate) fn write_tar(&self, chain_id: &Digest, out: &mut dyn Write) -> Result<()> {
        write_tar(&self.path(chain_id), &*self.layer(chain_id)?, out)
    }
}

/// Makes the tar of the layer in the directory `path`.
fn write_tar(path: &Path, layer: &Layer, out: &mut dyn Write) -> Result<()> {
    if !layer.recipe {
        return Err(StoreError::NoBlob(layer.diff_id));
    }
    let open = |path: PathBuf| {
        Root::open_path(&path).map_err(|error| StoreError::io("open", &path, error))
    };
    let root = open(path.join("fs"))?;
    let shadow = match layer.shadowed.is_empty() {
        true => None,
        false => Some(open(path.join("shadowed"))?),
    };
    let contents = Contents { root: &root, shadow: shadow.as_ref(), shadowed: &layer.shadowed };
    let recipe_path = path.join("recipe");
    let recipe =
        File::open(&recipe_path).map_err(|error| StoreError::io("open", &recipe_path, error))?;
    let mut hashed = HashWriter::new(out);
    replay(recipe, &contents, &mut hashed)
        .map_err(|error| StoreError::io("make the tar of", path, error))?;
    let (_, actual, _) = hashed.finish();
    match actual == layer.diff_id {
        true => Ok(()),
        false => Err(StoreError::WrongDigest { expected: layer.diff_id, actual }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_are_the_specifications() {
        let a = crate::hash::digest_of(b"a");
        let b = crate::hash::digest_of(b"b");
        let chain = chain_ids(&[a, b]);
        assert_eq!(chain[0], a);
        assert_eq!(chain[1], crate::hash::digest_of(format!("{a} {b}").as_bytes()));
        assert!(chain_ids(&[]).is_empty());
    }
}
