//! Image names and records: `images.json`.
//!
//! One file holds everything that says which blobs and layers are in use, so a garbage collection
//! reads nothing else, and one atomic replacement changes it. The id of an image is the digest of
//! its config.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use skiff_model::digest::Digest;
use skiff_model::image::{Descriptor, is_layer};
use skiff_model::reference::{Reference, looks_like_id};

use crate::error::{Result, StoreError};
use crate::snapshots::chain_ids;

/// What the store keeps of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Digest of the config.
    pub id: Digest,
    /// Diff ids, lowest first.
    pub diff_ids: Vec<Digest>,
    /// The layers' blobs, lowest first, as the manifest names them; empty if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Descriptor>,
    /// The manifest the image came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Descriptor>,
    /// Further documents to keep with it: the index it was chosen from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Descriptor>,
    /// The image it was made from by commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
    /// When the image was made, as its config says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Sum of its layers' sizes.
    pub size: u64,
    /// When a tag was last put on it, in seconds since 1970.
    #[serde(default)]
    pub last_tagged: u64,
}

impl Image {
    /// Chain ids, lowest first.
    pub fn chain_ids(&self) -> Vec<Digest> {
        chain_ids(&self.diff_ids)
    }

    /// Blobs that belong to it. Some layers may have none: their tars are made from the files.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> + '_ {
        let layers = self.layers.iter().map(|layer| layer.digest);
        let documents = self.documents.iter().chain(&self.manifest).map(|d| d.digest);
        [self.id].into_iter().chain(layers).chain(documents)
    }
}

/// An image with its names.
#[derive(Debug, Clone)]
pub struct Named {
    pub image: Arc<Image>,
    /// References with a tag.
    pub tags: Vec<Reference>,
    /// References with a digest.
    pub digests: Vec<Reference>,
}

#[derive(Default, Deserialize)]
struct Document {
    images: Vec<Image>,
    /// By full name with tag or digest.
    names: BTreeMap<Reference, Digest>,
}

/// As [`Document`], for writing.
#[derive(Serialize)]
struct DocumentRef<'a> {
    version: u32,
    images: Vec<&'a Image>,
    names: &'a BTreeMap<Reference, Digest>,
}

#[derive(Default)]
pub(crate) struct State {
    images: HashMap<Digest, Arc<Image>>,
    names: BTreeMap<Reference, Digest>,
}

/// What removing a name did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untagged {
    /// The image has other names.
    Named(Digest),
    /// That was its last.
    Nameless(Digest),
}

/// The image table.
pub struct Images {
    path: PathBuf,
    state: Mutex<State>,
}

impl Images {
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let document: Document = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| StoreError::invalid(path.display().to_string(), error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Document::default(),
            Err(error) => return Err(StoreError::io("read", &path, error)),
        };
        let images = document.images.into_iter().map(|image| (image.id, Arc::new(image))).collect();
        let state = State { images, names: document.names };
        Ok(Self { path, state: Mutex::new(state) })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table: on disk first, then for readers.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.lock();
        let mut next = State { images: state.images.clone(), names: state.names.clone() };
        let result = change(&mut next)?;
        next.write(&self.path)?;
        *state = next;
        Ok(result)
    }

    /// Records images, each with names that move to it from wherever they were: all or none. What
    /// they name must be in the store and under a lease of the caller.
    pub(crate) fn record_all(&self, images: &[(Image, Vec<Reference>)]) -> Result<()> {
        let now = now();
        self.change(|state| {
            images.iter().for_each(|(image, names)| state.record(image.clone(), names, now));
            Ok(())
        })
    }

    /// Puts a name on an image.
    pub fn tag(&self, id: &Digest, name: &Reference) -> Result<()> {
        let now = now();
        self.change(|state| {
            let known = state.images.get(id).ok_or_else(|| StoreError::NoImage(id.to_string()))?;
            let tagged = Image { last_tagged: now, ..Image::clone(known) };
            state.images.insert(*id, Arc::new(tagged));
            state.names.insert(name.clone(), *id);
            Ok(())
        })
    }

    /// Takes a name away.
    pub fn untag(&self, name: &Reference) -> Result<Untagged> {
        self.change(|state| {
            let id =
                state.names.remove(name).ok_or_else(|| StoreError::NoImage(name.familiar()))?;
            Ok(match state.names.values().any(|other| *other == id) {
                true => Untagged::Named(id),
                false => Untagged::Nameless(id),
            })
        })
    }

    /// Forgets an image and all its names; gives the names. Its blobs and layers go at the next
    /// collection.
    pub fn remove(&self, id: &Digest) -> Result<Vec<Reference>> {
        self.change(|state| {
            state.images.remove(id).ok_or_else(|| StoreError::NoImage(id.to_string()))?;
            let gone: Vec<Reference> = state
                .names
                .iter()
                .filter(|(_, to)| *to == id)
                .map(|(name, _)| name.clone())
                .collect();
            state.names.retain(|_, to| to != id);
            Ok(gone)
        })
    }

    /// An image by its full id.
    pub fn get(&self, id: &Digest) -> Option<Named> {
        self.lock().named(id)
    }

    /// The image that has exactly this name.
    pub fn by_name(&self, name: &Reference) -> Option<Digest> {
        self.lock().names.get(name).copied()
    }

    /// Finds what a user means: a full id, a name (with `latest` if no tag is given), a name with a
    /// digest, or the start of an id, in Docker's order.
    pub fn resolve(&self, text: &str) -> Result<Named> {
        let missing = || StoreError::NoImage(missing_text(text));
        let state = self.lock();
        if let Ok(id) = text.parse::<Digest>().or_else(|_| Digest::from_hex(text)) {
            return state
                .named(&id)
                .or_else(|| state.by_manifest(&id))
                .ok_or_else(|| StoreError::NoImage(text.to_owned()));
        }
        if let Ok(reference) = Reference::parse_normalized(text)
            && let Some(found) = state.by_reference(&reference)
        {
            return Ok(found);
        }
        let Some(prefix) = looks_like_id(text) else { return Err(missing()) };
        let mut found = state.images.keys().filter(|id| id.hex().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(id), None) => state.named(id).ok_or_else(missing),
            (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
            _ => Err(missing()),
        }
    }

    /// All images with their names, newest first.
    pub fn list(&self) -> Vec<Named> {
        let state = self.lock();
        let mut names: HashMap<Digest, (Vec<Reference>, Vec<Reference>)> = HashMap::new();
        for (name, id) in &state.names {
            let entry = names.entry(*id).or_default();
            let list = if name.digest().is_some() { &mut entry.1 } else { &mut entry.0 };
            list.push(name.clone());
        }
        let named = |image: &Arc<Image>| {
            let (tags, digests) = names.remove(&image.id).unwrap_or_default();
            Named { image: image.clone(), tags, digests }
        };
        let mut list: Vec<Named> = state.images.values().map(named).collect();
        list.sort_by(|a, b| {
            b.image.created.cmp(&a.image.created).then_with(|| a.image.id.cmp(&b.image.id))
        });
        list
    }
}

