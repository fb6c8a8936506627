//! The engine: containers, their processes, images, volumes, events, and the durable records of
//! all of them. Everything Docker's API can ask for is a method here; HTTP is not known.
//!
//! [`Engine`] is a cheap handle on one [`Core`]; `engine.containers()`, `.execs()`, `.images()`,
//! `.volumes()`, `.events()` and `.system()` are narrow views of it. The engine owns no process and
//! no stream of a container: monitors do (see ARCHITECTURE.md "Processes"), so dropping an engine
//! changes nothing for containers, and opening one picks them up again.
//!
//! The types of requests and answers are `skiff-api`'s.

pub mod archive;
mod clock;
pub mod config;
pub mod container;
pub mod error;
pub mod events;
pub mod exec;
pub mod health;
pub mod image;
mod keeper;
mod log;
pub mod logs;
mod restart;
pub mod stats;
pub mod system;
#[cfg(test)]
mod testing;
pub mod top;
pub mod volume;

use std::sync::Arc;

pub use config::EngineConfig;
pub use container::Containers;
pub use error::{Error, Kind, Result};
pub use events::Events;
pub use exec::Execs;
pub use image::Images;
pub use system::System;
pub use volume::Volumes;

/// What all handles share. One per data root: the data root is locked while it is open.
pub(crate) struct Core {
    pub(crate) config: EngineConfig,
    pub(crate) events: Events,
    /// Blobs, layers and image names.
    pub(crate) store: skiff_store::Store,
    pub(crate) containers: Arc<container::registry::Registry>,
    pub(crate) execs: exec::table::Table,
    pub(crate) volumes: volume::VolumeTable,
    pub(crate) log_watcher: logs::Watcher,
    /// What the host can do, as far as specifications and checks depend on it.
    pub(crate) facts: container::spec::Facts,
    pub(crate) host: container::validate::Host,
    runtimes: std::sync::RwLock<Arc<config::Runtimes>>,
    pub(crate) keeper: keeper::Keeper,
    /// Becomes true when the engine ends.
    pub(crate) stopping: tokio::sync::watch::Sender<bool>,
    /// Held for its lock on the data root, until the engine ends.
    lock: std::sync::Mutex<Option<std::fs::File>>,
}

impl Core {
    /// Who may run containers now.
    pub(crate) fn runtimes(&self) -> Arc<config::Runtimes> {
        self.runtimes.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// An open engine.
#[derive(Clone)]
pub struct Engine(Arc<Core>);

impl Engine {
    /// Opens the data root, starts the keeper if none answers, and picks up every container that
    /// is recorded: running ones are reconnected, ended ones get their exit code, restart policies
    /// are applied. Returns when every container can be asked for; restarts go on behind.
    pub async fn open(config: EngineConfig) -> Result<Engine> {
        container::restore::open(config).await.map(Engine)
    }

    /// Containers: create, start, list, …
    pub fn containers(&self) -> Containers {
        Containers(self.0.clone())
    }

    /// Further processes in running containers.
    pub fn execs(&self) -> Execs {
        Execs(self.0.clone())
    }

    /// Images.
    pub fn images(&self) -> Images {
        Images(self.0.clone())
    }

    /// Volumes.
    pub fn volumes(&self) -> Volumes {
        Volumes(self.0.clone())
    }

    /// What happens, as it happens, and what happened lately.
    pub fn events(&self) -> Events {
        self.0.events.clone()
    }

    /// Facts about the engine and the host.
    pub fn system(&self) -> System {
        System(self.0.clone())
    }

    /// The settings it was opened with.
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// Changes who may run containers. Those that run keep theirs until they end; one whose runtime
    /// is gone cannot be started again until it comes back.
    pub fn set_runtimes(&self, runtimes: config::Runtimes) {
        let mut current =
            self.0.runtimes.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *current = Arc::new(runtimes);
    }

    /// Gives memory that is not used back to the kernel; for when nothing goes on.
    pub fn release_memory(&self) {
        skiff_sys::pages::trim_heap();
    }

    /// Writes what is not yet written and stops health checks and pending restarts. Containers
    /// run on.
    pub async fn shutdown(&self) {
        container::restore::shutdown(&self.0).await;
    }
}
