//! `docker load`: all images of an archive, or none.
//!
//! First [`super::members`] takes the stream in, then [`super::plan`] says which images it holds;
//! each layer is checked against its config and gets its place; then come one sync, the renames
//! and the records.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};

use skiff_model::digest::Digest;
use skiff_model::image::{Descriptor, ImageConfig};
use skiff_model::platform::Platform;
use skiff_model::reference::Reference;

use super::members::{Member, Members, document, take_in, unpack_stream};
use super::plan::{Planned, plan};
use crate::Store;
use crate::content::Sealed;
use crate::error::{Result, StoreError};
use crate::images::Image;
use crate::lease::Lease;
use crate::pump::inflate;
use crate::snapshots::{Unpacked, chain_ids};

/// As many layers as overlay and Docker take.
const LAYERS_MAX: usize = 127;

/// How far a layer has got.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Its path in the archive.
    pub layer: &'a str,
    pub current: u64,
    pub total: u64,
}

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedImage {
    pub id: Digest,
    /// Its names in the archive; may be none.
    pub names: Vec<Reference>,
}

impl Store {
    /// Loads a docker-archive or an OCI layout, compressed or not. Everything is durable when it
    /// returns; after an error nothing is left.
    pub fn load(
        &self,
        stream: &mut dyn Read,
        platform: Option<&Platform>,
        progress: &(dyn Fn(Progress<'_>) + Sync),
    ) -> Result<Vec<LoadedImage>> {
        let lease = self.lease();
        let mut members = inflate(stream, |source| take_in(self, &lease, source, progress))?;
        let planned = plan(self, &members, platform)?;
        let mut loading =
            Loading { store: self, lease: &lease, waiting: Vec::new(), placed: HashMap::new() };
        let mut images = Vec::with_capacity(planned.len());
        let mut blobs = Vec::new();
        for planned in planned {
            let image = loading.image(&mut members, &planned, platform, &mut blobs)?;
            images.push((image, planned.names));
        }
        let waiting = loading.waiting;
        self.commit_all(lease, waiting, blobs, &images)?;
        Ok(images.into_iter().map(|(image, names)| LoadedImage { id: image.id, names }).collect())
    }

    /// Makes layers and blobs durable, then visible, then named: all of them or, after an error,
    /// none.
    pub(crate) fn commit_all(
        &self,
        lease: Lease,
        layers: Vec<Unpacked>,
        blobs: Vec<Sealed>,
        images: &[(Image, Vec<Reference>)],
    ) -> Result<()> {
        let mut chain_ids: Vec<Digest> = layers.iter().map(Unpacked::chain_id).collect();
        let mut digests: Vec<Digest> = blobs.iter().map(|blob| blob.digest).collect();
        chain_ids.iter().for_each(|chain_id| lease.layer(chain_id));
        digests.iter().for_each(|digest| lease.blob(digest));
        // What is there already is somebody else's.
        chain_ids.retain(|chain_id| !self.snapshots().exists(chain_id));
        digests.retain(|digest| !self.content().exists(digest));
        let result =
            self.publish_all(layers, blobs).and_then(|()| self.images().record_all(images));
        if result.is_err() {
            drop(lease);
            // The first error is the one to tell; what stays goes at the next start.
            let _ = self.collect_of(&digests, &chain_ids);
        }
        result
    }

    /// One sync for everything, then the names.
    fn publish_all(&self, layers: Vec<Unpacked>, blobs: Vec<Sealed>) -> Result<()> {
        self.snapshots().sync()?;
        for layer in layers {
            self.snapshots().commit(layer)?;
        }
        for blob in blobs {
            self.content().publish(blob)?;
        }
        self.snapshots().sync_names()?;
        self.content().sync_names()
    }

    /// A chain id of some recorded layer with this diff id.
    pub(crate) fn layer_with(&self, diff_id: &Digest) -> Option<Digest> {
        let images = self.images().lock();
        let mut found = images.images().filter_map(|image| {
            let index = image.diff_ids.iter().position(|other| other == diff_id)?;
            image.chain_ids().get(index).copied()
        });
        found.next()
    }
}

/// What is to be committed, as it is gathered.
struct Loading<'a> {
    store: &'a Store,
    lease: &'a Lease,
    /// In the order in which they can be committed.
    waiting: Vec<Unpacked>,
    /// Where in `waiting` the layer with a chain id is.
    placed: HashMap<Digest, usize>,
}

impl Loading<'_> {
    fn image(
        &mut self,
        members: &mut Members,
        planned: &Planned,
        platform: Option<&Platform>,
        blobs: &mut Vec<Sealed>,
    ) -> Result<Image> {
        let config = self.config(members, planned)?;
        check_platform(&config, planned, platform)?;
        let diff_ids = config.rootfs.diff_ids.clone();
        if diff_ids.len() != planned.layers.len() {
            let (layers, expected) = (planned.layers.len(), diff_ids.len());
            let reason = format!("layers length mismatch: expected {expected}, got {layers}");
            return Err(StoreError::invalid("manifest", reason));
        }
        if diff_ids.len() > LAYERS_MAX {
            let what = "number of layers".to_owned();
            return Err(StoreError::TooLarge { what, limit: LAYERS_MAX as u64 });
        }
        let chain = chain_ids(&diff_ids);
        let mut size: u64 = 0;
        for (index, path) in planned.layers.iter().enumerate() {
            let below = index.checked_sub(1).map(|index| chain[index]);
            let place = Place { index, chain_id: chain[index], parent: below };
            // Sparse files may claim any size.
            size = size.saturating_add(self.layer(members, path, diff_ids[index], &place)?);
        }
        let documents = self.keep(members, planned, blobs)?;
        Ok(Image {
            id: planned.config_digest,
            diff_ids,
            layers: planned.manifest.as_ref().map(|(_, m)| m.layers.clone()).unwrap_or_default(),
            manifest: planned.manifest.as_ref().map(|(descriptor, _)| descriptor.clone()),
            documents,
            parent: None,
            created: config.created.clone(),
            size,
            last_tagged: 0,
        })
    }

