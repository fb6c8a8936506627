//! From an archive's documents to the images it holds.
//!
//! Two tables of contents are understood, alone or together: `index.json` of an OCI layout and
//! `manifest.json` of `docker save`. Where both list an image, the layout gives its manifest and
//! both give names.

use std::collections::{HashMap, HashSet};

use skiff_model::digest::Digest;
use skiff_model::image::{
    ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, ArchiveEntry, Descriptor, Index, Manifest,
    is_index, is_manifest,
};
use skiff_model::platform::Platform;
use skiff_model::reference::Reference;

use super::members::{Member, Members, document};
use crate::Store;
use crate::error::{Result, StoreError};

/// Indexes in indexes go no deeper than this.
const DEPTH_MAX: usize = 4;

/// One image of an archive, before its layers are looked at.
pub(super) struct Planned {
    /// Member that is the config.
    pub(super) config: Vec<u8>,
    pub(super) config_digest: Digest,
    /// Members that are the layers, lowest first.
    pub(super) layers: Vec<Vec<u8>>,
    pub(super) names: Vec<Reference>,
    pub(super) manifest: Option<(Descriptor, Manifest)>,
    pub(super) documents: Vec<Descriptor>,
}

/// Reads the tables of contents.
pub(super) fn plan(
    store: &Store,
    members: &Members,
    platform: Option<&Platform>,
) -> Result<Vec<Planned>> {
    let reader = Documents { store, members };
    let (index, manifest) = (members.locate("index.json"), members.locate("manifest.json"));
    let mut images = Vec::new();
    if let Some(path) = &index {
        reader.layout(path, platform, &mut images)?;
    }
    if let Some(path) = &manifest {
        reader.docker(path, &mut images)?;
    }
    if index.is_none() && manifest.is_none() {
        return Err(StoreError::Unrecognized);
    }
    for image in &mut images {
        let mut known = HashSet::new();
        image.names.retain(|name| known.insert(name.clone()));
    }
    Ok(images)
}

struct Documents<'a> {
    store: &'a Store,
    members: &'a Members,
}

impl Documents<'_> {
    fn json<T: serde::de::DeserializeOwned>(&self, path: &[u8]) -> Result<T> {
        let name = String::from_utf8_lossy(path);
        let member = self.members.get(path).ok_or_else(|| no_member("file", &name))?;
        let bytes = document(self.store, member, &name)?;
        serde_json::from_slice(&bytes).map_err(|error| StoreError::invalid(name, error))
    }

    /// The member that a descriptor points at, and what it says of it is so. A link may have led
    /// there, so its path is no proof.
    fn blob(&self, what: &'static str, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let (digest, expected) = (descriptor.digest, descriptor.size);
        let name = Members::blob_path(&digest);
        let path = self.members.locate(&name).ok_or_else(|| no_member(what, &name))?;
        let member = self.members.get(&path).ok_or_else(|| no_member(what, &name))?;
        if member.digest() != digest {
            return Err(StoreError::WrongDigest { expected: digest, actual: member.digest() });
        }
        match member.size(self.store)? {
            actual if actual != expected => Err(StoreError::WrongSize { digest, expected, actual }),
            _ => Ok(path),
        }
    }

    /// `manifest.json`.
    fn docker(&self, path: &[u8], images: &mut Vec<Planned>) -> Result<()> {
        let entries: Vec<ArchiveEntry> = self.json(path)?;
        for entry in entries {
            let config = self
                .members
                .locate(&entry.config)
                .ok_or_else(|| no_member("image config", &entry.config))?;
            let config_digest = self.digest_of(&config)?;
            let names = entry
                .repo_tags
                .iter()
                .map(|name| tagged(name))
                .collect::<Result<Vec<Reference>>>()?;
            if let Some(known) = images.iter_mut().find(|i| i.config_digest == config_digest) {
                known.names.extend(names);
                continue;
            }
            let layers = entry
                .layers
                .iter()
                .map(|name| self.members.locate(name).ok_or_else(|| no_member("layer", name)))
                .collect::<Result<Vec<_>>>()?;
            let (manifest, documents) = (None, Vec::new());
            images.push(Planned { config, config_digest, layers, names, manifest, documents });
        }
        Ok(())
    }

    fn digest_of(&self, path: &[u8]) -> Result<Digest> {
        match self.members.get(path) {
            Some(Member::Blob { digest, .. } | Member::Known(digest)) => Ok(*digest),
            _ => Err(StoreError::invalid(String::from_utf8_lossy(path), "not a document")),
        }
    }

    /// `index.json`.
    fn layout(
        &self,
        path: &[u8],
        platform: Option<&Platform>,
        images: &mut Vec<Planned>,
    ) -> Result<()> {
        let index: Index = self.json(path)?;
        check_index(&index, "index.json", "")?;
        // Manifests with one name are the platforms of one image.
        let mut order: Vec<Vec<&Descriptor>> = Vec::new();
        let mut by_name: HashMap<Reference, usize> = HashMap::new();
        for descriptor in index.manifests.iter().filter(|d| !is_attestation(d)) {
            let group = name_of(descriptor)?.and_then(|name| {
                let next = order.len();
                let group = *by_name.entry(name).or_insert(next);
                (group < next).then_some(group)
            });
            match group {
                Some(group) => order[group].push(descriptor),
                None => order.push(vec![descriptor]),
            }
        }
        for group in order {
            let names = group.iter().map(|d| name_of(d)).collect::<Result<Vec<_>>>()?;
            let names: Vec<Reference> = names.into_iter().flatten().collect();
            let mut documents = Vec::new();
            let chosen = self.choose(&group, platform, &names, 0, &mut documents)?;
            self.image(&chosen, names, documents, images)?;
        }
        Ok(())
    }

    /// The manifest for the wanted platform, or the one that runs best here.
    fn choose(
        &self,
        candidates: &[&Descriptor],
        platform: Option<&Platform>,
        names: &[Reference],
        depth: usize,
        documents: &mut Vec<Descriptor>,
    ) -> Result<Descriptor> {
        let host = Platform::host();
        let mut best: Option<(u8, &Descriptor)> = None;
        for candidate in candidates.iter().copied().filter(|d| !is_attestation(d)) {
            let rank = match (platform, &candidate.platform) {
                (_, None) => Some(100),
                (Some(wanted), Some(has)) => wanted.matches(has).then_some(0),
                (None, Some(has)) => host.rank(has),
            };
            // An image for another machine is kept too, if there is no other.
            let rank = rank.or_else(|| platform.is_none().then_some(200));
            // A layout may list platforms whose blobs it does not have.
            let here = self.members.locate(&Members::blob_path(&candidate.digest)).is_some();
            if let Some(rank) = rank.map(|rank| if here { rank } else { 250 })
                && best.is_none_or(|(other, _)| rank < other)
            {
                best = Some((rank, candidate));
            }
        }
        let Some((_, chosen)) = best else {
            let reference = names.first().map_or_else(|| "image".to_owned(), Reference::familiar);
            let platform = platform.map(ToString::to_string).unwrap_or_default();
            return Err(StoreError::NoPlatform { reference, platform });
        };
        if !is_index(&chosen.media_type) {
            return Ok(chosen.clone());
        }
        if depth == DEPTH_MAX {
            return Err(StoreError::invalid("image index", "nested too deeply"));
        }
        let path = self.blob("image index", chosen)?;
        let index: Index = self.json(&path)?;
        check_index(&index, &chosen.digest.to_string(), &chosen.media_type)?;
        documents.push(chosen.clone());
        let nested: Vec<&Descriptor> = index.manifests.iter().collect();
        self.choose(&nested, platform, names, depth + 1, documents)
    }

    fn image(
        &self,
        descriptor: &Descriptor,
        names: Vec<Reference>,
        documents: Vec<Descriptor>,
        images: &mut Vec<Planned>,
    ) -> Result<()> {
        if !is_manifest(&descriptor.media_type) {
            let reason = format!("unknown media type {:?}", descriptor.media_type);
            return Err(StoreError::invalid(format!("manifest {}", descriptor.digest), reason));
        }
        let path = self.blob("manifest", descriptor)?;
        let manifest: Manifest = self.json(&path)?;
        check_manifest(&manifest, descriptor)?;
        let config = self.blob("image config", &manifest.config)?;
        let layers = manifest
            .layers
            .iter()
            .map(|layer| self.blob("layer", layer))
            .collect::<Result<Vec<_>>>()?;
        let config_digest = manifest.config.digest;
        if let Some(known) = images.iter_mut().find(|i| i.config_digest == config_digest) {
            known.names.extend(names);
            return Ok(());
        }
        // Only what identifies it: annotations belong to the index it stood in.
        let kept = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size);
        let manifest = Some((kept, manifest));
        images.push(Planned { config, config_digest, layers, names, manifest, documents });
        Ok(())
    }
}

