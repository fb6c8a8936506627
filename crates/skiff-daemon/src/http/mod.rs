//! Docker's REST API: from a request to one call of the engine and back.
//!
//! ```text
//! route.rs    path -> version and segments      containers.rs exec.rs images.rs
//! query.rs    query strings                     system.rs volumes.rs networks.rs
//! body.rs     bodies both ways                  one file a resource: parse, call, render
//! answer.rs   headers and JSON answers          hijack.rs  attach and exec streams
//! failure.rs  engine errors -> status           compat.rs  what older versions also got
//! shortcut.rs two requests in one, for our own command line
//! websocket.rs attaching in frames of RFC 6455
//! ```
//! A handler decides nothing. A client that leaves cancels its request by dropping the future,
//! except where something is changed: that runs to its end in a task of its own.

mod answer;
mod base64;
mod body;
mod compat;
mod containers;
mod disk_usage;
mod exec;
mod failure;
mod hijack;
mod images;
mod networks;
mod query;
mod route;
mod shortcut;
mod system;
mod volumes;
mod websocket;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HOST, LOCATION};
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Version};
use skiff_api::filters::Filters;
use skiff_api::version::ApiVersion;
use skiff_engine::Engine;
use tokio::sync::OnceCell;

use answer::Answer;
use body::RequestBody;
use failure::Failure;
use query::Query;
use route::Path;

use crate::reload::Reloadable;

/// The `Server` header.
pub(crate) const SERVER_NAME: &str = concat!("Skiff/", env!("CARGO_PKG_VERSION"), " (linux)");

/// How long there are no requests until the daemon counts as idle.
const QUIET: Duration = Duration::from_secs(2);

/// What every handler can reach.
pub(crate) struct Api {
    /// Open as soon as every container can be asked for; requests wait for it.
    engine: OnceCell<Engine>,
    opened: tokio::sync::Notify,
    /// Answers given, to know when it has become quiet.
    answered: AtomicU64,
    busy: tokio::sync::Notify,
    /// Begun with containers' creation.
    starts: shortcut::Starts,
    pub(crate) settings: Arc<Reloadable>,
}

impl Api {
    /// An API whose engine is not open yet.
    pub(crate) fn new(settings: Arc<Reloadable>) -> Api {
        Api {
            engine: OnceCell::new(),
            opened: tokio::sync::Notify::new(),
            answered: AtomicU64::new(0),
            busy: tokio::sync::Notify::new(),
            starts: shortcut::Starts::default(),
            settings,
        }
    }

    /// Lets the waiting requests go on.
    pub(crate) fn open(&self, engine: Engine) {
        // Only the starting daemon calls this, once.
        drop(self.engine.set(engine));
        self.opened.notify_waiters();
    }

    async fn engine(&self) -> &Engine {
        loop {
            let opened = self.opened.notified();
            if let Some(engine) = self.engine.get() {
                return engine;
            }
            opened.await;
        }
    }

    /// Resolves when there were requests and then none for a while.
    pub(crate) async fn quiet(&self) {
        self.busy.notified().await;
        loop {
            let before = self.answered.load(Ordering::Relaxed);
            tokio::time::sleep(QUIET).await;
            if self.answered.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// Answers one request; never fails.
    pub(crate) async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let outcome = self.clone().dispatch(request).await;
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.busy.notify_one();
        answer::finish(match outcome {
            Ok(answer) => answer,
            Err(failure) => {
                if failure.status == StatusCode::INTERNAL_SERVER_ERROR {
                    crate::logging::error(format_args!("{}", failure.message));
                }
                answer::failure(failure)
            }
        })
    }

    async fn dispatch(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Failure> {
        if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
            let refused = Failure::bad_request("400 Bad Request: missing required Host header");
            return Err(Failure { plain: true, ..refused });
        }
        let raw = request.uri().path();
        if let Some(clean) = route::cleaned(raw) {
            return Ok(moved(&clean, request.uri().query()));
        }
        let path = Path::parse(raw).ok_or_else(Failure::page_not_found)?;
        let version = path.version.unwrap_or(ApiVersion::MAX);
        check_version(version)?;
        if path.segments() == ["_ping"] {
            return system::ping(request.method());
        }
        if request.method() == Method::OPTIONS {
            return Ok(answer::empty(StatusCode::OK));
        }
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let engine = self.engine().await.clone();
        let (parts, body) = request.into_parts();
        let body = RequestBody::new(&parts.headers, body);
        let call = Call { api: self, engine, version, query, parts, body };
        // The futures of all handlers together would make every connection large.
        Box::pin(call.route(&path)).await
    }
}

/// 301 to the path without `//`, `.` and `..`, as Go's router does before it looks for a handler.
fn moved(path: &str, query: Option<&str>) -> Answer {
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut answer = answer::empty(StatusCode::MOVED_PERMANENTLY);
    if let Ok(target) = target.parse() {
        answer.headers_mut().insert(LOCATION, target);
    }
    answer
}

fn check_version(version: ApiVersion) -> Result<(), Failure> {
    if version > ApiVersion::MAX {
        return Err(Failure::bad_request(format!(
            "client version {version} is too new. Maximum supported API version is {}",
            ApiVersion::MAX
        )));
    }
    if version < ApiVersion::MIN {
        let refused = Failure::bad_request(format!(
            "client version {version} is too old. Minimum supported API version is {}, please \
             upgrade your client to a newer version",
            ApiVersion::MIN
        ));
        return Err(Failure { plain: true, ..refused });
    }
    Ok(())
}

/// One request on its way through a handler.
struct Call {
    api: Arc<Api>,
    engine: Engine,
    version: ApiVersion,
    query: Query,
    parts: Parts,
    body: RequestBody,
}

impl Call {
    async fn route(self, path: &Path) -> Result<Answer, Failure> {
        let segments = path.segments();
        let (&first, rest) = segments.split_first().ok_or_else(Failure::page_not_found)?;
        let method = self.parts.method.clone();
        match first {
            "containers" => containers::route(self, &method, rest).await,
            "exec" => exec::route(self, &method, rest).await,
            "images" => images::route(self, &method, rest).await,
            "volumes" => volumes::route(self, &method, rest).await,
            "networks" => networks::route(self, &method, rest),
            "swarm" | "services" | "nodes" | "tasks" | "secrets" | "configs" => {
                Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, NOT_A_MANAGER))
            }
            "commit" if rest.is_empty() && method == Method::POST => images::commit(self).await,
            _ => system::route(self, &method, &segments).await,
        }
    }

    /// The `filters` of the query.
    fn filters(&self) -> Result<Filters, Failure> {
        Ok(Filters::parse(self.query.text("filters"))?)
    }

    /// The request as it was, for taking over its connection.
    fn into_request(self) -> Result<Request<Incoming>, Failure> {
        let body = self.body.into_incoming();
        let body = body.ok_or_else(|| Failure::bad_request("the request body was cut short"))?;
        Ok(Request::from_parts(self.parts, body))
    }
}

const NOT_A_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \
    \"docker swarm join\" to connect this node to swarm and try again.";

/// Runs a change to its end even when the client leaves.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = skiff_engine::Result<T>> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(change).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(lost(&error)),
    }
}

/// Runs what blocks on a thread that may; it also runs to its end.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> skiff_engine::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(lost(&error)),
    }
}

fn lost(error: &tokio::task::JoinError) -> Failure {
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the request was lost: {error}"))
}