    fn config(&self, members: &Members, planned: &Planned) -> Result<ImageConfig> {
        let name = String::from_utf8_lossy(&planned.config).into_owned();
        let member = members
            .get(&planned.config)
            .ok_or_else(|| StoreError::NoMember { what: "image config", name: name.clone() })?;
        let bytes = document(self.store, member, &name)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| StoreError::invalid(format!("image config {name:?}"), error))
    }

    /// Sees to it that the layer is there or will be; gives its size.
    fn layer(
        &mut self,
        members: &mut Members,
        path: &[u8],
        diff_id: Digest,
        place: &Place,
    ) -> Result<u64> {
        let store = self.store;
        let name = || String::from_utf8_lossy(path).into_owned();
        let missing = || StoreError::NoMember { what: "layer", name: name() };
        let member = members.get_mut(path).ok_or_else(missing)?;
        if let Some(actual) = diff_id_of(member)?
            && actual != diff_id
        {
            return Err(StoreError::WrongDiffId { index: place.index, expected: diff_id, actual });
        }
        if let Some(index) = self.placed.get(&place.chain_id) {
            return Ok(self.waiting[*index].layer.size);
        }
        self.lease.layer(&place.chain_id);
        if store.snapshots().exists(&place.chain_id) {
            return Ok(store.snapshots().layer(&place.chain_id)?.size);
        }
        let blob = match member {
            Member::Blob { digest, .. } | Member::Known(digest) => Some(*digest),
            Member::Tar { .. } | Member::KnownLayer { .. } => None,
        };
        let taken = match member {
            Member::Tar { unpacked, .. } => unpacked.take(),
            Member::Blob { layer, .. } => layer.take().transpose()?,
            Member::Known(_) | Member::KnownLayer { .. } => None,
        };
        let mut unpacked = match taken {
            Some(unpacked) => unpacked,
            None => self.unpack_again(member, diff_id)?,
        };
        let actual = unpacked.diff_id();
        if actual != diff_id {
            return Err(StoreError::WrongDiffId { index: place.index, expected: diff_id, actual });
        }
        unpacked.layer.blob = blob;
        unpacked.set_parent(place.parent)?;
        let size = unpacked.layer.size;
        self.placed.insert(place.chain_id, self.waiting.len());
        self.waiting.push(unpacked);
        Ok(size)
    }

    /// Unpacks a layer a second time, for another place, from wherever its bytes are.
    fn unpack_again(&self, member: &Member, diff_id: Digest) -> Result<Unpacked> {
        let store = self.store;
        match member {
            Member::Blob { sealed: Some(sealed), .. } => {
                unpack_stream(store, BufReader::new(sealed.open()?), false)
            }
            Member::Blob { digest, .. } | Member::Known(digest) => {
                unpack_stream(store, BufReader::new(store.content().open_blob(digest)?), false)
            }
            Member::KnownLayer { chain_id, .. } => {
                store.unpack_tar_of(|out| store.write_tar(chain_id, out))
            }
            Member::Tar { .. } => {
                let same = self.waiting.iter().find(|waiting| waiting.diff_id() == diff_id);
                let same = same.ok_or(StoreError::NoLayer(diff_id))?;
                store.unpack_tar_of(|out| same.write_tar(out))
            }
        }
    }

    /// Takes the documents and blobs that the image's record will name.
    fn keep(
        &self,
        members: &mut Members,
        planned: &Planned,
        blobs: &mut Vec<Sealed>,
    ) -> Result<Vec<Descriptor>> {
        let mut paths: Vec<Vec<u8>> = vec![planned.config.clone()];
        if let Some((descriptor, _)) = &planned.manifest {
            let documents = planned.documents.iter().chain([descriptor]);
            let names = documents.map(|document| Members::blob_path(&document.digest));
            paths.extend(names.filter_map(|name| members.locate(&name)));
        }
        for path in &planned.layers {
            let Some(Member::Blob { digest, .. }) = members.get(path) else { continue };
            let source = self.waiting.iter().any(|layer| layer.layer.blob == Some(*digest));
            if source || planned.manifest.is_some() {
                paths.push(path.clone());
            }
        }
        let distinct: HashSet<Vec<u8>> = paths.into_iter().collect();
        for path in distinct {
            if let Some(Member::Blob { sealed, .. }) = members.get_mut(&path) {
                blobs.extend(sealed.take());
            }
        }
        Ok(planned.documents.clone())
    }
}

