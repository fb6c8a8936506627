//! A container's files seen from outside: `docker diff`, `docker export`, `docker cp`, sizes.
//!
//! What is looked at is untrusted and may change under us, so a path given by a client or found in
//! an archive is resolved once, with `openat2` below a root descriptor, and used as a descriptor
//! from then on.

mod changes;
mod copy;
mod export;
mod init_layer;
mod mode;
mod root;
mod size;

use std::io::{Read, Write};
use std::path::PathBuf;

use skiff_api::{ChangeItem, PathStat};

use crate::container::Containers;
use crate::container::record::Record;
use crate::{Core, Error, Result};

pub(crate) use size::disk_size;

/// How `archive_put` treats what is there, and owners.
#[derive(Debug, Clone, Copy, Default)]
pub struct PutOptions {
    /// A directory is not replaced by a file, nor the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Make the container's user the owner, as Docker does (in spite of the option's name).
    pub copy_uid_gid: bool,
}

/// Sizes of a container's layers in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerSize {
    /// The writable layer.
    pub rw: i64,
    /// All of it.
    pub root_fs: i64,
}

/// A path that was found, and its archive not yet written.
pub struct ArchiveGet(copy::Source);

impl ArchiveGet {
    /// What was found: the value of the header `X-Docker-Container-Path-Stat`.
    pub fn stat(&self) -> &PathStat {
        self.0.stat()
    }

    /// Writes it as a tar archive whose first entry has the path's last name. Blocks.
    pub fn write(self, archive: &mut dyn Write) -> Result<()> {
        self.0.write(archive)
    }
}

impl Containers {
    /// What the container changed in its image's files. Blocks.
    pub fn changes(&self, name: &str) -> Result<Vec<ChangeItem>> {
        changes::changes(&self.0, name)
    }

    /// Prepares writing a container's whole file system; fails before the first byte is written.
    pub fn export(&self, name: &str) -> Result<Export> {
        export::open(&self.0, name).map(Export)
    }

    /// Sizes of a container's layers. Blocks.
    pub fn size(&self, name: &str) -> Result<ContainerSize> {
        size::of_container(&self.0, name)
    }

    /// Finds a path in a container. Blocks.
    pub fn archive_stat(&self, name: &str, path: &str) -> Result<PathStat> {
        copy::stat(&self.0, name, path)
    }

    /// Finds a path in a container, to be written as an archive. Blocks.
    pub fn archive_get(&self, name: &str, path: &str) -> Result<ArchiveGet> {
        copy::get(&self.0, name, path).map(ArchiveGet)
    }

    /// Extracts a tar archive (plain, gzip or zstd) in a directory of a container. Blocks.
    pub fn archive_put(
        &self,
        name: &str,
        path: &str,
        archive: &mut dyn Read,
        options: PutOptions,
    ) -> Result<()> {
        copy::put(&self.0, name, path, archive, options)
    }
}

/// A container's file system, ready to be written.
pub struct Export(export::Open);

impl Export {
    /// Writes it as a tar archive. Blocks.
    pub fn write(self, archive: &mut dyn Write) -> Result<()> {
        self.0.write(archive)
    }
}

/// Whether a path could not be followed for too many links.
pub(crate) fn is_loop(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// The store's layers.
fn snapshots(core: &Core) -> &skiff_store::snapshots::Snapshots {
    core.store.snapshots()
}

/// Chain ids of a container's image, the lowest first.
fn chain(record: &Record) -> Result<Vec<skiff_model::digest::Digest>> {
    parse(record, &record.layers)
}

fn parse(record: &Record, layers: &[String]) -> Result<Vec<skiff_model::digest::Digest>> {
    let parse = |text: &String| {
        text.parse().map_err(|error| {
            Error::failed(format!("record of container {}: layer {text:?}", record.id), error)
        })
    };
    layers.iter().map(parse).collect()
}

/// Mounts the images that a container has mounted where its mounts look for them.
pub(crate) fn mount_images(core: &Core, record: &Record) -> Result<()> {
    for mount in &record.mounts {
        let Some(image) = &mount.image else { continue };
        let chain = parse(record, &image.layers)?;
        let layers = chain.iter().rev().map(|id| snapshots(core).fs_path(id)).collect();
        root::mount_image(layers, &mount.source).map_err(|error| {
            Error::failed(format!("mount image {} for {}", image.id, record.id), error)
        })?;
    }
    Ok(())
}

/// Directories of a container's image, the topmost first.
pub(crate) fn image_layers(core: &Core, record: &Record) -> Result<Vec<PathBuf>> {
    let chain = chain(record)?;
    Ok(chain.iter().rev().map(|id| snapshots(core).fs_path(id)).collect())
}

/// Directories below a container's writable layer, the topmost first: the image's, and the places
/// for mounts.
pub(crate) fn layers(core: &Core, record: &Record) -> Result<Vec<PathBuf>> {
    let mut layers = image_layers(core, record)?;
    if let Some(places) = init_layer::over(core, &layers)? {
        layers.insert(0, places);
    }
    Ok(layers)
}

/// Bytes of a container's image.
fn layers_size(core: &Core, record: &Record) -> Result<i64> {
    let mut total = 0;
    for id in chain(record)? {
        total += snapshots(core).layer(&id)?.size;
    }
    Ok(total.cast_signed())
}
