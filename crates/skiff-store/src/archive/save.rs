//! `docker save`: images as one tar that is both a docker-archive and an OCI layout.
//!
//! Layers that the store holds as blobs go out as they came in, bit for bit; the others are made
//! again from their files, uncompressed. Each blob is written once, whatever images share it.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufReader, Read, Write};

use skiff_model::digest::Digest;
use skiff_model::image::{
    ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, ArchiveEntry, Descriptor, Index, Manifest,
    OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use skiff_model::reference::Reference;

use super::members::Members;
use crate::Store;
use crate::compression::{decoder, detect, peek};
use crate::error::{Result, StoreError};
use crate::hash::{HashWriter, digest_of};
use crate::images::Image;
use crate::tar::writer::Writer;
use crate::tar::{Entry, Kind};

/// What to save: an image and the names to give it.
#[derive(Debug, Clone)]
pub struct SaveImage {
    pub id: Digest,
    pub names: Vec<Reference>,
}

impl Store {
    /// Writes `images` as an archive.
    pub fn save(&self, images: &[SaveImage], out: &mut dyn Write) -> Result<()> {
        let lease = self.lease();
        let mut saving = Saving { store: self, out: Writer::new(out), written: HashSet::new() };
        saving.directory("blobs/")?;
        saving.directory("blobs/sha256/")?;
        let mut index = Vec::new();
        let mut entries = Vec::new();
        for save in images {
            let named = self
                .images()
                .get(&save.id)
                .ok_or_else(|| StoreError::NoImage(save.id.to_string()))?;
            for digest in named.image.blobs() {
                lease.blob(&digest);
            }
            if let Some(top) = named.image.chain_ids().last() {
                lease.layer(top);
            }
            let manifest = saving.image(&named.image, &mut entries, &save.names)?;
            list(&mut index, &manifest, &save.names);
        }
        saving.json("index.json", &Index::new(index))?;
        saving.json("manifest.json", &entries)?;
        saving.small("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        saving.out.finish().map_err(StoreError::Output)?;
        Ok(())
    }

    /// The manifest of an image; one is made for images that came without.
    pub fn manifest(&self, image: &Image) -> Result<(Descriptor, Vec<u8>)> {
        if let Some(descriptor) = &image.manifest {
            return Ok((descriptor.clone(), self.content().read(&descriptor.digest)?));
        }
        let config = Descriptor::new(OCI_CONFIG, image.id, self.content().size(&image.id)?);
        let mut layers = Vec::with_capacity(image.diff_ids.len());
        for (diff_id, chain_id) in image.diff_ids.iter().zip(image.chain_ids()) {
            let size = self.snapshots().layer(&chain_id)?.tar_size;
            layers.push(Descriptor::new(OCI_LAYER, *diff_id, size));
        }
        let bytes = serde_json::to_vec(&Manifest::new(config, layers))
            .map_err(|error| StoreError::invalid("manifest", error))?;
        let descriptor = Descriptor::new(OCI_MANIFEST, digest_of(&bytes), bytes.len() as u64);
        Ok((descriptor, bytes))
    }

    /// Writes an image's layer blob, by its digest, as its manifest names it.
    pub fn write_layer(&self, image: &Image, digest: &Digest, out: &mut dyn Write) -> Result<()> {
        if self.content().exists(digest) {
            let mut file = self.content().open_blob(digest)?;
            return io::copy(&mut file, out).map(drop).map_err(StoreError::Output);
        }
        let index = image.diff_ids.iter().position(|diff_id| diff_id == digest);
        let index = index.ok_or(StoreError::NoBlob(*digest))?;
        self.write_tar(&image.chain_ids()[index], out)
    }

    /// Writes a layer's uncompressed tar, from its blob or its files, checked against its diff id.
    pub fn write_tar(&self, chain_id: &Digest, out: &mut dyn Write) -> Result<()> {
        let layer = self.snapshots().layer(chain_id)?;
        let Some(blob) = layer.blob else { return self.snapshots().write_tar(chain_id, out) };
        let source = BufReader::with_capacity(256 << 10, self.content().open_blob(&blob)?);
        let (head, source) = peek(source, 8).map_err(StoreError::Stream)?;
        let mut inflated = decoder(detect(&head)?, source).map_err(StoreError::Stream)?;
        let mut hashed = HashWriter::new(out);
        io::copy(&mut inflated, &mut hashed).map_err(StoreError::Output)?;
        let (_, actual, _) = hashed.finish();
        match actual == layer.diff_id {
            true => Ok(()),
            false => Err(StoreError::WrongDigest { expected: layer.diff_id, actual }),
        }
    }
}

/// Lists a manifest once for each of its names, or once without.
fn list(index: &mut Vec<Descriptor>, manifest: &Descriptor, names: &[Reference]) {
    let mut push = |annotations: BTreeMap<String, String>| {
        index.push(Descriptor { annotations, ..manifest.clone() });
    };
    if names.is_empty() {
        push(BTreeMap::new());
    }
    for name in names {
        push(BTreeMap::from([
            (ANNOTATION_IMAGE_NAME.to_owned(), name.to_string()),
            (ANNOTATION_REF_NAME.to_owned(), name.tag().unwrap_or_default().to_owned()),
        ]));
    }
}

struct Saving<'a, W: Write> {
    store: &'a Store,
    out: Writer<W>,
    written: HashSet<Digest>,
}

impl<W: Write> Saving<'_, W> {
    fn image(
        &mut self,
        image: &Image,
        entries: &mut Vec<ArchiveEntry>,
        names: &[Reference],
    ) -> Result<Descriptor> {
        let (descriptor, bytes) = self.store.manifest(image)?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| {
            StoreError::invalid(format!("manifest {}", descriptor.digest), error)
        })?;
        let config = self.store.content().read(&image.id)?;
        self.blob(&image.id, &config)?;
        let mut layers = Vec::new();
        let mut sources = BTreeMap::new();
        for (layer, diff_id) in manifest.layers.iter().zip(&image.diff_ids) {
            self.layer(image, layer)?;
            layers.push(Members::blob_path(&layer.digest));
            sources.insert(diff_id.to_string(), layer.clone());
        }
        self.blob(&descriptor.digest, &bytes)?;
        entries.push(ArchiveEntry {
            config: Members::blob_path(&image.id),
            repo_tags: names.iter().map(Reference::familiar).collect(),
            layers,
            parent: String::new(),
            layer_sources: sources,
        });
        Ok(descriptor)
    }

    fn layer(&mut self, image: &Image, layer: &Descriptor) -> Result<()> {
        if !self.written.insert(layer.digest) {
            return Ok(());
        }
        let entry = file(&Members::blob_path(&layer.digest), layer.size);
        self.out.entry(&entry).map_err(StoreError::Output)?;
        if self.store.content().exists(&layer.digest) {
            let mut source = BufReader::new(self.store.content().open_blob(&layer.digest)?);
            let mut buffer = vec![0; 256 << 10];
            loop {
                let n = source.read(&mut buffer).map_err(StoreError::Stream)?;
                if n == 0 {
                    return Ok(());
                }
                self.out.payload(&buffer[..n]).map_err(StoreError::Output)?;
            }
        }
        self.store.write_layer(image, &layer.digest, &mut PayloadWriter(&mut self.out))
    }

    fn blob(&mut self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        match self.written.insert(*digest) {
            true => self.small(&Members::blob_path(digest), bytes),
            false => Ok(()),
        }
    }

    fn json(&mut self, name: &str, value: &impl serde::Serialize) -> Result<()> {
        let bytes = serde_json::to_vec(value).map_err(|error| StoreError::invalid(name, error))?;
        self.small(name, &bytes)
    }

    fn small(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.out.file(&file(name, 0), bytes).map_err(StoreError::Output)
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        let entry =
            Entry { path: name.into(), kind: Kind::Directory, mode: 0o755, ..Entry::default() };
        self.out.entry(&entry).map_err(StoreError::Output)
    }
}

fn file(name: &str, size: u64) -> Entry {
    Entry { path: name.into(), mode: 0o644, size, ..Entry::default() }
}

/// The current entry's payload as a destination.
struct PayloadWriter<'a, W: Write>(&'a mut Writer<W>);

impl<W: Write> Write for PayloadWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.payload(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
