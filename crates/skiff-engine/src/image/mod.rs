//! Images: what is in the store under which names, and how images come, go and change.
//!
//! An image's id is the digest of its config. A name is a repository with a tag (`busybox:latest`)
//! or with the digest of a manifest it came with. Names live in the store; what an image *is* is
//! only read from its config, which never changes, so it is cached for good.
//!
//! ```text
//! resolve.rs  a user's words -> image      list.rs inspect.rs history.rs   reading
//! filter.rs   pure filters                 tag.rs remove.rs prune.rs      names and deletion
//! hello.rs    the built-in image           load.rs save.rs import.rs      archives
//! instruction.rs word.rs  `--change`, pure commit.rs                      image of a container
//! ```
//!
//! Functions that move archives block, for as long as their reader or writer does: call them from
//! a thread that may.

mod commit;
mod filter;
pub mod hello;
mod history;
mod import;
mod inspect;
mod instruction;
mod list;
mod load;
mod prune;
mod remove;
mod resolve;
mod save;
mod tag;
mod word;

use std::io::{Read, Write};
use std::sync::Arc;

use skiff_api::filters::Filters;
use skiff_api::{
    Config, HistoryItem, ImageDeleteItem, ImageInspect, ImageSummary, ImagesPruneReport,
    ProgressMessage,
};

use crate::error::{Error, Result};

pub(crate) use resolve::{Resolved, resolve_for};

/// Every operation on images. `name` is a name with or without tag or digest, a full id, or a
/// unique prefix of one.
#[derive(Clone)]
pub struct Images(pub(crate) Arc<crate::Core>);

/// What `list` shows.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Also intermediate images (untagged parents of others).
    pub all: bool,
    /// `dangling`, `label`, `label!`, `before`, `since`, `reference`, `until`.
    pub filters: Filters,
    /// Compute `SharedSize`.
    pub shared_size: bool,
    /// Fill `Manifests`.
    pub manifests: bool,
}

/// How `remove` goes about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Also when stopped containers use it or it has several names.
    pub force: bool,
    /// Keep untagged parents.
    pub no_prune: bool,
}

/// An image to make of a file system's tar archive.
#[derive(Debug, Clone, Default)]
pub struct ImportRequest {
    /// Repository to name it, with or without tag; empty for none.
    pub repository: String,
    /// Tag, if `repository` has none.
    pub tag: String,
    /// Comment of its history; Docker's default when empty.
    pub message: String,
    /// Dockerfile instructions applied to its config.
    pub changes: Vec<String>,
    /// `os[/arch[/variant]]`; the host's when `None`.
    pub platform: Option<String>,
    /// Where the archive came from, as shown in the default comment (`-` or a URL).
    pub source: String,
}

/// An image to make of a container.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    pub container: String,
    pub repository: String,
    pub tag: String,
    pub author: String,
    pub comment: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Dockerfile instructions applied to the config.
    pub changes: Vec<String>,
    /// Config to use instead of the container's own; what it leaves empty is the container's.
    pub config: Option<Config>,
}

/// Takes the progress of a long operation, message by message.
pub type Progress<'a> = &'a mut (dyn FnMut(ProgressMessage) + Send);

impl Images {
    /// Lists images, the newest first.
    pub fn list(&self, options: &ListOptions) -> Result<Vec<ImageSummary>> {
        list::list(&self.0, options)
    }

    /// Everything about one image. With `platform` (`os[/arch[/variant]]`) only that one will do.
    pub fn inspect(&self, name: &str, platform: Option<&str>) -> Result<ImageInspect> {
        inspect::inspect(&self.0, name, platform)
    }

    /// How an image was made, the last step first.
    pub fn history(&self, name: &str, platform: Option<&str>) -> Result<Vec<HistoryItem>> {
        history::history(&self.0, name, platform)
    }

    /// Gives an image a further name.
    pub fn tag(&self, name: &str, repository: &str, tag: &str) -> Result<()> {
        tag::tag(&self.0, name, repository, tag)
    }

    /// Removes a name, and with the last one the image.
    pub fn remove(&self, name: &str, options: RemoveOptions) -> Result<Vec<ImageDeleteItem>> {
        remove::remove(&self.0, name, options)
    }

    /// Removes images no container uses: untagged ones, with the filter `dangling=false` all;
    /// further filters are `until`, `label`, `label!`.
    pub fn prune(&self, filters: &Filters) -> Result<ImagesPruneReport> {
        prune::prune(&self.0, filters)
    }

    /// Takes images in from an archive (docker-archive or OCI layout; plain, gzip or zstd).
    /// Blocks. `quiet` leaves only the messages that name what was loaded.
    pub fn load(
        &self,
        archive: &mut dyn Read,
        quiet: bool,
        platform: Option<&str>,
        progress: Progress<'_>,
    ) -> Result<()> {
        load::load(&self.0, archive, quiet, platform, progress)
    }

    /// Checks the names of a save before the first byte is written, so that errors can be told.
    pub fn plan_save(&self, names: &[String], platform: Option<&str>) -> Result<SavePlan> {
        save::plan(&self.0, names, platform).map(SavePlan)
    }

    /// Writes images as an archive that is both docker-archive and OCI layout. Blocks.
    pub fn save(&self, plan: &SavePlan, archive: &mut dyn Write) -> Result<()> {
        save::save(&self.0, &plan.0, archive)
    }

    /// Makes an image of one layer from a tar archive; gives its id (`sha256:…`). Blocks.
    pub fn import(&self, archive: &mut dyn Read, request: &ImportRequest) -> Result<String> {
        import::import(&self.0, archive, request)
    }

    /// Makes an image from a container's file system and config; gives its id (`sha256:…`).
    pub async fn commit(&self, request: CommitRequest) -> Result<String> {
        commit::commit(&self.0, request).await
    }

    /// Getting images from registries arrives with the registry client.
    pub fn pull(&self, name: &str) -> Result<()> {
        Err(no_registry(&format!("pull {name}")))
    }

    /// Sending images to registries arrives with the registry client.
    pub fn push(&self, name: &str) -> Result<()> {
        Err(no_registry(&format!("push {name}")))
    }

    /// Searching registries arrives with the registry client.
    pub fn search(&self, term: &str) -> Result<()> {
        Err(no_registry(&format!("search {term}")))
    }
}

fn no_registry(what: &str) -> Error {
    Error::not_implemented(format!(
        "cannot {what}: this version has no registry client; use `load` or `import` to get images"
    ))
}

/// Images that are to be written, checked.
#[derive(Debug)]
pub struct SavePlan(save::Plan);

/// How many images there are.
pub(crate) fn count(core: &crate::Core) -> i64 {
    core.store.images().list().len() as i64
}

#[cfg(test)]
mod tests;
