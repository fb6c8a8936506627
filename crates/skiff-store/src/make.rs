//! Images made here: imported root file systems, commits of containers, images from memory.

use std::io::{Read, Write};
use std::os::fd::AsFd;

use skiff_model::digest::Digest;
use skiff_model::image::{History, ImageConfig};
use skiff_model::reference::Reference;

use crate::Store;
use crate::error::{Result, StoreError};
use crate::images::Image;
use crate::pump::inflate;
use crate::snapshots::{Unpacked, chain_ids};
use crate::tar::diff::{Options, write_tree};
use crate::tar::writer::Writer;
use crate::tar::{Entry, Kind};

/// A file of an image made from memory.
#[derive(Debug, Clone)]
pub struct MemoryFile<'a> {
    /// Without a leading slash; directories on the way are made.
    pub path: &'a str,
    pub mode: u32,
    pub contents: &'a [u8],
}

impl Store {
    /// `docker import`: one layer from a tar of a root file system, compressed or not. The layer
    /// is put into `config`, which says the rest.
    pub fn import(
        &self,
        stream: &mut dyn Read,
        config: ImageConfig,
        history: History,
        names: &[Reference],
    ) -> Result<Digest> {
        let budget = self.free_space();
        let layer =
            inflate(stream, |source| self.snapshots().prepare()?.unpack(source, true, budget))?;
        self.make(None, config, history, layer, names)
    }

    /// `docker commit`: a layer from an overlay's upper directory on top of `parent`. `config` is
    /// the new image's; its layers and history are taken from the parent's.
    pub fn commit(
        &self,
        parent: Option<&Digest>,
        upper: impl AsFd + Sync,
        config: ImageConfig,
        history: History,
        names: &[Reference],
    ) -> Result<Digest> {
        let options = Options { layer: true, ..Options::default() };
        let layer = self.unpack_tar_of(|out| {
            write_tree(&upper, b"", options, out)?;
            Ok(())
        })?;
        self.make(parent, config, history, layer, names)
    }

    /// An image of one layer from files in memory.
    pub fn from_memory(
        &self,
        files: &[MemoryFile<'_>],
        config: ImageConfig,
        history: History,
        names: &[Reference],
    ) -> Result<Digest> {
        let layer =
            self.unpack_tar_of(|out| write_files(files, out).map_err(StoreError::Output))?;
        self.make(None, config, history, layer, names)
    }

    /// A new image that differs from `parent` in its config only.
    pub fn reconfigure(
        &self,
        parent: &Digest,
        config: ImageConfig,
        history: History,
        names: &[Reference],
    ) -> Result<Digest> {
        self.finish_image(
            Some(parent),
            config,
            History { empty_layer: true, ..history },
            None,
            names,
        )
    }

    fn make(
        &self,
        parent: Option<&Digest>,
        config: ImageConfig,
        history: History,
        layer: Unpacked,
        names: &[Reference],
    ) -> Result<Digest> {
        self.finish_image(parent, config, history, Some(layer), names)
    }

    fn finish_image(
        &self,
        parent: Option<&Digest>,
        mut config: ImageConfig,
        history: History,
        layer: Option<Unpacked>,
        names: &[Reference],
    ) -> Result<Digest> {
        let lease = self.lease();
        let mut size = 0;
        config.rootfs = Default::default();
        config.history = Vec::new();
        if let Some(parent) = parent {
            let missing = || StoreError::NoImage(parent.to_string());
            let below = self.images().get(parent).ok_or_else(missing)?;
            let chain = below.image.chain_ids();
            chain.iter().for_each(|chain_id| lease.layer(chain_id));
            // Removed between look-up and lease: what is held now may be gone.
            self.images().get(parent).ok_or_else(missing)?;
            let parent_config = self.config(parent)?;
            config.rootfs = parent_config.rootfs.clone();
            config.history = parent_config.history.clone();
            size = below.image.size;
        }
        config.history.push(history);
        let mut layers = Vec::new();
        if let Some(mut layer) = layer {
            let below = chain_ids(&config.rootfs.diff_ids).last().copied();
            config.rootfs.diff_ids.push(layer.diff_id());
            size = size.saturating_add(layer.layer.size);
            layer.set_parent(below)?;
            layers.push(layer);
        }
        let bytes = serde_json::to_vec(&config)
            .map_err(|error| StoreError::invalid("image config", error))?;
        let mut ingest = self.content().ingest()?;
        ingest.write_all(&bytes).map_err(|error| ingest.error(error))?;
        let sealed = ingest.seal(None)?;
        let id = sealed.digest;
        let image = Image {
            id,
            diff_ids: config.rootfs.diff_ids,
            layers: Vec::new(),
            manifest: None,
            documents: Vec::new(),
            parent: parent.copied(),
            created: config.created,
            size,
            last_tagged: 0,
        };
        self.commit_all(lease, layers, vec![sealed], &[(image, names.to_vec())])?;
        Ok(id)
    }
}

fn write_files(files: &[MemoryFile<'_>], out: &mut dyn Write) -> std::io::Result<()> {
    let mut writer = Writer::new(out);
    let mut made = std::collections::BTreeSet::new();
    for file in files {
        for (slash, _) in file.path.match_indices('/') {
            let path = &file.path[..=slash];
            if made.insert(path) {
                let (path, kind) = (path.into(), Kind::Directory);
                writer.entry(&Entry { path, kind, mode: 0o755, ..Entry::default() })?;
            }
        }
        let entry = Entry { path: file.path.into(), mode: file.mode, ..Entry::default() };
        writer.file(&entry, file.contents)?;
    }
    writer.finish().map(drop)
}
