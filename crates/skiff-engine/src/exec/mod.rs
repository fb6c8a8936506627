//! Further processes in running containers (`docker exec`): the handle and its options.

mod create;
mod start;
pub(crate) mod table;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use skiff_api::{ExecConfig, ExecInspect};

use crate::error::Result;

/// Every operation on exec instances.
#[derive(Clone)]
pub struct Execs(pub(crate) Arc<crate::Core>);

/// How `start` goes about it.
#[derive(Debug, Clone, Default)]
pub struct ExecStartOptions {
    /// Do not attach, return when it runs.
    pub detach: bool,
    /// Must be what the instance was created with, as Docker's client sends it.
    pub tty: bool,
    /// Height and width of its terminal at first.
    pub console_size: Option<(u16, u16)>,
}

impl Execs {
    /// Makes an exec instance in a running container and returns its id; nothing runs yet.
    pub async fn create(&self, container: &str, config: ExecConfig) -> Result<String> {
        create::create(&self.0, container, config)
    }

    /// Whether the instance may be started, and has a terminal: what response headers depend on.
    /// Call it before hijacking, then [`Execs::start`].
    pub fn plan(&self, id: &str, options: &ExecStartOptions) -> Result<ExecPlan> {
        start::plan(&self.0, id, options)
    }

    /// Starts an instance and returns when its program runs. `stream` is the client's socket,
    /// after the response's headers were sent on it, and what the client already sent; it lives on
    /// without us. When the start fails and there is a stream, the error's text is also written to
    /// it, as Docker does, and it is closed.
    pub async fn start(
        &self,
        id: &str,
        options: ExecStartOptions,
        stream: Option<(OwnedFd, Vec<u8>)>,
    ) -> Result<()> {
        start::start(&self.0, id, options, stream).await
    }

    /// Sets the size of its terminal, in characters.
    pub async fn resize(&self, id: &str, width: u16, height: u16) -> Result<()> {
        start::resize(&self.0, id, width, height).await
    }

    /// As [`Execs::inspect`], when the instance has ended.
    pub async fn wait(&self, id: &str) -> Result<ExecInspect> {
        start::wait(&self.0, id).await
    }

    /// Everything about one instance. A client that has seen the end of its stream sees here that
    /// the process has ended, too.
    pub async fn inspect(&self, id: &str) -> Result<ExecInspect> {
        start::inspect(&self.0, id).await
    }
}

/// A checked start.
#[derive(Debug, Clone, Copy)]
pub struct ExecPlan {
    /// The stream is raw; otherwise it has Docker's 8-byte frames.
    pub tty: bool,
}
