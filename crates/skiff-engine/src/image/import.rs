//! `docker import`: an image from a root file system.

use std::io::Read;

use skiff_model::image::{ContainerConfig, History, ImageConfig};
use skiff_model::platform::Platform;

use super::ImportRequest;
use super::instruction;
use super::resolve::parse_platform;
use super::tag::{emit, named};
use crate::{Core, Result, clock};

pub(super) fn import(
    core: &Core,
    archive: &mut dyn Read,
    request: &ImportRequest,
) -> Result<String> {
    let name = named(&request.repository, &request.tag)?;
    let platform = match request.platform.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => parse_platform(text)?,
        None => Platform::host(),
    };
    let mut settings = ContainerConfig::default();
    instruction::apply(&mut settings, &request.changes)?;
    let comment = match request.message.as_str() {
        "" => format!("Imported from {}", request.source),
        message => message.to_owned(),
    };
    let created = Some(clock::rfc3339(clock::now()));
    let history =
        History { created: created.clone(), comment: comment.clone(), ..History::default() };
    let config = ImageConfig { created, comment, config: settings, ..image_for(&platform) };
    let names = name.as_slice();
    let id = core.store.import(archive, config, history, names)?;
    let shown = name.map_or_else(|| id.to_string(), |name| name.familiar());
    emit(core, &id, "import", &shown);
    Ok(id.to_string())
}

/// An empty config for a platform.
pub(super) fn image_for(platform: &Platform) -> ImageConfig {
    ImageConfig {
        architecture: platform.architecture.clone(),
        variant: platform.variant.clone(),
        os: platform.os.clone(),
        os_version: platform.os_version.clone(),
        os_features: platform.os_features.clone(),
        ..ImageConfig::default()
    }
}