fn no_member(what: &'static str, name: &str) -> StoreError {
    StoreError::NoMember { what, name: name.to_owned() }
}

fn tagged(name: &str) -> Result<Reference> {
    let reference = Reference::parse_normalized(name)
        .map_err(|error| StoreError::invalid(format!("tag {name:?}"), error))?;
    match reference.tag() {
        Some(_) => Ok(reference),
        None => Err(StoreError::invalid(format!("tag {name:?}"), "it has no tag")),
    }
}

/// The full name a layout's entry has, if it has one: a tag alone names no repository.
fn name_of(descriptor: &Descriptor) -> Result<Option<Reference>> {
    if let Some(name) = descriptor.annotations.get(ANNOTATION_IMAGE_NAME) {
        let reference = Reference::parse_normalized(name)
            .map_err(|error| StoreError::invalid(format!("image name {name:?}"), error))?;
        return Ok(Some(reference.with_default_tag()));
    }
    let Some(name) = descriptor.annotations.get(ANNOTATION_REF_NAME) else { return Ok(None) };
    if !name.contains(['/', ':']) {
        return Ok(None);
    }
    // Free text by the specification, so what is no name is no error.
    Ok(Reference::parse_normalized(name).ok().map(Reference::with_default_tag))
}

/// Build attestations are listed as manifests of an unknown platform.
fn is_attestation(descriptor: &Descriptor) -> bool {
    descriptor.annotations.contains_key("vnd.docker.reference.type")
        || descriptor.platform.as_ref().is_some_and(|p| p.os == "unknown")
}

fn check_index(index: &Index, name: &str, expected: &str) -> Result<()> {
    let mixed = index.config.is_some() || index.layers.is_some();
    let wrong_type = !index.media_type.is_empty()
        && (!is_index(&index.media_type) || !(expected.is_empty() || expected == index.media_type));
    match index.schema_version == 2 && !mixed && !wrong_type {
        true => Ok(()),
        false => Err(StoreError::invalid(format!("image index {name}"), "not an image index")),
    }
}

fn check_manifest(manifest: &Manifest, descriptor: &Descriptor) -> Result<()> {
    // A document that could be read as an index too means one thing to us and another to others.
    let mixed = manifest.manifests.is_some();
    let wrong_type =
        !manifest.media_type.is_empty() && manifest.media_type != descriptor.media_type;
    match manifest.schema_version == 2 && !mixed && !wrong_type {
        true => Ok(()),
        false => Err(StoreError::invalid(
            format!("manifest {}", descriptor.digest),
            "not an image manifest",
        )),
    }
}