impl State {
    fn record(&mut self, mut image: Image, names: &[Reference], now: u64) {
        if let Some(known) = self.images.get(&image.id) {
            image = merged(known, image);
        }
        for name in names {
            self.names.insert(name.clone(), image.id);
            image.last_tagged = now;
        }
        self.images.insert(image.id, Arc::new(image));
    }

    fn write(&self, path: &Path) -> Result<()> {
        let mut images: Vec<&Image> = self.images.values().map(AsRef::as_ref).collect();
        images.sort_by_key(|image| image.id);
        let document = DocumentRef { version: 1, images, names: &self.names };
        let json = serde_json::to_vec_pretty(&document)
            .map_err(|error| StoreError::invalid("image table", error))?;
        crate::durable::write(path, &json)
    }

    fn named(&self, id: &Digest) -> Option<Named> {
        let image = self.images.get(id)?.clone();
        let names = self.names.iter().filter(|(_, to)| *to == id).map(|(name, _)| name.clone());
        let (digests, tags) = names.partition(|name| name.digest().is_some());
        Some(Named { image, tags, digests })
    }

    fn by_manifest(&self, digest: &Digest) -> Option<Named> {
        let holds = |image: &&Arc<Image>| {
            let mut documents = image.documents.iter().chain(&image.manifest);
            documents.any(|d| d.digest == *digest && !is_layer(&d.media_type))
        };
        let image = self.images.values().find(holds)?;
        self.named(&image.id)
    }

    fn by_reference(&self, reference: &Reference) -> Option<Named> {
        let reference = reference.clone().with_default_tag();
        if let Some(id) = self.names.get(&reference) {
            return self.named(id);
        }
        // name:tag@digest: the digest decides.
        let digest = reference.digest()?;
        let bare = reference.clone().without_suffix();
        let by_digest = bare.clone().with_digest(*digest);
        if let Some(id) = self.names.get(&by_digest) {
            return self.named(id);
        }
        let of_name = |id: &Digest| {
            self.names.iter().any(|(name, to)| to == id && name.name() == bare.name())
        };
        self.named(digest).filter(|named| of_name(&named.image.id))
    }

    /// Every image.
    pub(crate) fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.images.values()
    }
}

/// A second record of an image adds to the first: a load without manifest does not forget one, and
/// one with another manifest keeps both, so that both can be pushed back.
fn merged(known: &Image, new: Image) -> Image {
    let mut documents = known.documents.clone();
    let mut keep = |extra: Vec<Descriptor>| {
        for document in extra {
            if documents.iter().all(|other| other.digest != document.digest) {
                documents.push(document);
            }
        }
    };
    keep(new.documents);
    let (manifest, layers) = match (&known.manifest, new.manifest) {
        (Some(old), Some(manifest)) => {
            if old.digest != manifest.digest {
                keep(vec![manifest]);
                keep(new.layers);
            }
            (Some(old.clone()), known.layers.clone())
        }
        (None, Some(manifest)) => (Some(manifest), new.layers),
        (old, None) => (old.clone(), known.layers.clone()),
    };
    Image {
        manifest,
        layers,
        documents,
        parent: known.parent.or(new.parent),
        last_tagged: known.last_tagged,
        ..new
    }
}

/// Docker's message names the tag it looked for.
fn missing_text(text: &str) -> String {
    match Reference::parse_normalized(text) {
        Ok(reference) => reference.with_default_tag().familiar(),
        Err(_) => text.to_owned(),
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
