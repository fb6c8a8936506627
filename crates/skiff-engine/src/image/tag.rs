//! Names for images.

use std::collections::BTreeMap;

use skiff_model::digest::Digest;
use skiff_model::reference::Reference;

use super::resolve::{invalid_reference, reference, resolve};
use crate::{Core, Error, Result};

pub(super) fn tag(core: &Core, name: &str, repository: &str, tag: &str) -> Result<()> {
    let target =
        named(repository, tag)?.ok_or_else(|| Error::invalid("invalid reference format"))?;
    let found = resolve(core, name)?;
    core.store.images().tag(found.id(), &target)?;
    emit(core, found.id(), "tag", &target.familiar());
    Ok(())
}

/// The name that a repository and a tag make together; `None` when both are empty.
pub(super) fn named(repository: &str, tag: &str) -> Result<Option<Reference>> {
    if repository.is_empty() {
        return match tag.is_empty() {
            true => Ok(None),
            false => Err(Error::invalid("invalid reference format")),
        };
    }
    let parsed = reference(repository)?;
    if parsed.digest().is_some() {
        return Err(Error::invalid("refusing to create a tag with a digest reference"));
    }
    let parsed = match tag {
        "" => parsed,
        tag => parsed.with_tag(tag).map_err(invalid_reference)?,
    };
    // `sha256:…` would be taken for an id.
    if parsed.familiar_name() == "sha256" {
        return Err(Error::invalid(
            "refusing to create an ambiguous tag using digest algorithm as name",
        ));
    }
    Ok(Some(parsed.with_default_tag()))
}

/// Tells that something happened to an image; `name` is the one it has in the event.
pub(super) fn emit(core: &Core, id: &Digest, action: &str, name: &str) {
    let mut attributes: BTreeMap<String, String> = match core.store.config(id) {
        Ok(config) => config.config.labels.clone(),
        // Deleted.
        Err(_) => BTreeMap::new(),
    };
    attributes.insert("name".to_owned(), name.to_owned());
    core.events.emit("image", action, &id.to_string(), attributes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_as_docker_makes_them() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let pinned = format!("a@sha256:{digest}");
        for (repository, tag, expect) in [
            ("", "", Ok(None)),
            ("a", "", Ok(Some("a:latest"))),
            ("a:1", "", Ok(Some("a:1"))),
            ("a", "2", Ok(Some("a:2"))),
            ("a:1", "2", Ok(Some("a:2"))),
            ("host:5000/a", "x", Ok(Some("host:5000/a:x"))),
            ("", "x", Err("invalid reference format")),
            (
                "A",
                "",
                Err("invalid reference format: repository name (library/A) must be lowercase"),
            ),
            ("a", "-x", Err("invalid tag format")),
            (
                "sha256",
                "x",
                Err("refusing to create an ambiguous tag using digest algorithm as name"),
            ),
            (&pinned, "", Err("refusing to create a tag with a digest reference")),
        ] {
            let found = named(repository, tag);
            let found = found.map(|name| name.map(|name| name.familiar()));
            let found = found.map_err(|error| error.to_string());
            assert_eq!(
                found.as_ref().map(|name| name.as_deref()).map_err(String::as_str),
                expect,
                "{repository} {tag}"
            );
        }
    }
}