/// Where a layer goes.
struct Place {
    index: usize,
    chain_id: Digest,
    parent: Option<Digest>,
}

/// The diff id of a member that was unpacked.
fn diff_id_of(member: &mut Member) -> Result<Option<Digest>> {
    match member {
        Member::Tar { diff_id, .. } | Member::KnownLayer { diff_id, .. } => Ok(Some(*diff_id)),
        Member::Blob { layer: Some(Ok(unpacked)), .. } => Ok(Some(unpacked.diff_id())),
        Member::Blob { layer, .. } => match layer.take() {
            Some(Err(error)) => Err(error),
            _ => Ok(None),
        },
        Member::Known(_) => Ok(None),
    }
}

fn check_platform(
    config: &ImageConfig,
    planned: &Planned,
    platform: Option<&Platform>,
) -> Result<()> {
    match platform {
        Some(wanted) if !wanted.matches(&config.platform()) => {
            let reference = planned
                .names
                .first()
                .map_or_else(|| planned.config_digest.to_string(), Reference::familiar);
            Err(StoreError::NoPlatform { reference, platform: wanted.to_string() })
        }
        _ => Ok(()),
    }
}

impl Store {
    /// Unpacks the tar that `write` writes.
    pub(crate) fn unpack_tar_of(
        &self,
        write: impl FnOnce(&mut dyn std::io::Write) -> Result<()> + Send,
    ) -> Result<Unpacked> {
        let (reading, writing) = std::io::pipe().map_err(StoreError::Stream)?;
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                let mut writing = std::io::BufWriter::with_capacity(256 << 10, writing);
                write(&mut writing)?;
                std::io::Write::flush(&mut writing).map_err(StoreError::Output)
            });
            let budget = self.free_space();
            let source: Box<dyn BufRead> = Box::new(BufReader::with_capacity(256 << 10, reading));
            let unpacked = self.snapshots().prepare()?.unpack(source, true, budget);
            match writer.join() {
                Ok(written) => unpacked.and_then(|unpacked| written.map(|()| unpacked)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}
