//! Containers: the handle with every operation, and the values its operations take.
//!
//! ```text
//! state.rs     the life cycle, pure            driver.rs   one task a container, its only writer
//! spec/        request -> OCI spec, pure       monitor.rs  the connection to a container's monitor
//! record.rs    config.json                     registry.rs names, ids, views
//! ```
//!
//! A reader (`list`, `inspect`) sees the last published [`registry::View`] of a container and never
//! waits for its driver.

pub(crate) mod attach;
pub(crate) mod cgroup;
pub(crate) mod create;
pub(crate) mod driver;
pub(crate) mod effect;
mod files;
mod filter;
mod inspect;
pub(crate) mod launch;
mod list;
mod merge;
pub(crate) mod monitor;
mod mounts;
mod names;
mod news;
pub(crate) mod operate;
mod prune;
pub mod record;
pub mod registry;
pub(crate) mod restore;
mod revive;
pub(crate) mod spec;
pub mod state;
mod trash;
mod update;
pub(crate) mod users;
pub(crate) mod validate;
mod wait;
mod words;

pub use self::list::Selected;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use skiff_api::filters::Filters;
use skiff_api::{
    ContainerCreateRequest, ContainerInspect, ContainerSummary, ContainersPruneReport,
    CreateResponse, UpdateRequest, UpdateResponse, WaitExitError, WaitResponse,
};

use crate::error::{Error, Result};

/// Every operation on containers. `name` is a name, a full id or a unique prefix of one.
#[derive(Clone)]
pub struct Containers(pub(crate) Arc<crate::Core>);

/// What `list` shows.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// At most this many of the newest (also those that do not run); 0 or less is all.
    pub limit: i64,
    /// Compute sizes.
    pub size: bool,
    pub filters: Filters,
}

/// How `start` goes about it.
#[derive(Debug, Clone, Default)]
pub struct StartOptions {
    /// Restore from this checkpoint; not implemented, an error unless empty.
    pub checkpoint: String,
}

/// How `stop` and `restart` go about it.
#[derive(Debug, Clone, Default)]
pub struct StopOptions {
    /// First signal, by name or number; the container's own when `None`.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; negative is never; the container's own when `None`.
    pub timeout_s: Option<i64>,
}

/// How `remove` goes about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Kill it if it runs.
    pub force: bool,
    /// Remove its anonymous volumes.
    pub volumes: bool,
    /// Remove a link, not the container (legacy).
    pub link: bool,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// It does not run (at once, if it does not run now).
    #[default]
    NotRunning,
    /// It ends the next time, even if it does not run now.
    NextExit,
    /// It is removed.
    Removed,
}

impl std::str::FromStr for WaitCondition {
    type Err = Error;

    fn from_str(text: &str) -> Result<WaitCondition> {
        match text {
            "" | "not-running" => Ok(WaitCondition::NotRunning),
            "next-exit" => Ok(WaitCondition::NextExit),
            "removed" => Ok(WaitCondition::Removed),
            _ => Err(Error::invalid(format!("invalid condition: {text:?}"))),
        }
    }
}

/// A registered wait; await it for the answer. Dropping it gives up.
pub struct WaitHandle(pub(crate) tokio::sync::oneshot::Receiver<WaitResponse>);

impl Future for WaitHandle {
    type Output = WaitResponse;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<WaitResponse> {
        Pin::new(&mut self.0).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| WaitResponse {
                status_code: -1,
                error: Some(WaitExitError { message: "the engine is shutting down".to_owned() }),
            })
        })
    }
}

/// What a client that attaches wants.
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Follow what comes; without it only `logs` are sent.
    pub stream: bool,
    /// First send what the container wrote before.
    pub logs: bool,
    /// Docker's form, as `ctrl-p,ctrl-q`; `None` is that default, an empty text is none.
    pub detach_keys: Option<String>,
}

/// A checked attach: what the daemon needs to write response headers, and what
/// [`Containers::attach_stream`] needs then.
#[derive(Debug)]
pub struct AttachPlan {
    pub id: String,
    /// The container has a terminal: the stream is raw.
    pub tty: bool,
    /// The stream has Docker's 8-byte frames (the opposite of `tty`).
    pub multiplexed: bool,
    pub(crate) options: AttachOptions,
    pub(crate) detach_keys: Vec<u8>,
    /// A start waits for this client until the plan is used or dropped.
    pub(crate) ticket: registry::Ticket,
}

