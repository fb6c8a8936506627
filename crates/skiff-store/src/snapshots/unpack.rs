//! A layer on its way to becoming a snapshot.

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use skiff_model::digest::Digest;

use super::{Layer, chain_ids};
use crate::durable::ensure_dir;
use crate::error::{Result, StoreError};
use crate::hash::HashReader;
use crate::tar::apply::{Options, Whiteouts, apply, apply_recording};
use crate::tar::read_error;
use crate::tar::recipe::Recorder;
use crate::tar::root::Root;

/// A directory that is removed unless it is kept.
#[derive(Debug)]
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // Cannot be told; what stays is swept at the next open.
            if let (Some(parent), Some(name)) = (self.0.parent(), self.0.file_name())
                && let Ok(parent) = File::open(parent)
            {
                let _ = crate::remove::tree_at(&parent, name);
            }
        }
    }
}

/// An empty place for a layer's files; dropped, it leaves nothing.
#[derive(Debug)]
pub struct Preparing(Aside);

/// A whole layer that has no name yet; dropped, it leaves nothing.
#[derive(Debug)]
pub struct Unpacked {
    aside: Aside,
    pub layer: Layer,
}

impl Preparing {
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        ensure_dir(&path)?;
        let preparing = Self(Aside(path));
        let fs = preparing.fs_path();
        ensure_dir(&fs)?;
        let root = File::open(&fs).map_err(|error| StoreError::io("open", &fs, error))?;
        // The root of a container whose layers do not speak of it.
        rustix::fs::fchmod(&root, rustix::fs::Mode::from_raw_mode(0o755))
            .map_err(|error| StoreError::io("set up", &fs, error))?;
        Ok(preparing)
    }

    /// Where the files go.
    pub fn fs_path(&self) -> PathBuf {
        self.0.0.join("fs")
    }

    /// Unpacks an uncompressed layer tar, to its end, with at most `budget` bytes of files. With
    /// `recipe`, the tar can be made again from what is unpacked, so that no blob has to be kept.
    pub fn unpack(self, source: impl BufRead, recipe: bool, budget: u64) -> Result<Unpacked> {
        let root = self.open("fs")?;
        let options = Options { whiteouts: Whiteouts::Overlay, budget, ..Options::default() };
        let mut source = HashReader::new(source);
        let applied = if recipe {
            ensure_dir(&self.0.0.join("shadowed"))?;
            let shadow = self.open("shadowed")?;
            let path = self.0.0.join("recipe");
            let recorder = File::create(&path).and_then(Recorder::new);
            let recorder = recorder.map_err(|error| StoreError::io("create", &path, error))?;
            let (applied, recorder) =
                apply_recording(&root, &mut source, options, recorder, &shadow)?;
            recorder.finish().map_err(|error| StoreError::io("write", &path, error))?;
            if applied.shadowed.is_empty() {
                let _ = std::fs::remove_dir(self.0.0.join("shadowed"));
            }
            applied
        } else {
            apply(&root, &mut source, options)?
        };
        let (diff_id, tar_size) = source.finish().map_err(read_error)?;
        let layer = Layer {
            diff_id,
            parent: None,
            size: applied.size,
            tar_size,
            recipe,
            blob: None,
            shadowed: applied.shadowed,
        };
        Ok(Unpacked { aside: self.0, layer })
    }

    fn open(&self, name: &str) -> Result<Root> {
        let path = self.0.0.join(name);
        Root::open_path(&path).map_err(|error| StoreError::io("open", &path, error))
    }
}

impl Unpacked {
    /// The digest of the tar it was unpacked from.
    pub fn diff_id(&self) -> Digest {
        self.layer.diff_id
    }

    pub(super) fn path(&self) -> &Path {
        &self.aside.0
    }

    /// The chain id it will have.
    pub fn chain_id(&self) -> Digest {
        match self.layer.parent {
            None => self.layer.diff_id,
            Some(parent) => chain_ids(&[parent, self.layer.diff_id])[1],
        }
    }

    /// Says what it lies on, and writes its record. To be called before the sync that comes before
    /// [`super::Snapshots::commit`].
    pub fn set_parent(&mut self, parent: Option<Digest>) -> Result<()> {
        self.layer.parent = parent;
        let json = serde_json::to_vec(&self.layer)
            .map_err(|error| StoreError::invalid("layer record", error))?;
        let path = self.aside.0.join("layer.json");
        std::fs::write(&path, json).map_err(|error| StoreError::io("write", &path, error))
    }

    /// Writes its tar again.
    pub(crate) fn write_tar(&self, out: &mut dyn Write) -> Result<()> {
        super::write_tar(&self.aside.0, &self.layer, out)
    }

    pub(super) fn keep(&mut self) {
        self.aside.0 = PathBuf::new();
    }
}
