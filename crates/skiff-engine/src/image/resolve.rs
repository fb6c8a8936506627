//! From a user's words to an image.

use std::sync::Arc;

use skiff_model::digest::Digest;
use skiff_model::image::ImageConfig;
use skiff_model::platform::Platform;
use skiff_model::reference::{Reference, ReferenceError, looks_like_id};
use skiff_store::{Lease, Named, StoreError};

use super::hello;
use crate::{Core, Error, Kind, Result};

/// An image that was found, which stays whole until this is dropped.
pub(crate) struct Resolved {
    pub(crate) named: Named,
    pub(crate) config: Arc<ImageConfig>,
    _lease: Lease,
}

impl Resolved {
    /// The image's id.
    pub(crate) fn id(&self) -> &Digest {
        &self.named.image.id
    }

    /// Its layers as chain ids of snapshots, the lowest first, as records have them.
    pub(crate) fn chain_ids(&self) -> Vec<String> {
        self.named.image.chain_ids().iter().map(ToString::to_string).collect()
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        let kind = match &error {
            StoreError::NoImage(_) | StoreError::NoPlatform { .. } => Kind::NotFound,
            // Docker does not tell an ambiguous start of an id from none at all.
            StoreError::Ambiguous(text) => return no_such(text),
            _ => Kind::Internal,
        };
        Error::new(kind, error.to_string())
    }
}

fn no_such(name: &str) -> Error {
    Error::not_found(format!("No such image: {name}"))
}

/// A reference, or Docker's words for why it is none.
pub(super) fn reference(text: &str) -> Result<Reference> {
    Reference::parse_normalized(text).map_err(invalid_reference)
}

pub(super) fn invalid_reference(error: ReferenceError) -> Error {
    Error::invalid(error.to_string())
}

/// Finds an image, making the built-in one if that is meant and missing.
pub(crate) fn resolve(core: &Core, name: &str) -> Result<Resolved> {
    check(name)?;
    // Before the look-up, so that nothing found is collected before it is held.
    let lease = core.store.lease();
    let named = match core.store.images().resolve(name) {
        Err(StoreError::NoImage(missing)) => {
            if !hello::is_meant(name) {
                return Err(no_such(&missing));
            }
            hello::make(core)?;
            core.store.images().resolve(name)?
        }
        other => other?,
    };
    hold(&lease, &named);
    // Removed between look-up and hold: what is held now may be gone.
    if core.store.images().get(&named.image.id).is_none() {
        return Err(no_such(name));
    }
    let config = core.store.config(&named.image.id)?;
    Ok(Resolved { named, config, _lease: lease })
}

fn hold(lease: &Lease, named: &Named) {
    for blob in named.image.blobs() {
        lease.blob(&blob);
    }
    if let Some(top) = named.image.chain_ids().last() {
        lease.layer(top);
    }
}

/// As [`resolve`], and the image must be for a platform, if one is asked for.
pub(crate) fn resolve_for(core: &Core, name: &str, platform: Option<&str>) -> Result<Resolved> {
    let wanted = platform.filter(|text| !text.is_empty()).map(parse_platform).transpose()?;
    let found = resolve(core, name)?;
    if let Some(wanted) = wanted
        && !wanted.matches(&found.config.platform())
    {
        return Err(Error::not_found(format!(
            "image with reference {name} was found but does not provide the specified platform \
             ({wanted})"
        )));
    }
    Ok(found)
}

/// Reads `os[/arch[/variant]]`, or the JSON object that newer clients send.
pub(super) fn parse_platform(text: &str) -> Result<Platform> {
    let parsed = match text.starts_with('{') {
        true => serde_json::from_str(text).map_err(|error| error.to_string()),
        false => text.parse::<Platform>().map_err(|error| error.to_string()),
    };
    parsed.map(|platform| platform.normalized()).map_err(Error::invalid)
}

/// Docker refuses what can be neither name nor id.
fn check(name: &str) -> Result<()> {
    if name.parse::<Digest>().is_ok() || looks_like_id(name).is_some() {
        return Ok(());
    }
    reference(name).map(|_| ())
}

/// Whether `name` is (the start of) this id rather than a name.
pub(super) fn is_id_prefix(id: &Digest, name: &str) -> bool {
    let text = id.to_string();
    text.starts_with(name) || id.hex().starts_with(name)
}

/// The first twelve digits of an id, as in Docker's messages.
pub(super) fn short(hex: &str) -> &str {
    let hex = hex.strip_prefix("sha256:").unwrap_or(hex);
    hex.get(..12).unwrap_or(hex)
}