impl Containers {
    /// Makes a container of an image and reserves its name; nothing runs yet. Without a name it
    /// gets a random one. `platform` must match the image's, as `os[/arch[/variant]]`.
    pub async fn create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        request: ContainerCreateRequest,
    ) -> Result<CreateResponse> {
        create::create(&self.0, name, platform, request).await
    }

    /// Lists containers, the newest first.
    pub fn list(&self, options: &ListOptions) -> Result<Vec<ContainerSummary>> {
        let mut summaries = Vec::new();
        self.select(options)?.each(|summary| {
            summaries.push(summary);
            Ok(())
        })?;
        Ok(summaries)
    }

    /// As [`Containers::list`], to be handed out one after the other.
    pub fn select(&self, options: &ListOptions) -> Result<Selected> {
        list::select(&self.0, options)
    }

    /// Everything about one container; `size` adds the sizes of its layers (slow).
    pub fn inspect(&self, name: &str, size: bool) -> Result<ContainerInspect> {
        inspect::inspect(&self.0, name, size)
    }

    /// Starts it and returns when its program runs.
    pub async fn start(&self, name: &str, options: StartOptions) -> Result<()> {
        operate::start(&self.0, name, options).await
    }

    /// Asks it to stop, kills it when it does not in time, and returns when it has ended.
    pub async fn stop(&self, name: &str, options: StopOptions) -> Result<()> {
        operate::stop(&self.0, name, options).await
    }

    /// Stops it if it runs, then starts it.
    pub async fn restart(&self, name: &str, options: StopOptions) -> Result<()> {
        operate::restart(&self.0, name, options).await
    }

    /// Sends a signal (`KILL` by default), by name or number.
    pub async fn kill(&self, name: &str, signal: Option<&str>) -> Result<()> {
        operate::kill(&self.0, name, signal).await
    }

    /// Freezes its processes.
    pub async fn pause(&self, name: &str) -> Result<()> {
        operate::pause(&self.0, name).await
    }

    /// Thaws its processes.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        operate::unpause(&self.0, name).await
    }

    /// Gives it another name.
    pub async fn rename(&self, name: &str, to: &str) -> Result<()> {
        operate::rename(&self.0, name, to).await
    }

    /// Changes its limits and restart policy, also while it runs.
    pub async fn update(&self, name: &str, request: UpdateRequest) -> Result<UpdateResponse> {
        update::update(&self.0, name, request).await
    }

    /// Removes it with its writable layer and log.
    pub async fn remove(&self, name: &str, options: RemoveOptions) -> Result<()> {
        operate::remove(&self.0, name, options).await
    }

    /// Removes all that do not run; filters `until`, `label`, `label!`.
    pub async fn prune(&self, filters: &Filters) -> Result<ContainersPruneReport> {
        prune::prune(&self.0, filters).await
    }

    /// Registers a wait and returns at once, so that response headers can be sent; awaiting the
    /// handle gives the answer.
    pub async fn wait(&self, name: &str, condition: WaitCondition) -> Result<WaitHandle> {
        operate::wait(&self.0, name, condition).await
    }

    /// Checks whether a client may attach, and says how its stream will look.
    pub async fn attach(&self, name: &str, options: AttachOptions) -> Result<AttachPlan> {
        attach::plan(&self.0, name, options)
    }

    /// Hands a client's stream, after the response's headers were sent on it, to the container;
    /// `early` is what the client already sent. Returns when it is handed over: the stream lives
    /// on without us. A container that was not started yet keeps the stream until it is.
    pub async fn attach_stream(
        &self,
        plan: AttachPlan,
        socket: OwnedFd,
        early: Vec<u8>,
    ) -> Result<()> {
        attach::hand_over(&self.0, plan, socket, early).await
    }

    /// Sets the size of its terminal, in characters.
    pub async fn resize(&self, name: &str, width: u16, height: u16) -> Result<()> {
        attach::resize(&self.0, name, width, height).await
    }
}
