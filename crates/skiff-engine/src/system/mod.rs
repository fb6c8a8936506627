//! Facts about the engine and its host: `info`, `version`, `system df`.

mod df;
pub(crate) mod host;
mod info;
pub(crate) mod version;

use std::sync::Arc;

use skiff_api::{DiskUsage, SystemInfo, SystemVersion};

use crate::error::Result;

pub(crate) use host::Limits;

pub use df::{DiskUsageOptions, DiskUsageTypes};

/// The engine's own view of itself.
#[derive(Clone)]
pub struct System(pub(crate) Arc<crate::Core>);

impl System {
    /// What `docker info` shows.
    pub fn info(&self) -> Result<SystemInfo> {
        info::info(&self.0)
    }

    /// What `docker version` shows of the server.
    pub fn version(&self) -> Result<SystemVersion> {
        version::version(&self.0)
    }

    /// What `docker system df` shows; walks the containers' and volumes' files, so it blocks.
    pub fn disk_usage(&self, options: &DiskUsageOptions) -> Result<DiskUsage> {
        df::disk_usage(&self.0, options)
    }
}
