//! Commands on images.

pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod load;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rm;
pub(crate) mod save;
pub(crate) mod tag;

use skiff_model::reference::Reference;

use crate::client::encode_path;
use crate::failure::Failure;

/// The path of an image in the API. Its slashes stay, as the daemon expects.
pub(crate) fn path(name: &str, rest: &str) -> String {
    format!("/images/{}{rest}", encode_path(name))
}

/// Splits `repository[:tag]`, which may not have a digest.
pub(crate) fn split_name(name: &str) -> Result<(String, String), Failure> {
    let reference =
        Reference::parse_normalized(name).map_err(|error| Failure::new(error.to_string()))?;
    if reference.digest().is_some() {
        return Err(Failure::new("cannot commit to digest reference"));
    }
    Ok((reference.familiar_name(), reference.tag().unwrap_or_default().to_owned()))
}

/// A platform as the JSON the API wants.
pub(crate) fn platform_json(text: &str) -> Result<String, Failure> {
    let platform: skiff_model::platform::Platform =
        text.parse().map_err(|error| Failure::new(format!("invalid platform: {error}")))?;
    serde_json::to_string(&platform).map_err(|error| Failure::new(error.to_string()))
}
