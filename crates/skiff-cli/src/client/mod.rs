//! The HTTP client of the CLI: synchronous, over a unix socket, TCP, TLS or ssh.
//!
//! One request after another travels over a kept-alive connection; a request that finds none idle
//! opens its own, so that a long one (`wait`) and a short one (`start`) can be under way together.
//! There is no runtime and no thread here: a command line tool that lives two milliseconds has no
//! use for either.

mod connection;
mod endpoint;
mod error;
mod ping;
mod query;
mod request;
mod response;
mod tls;
mod transport;

use std::cell::RefCell;
use std::rc::Rc;

pub(crate) use connection::Connection;
pub(crate) use endpoint::{Endpoint, TlsFiles};
pub(crate) use error::ClientError;
pub(crate) use ping::parse_version;
pub(crate) use query::{Query, encode_component, encode_path};
pub(crate) use request::{Body, Request};
pub(crate) use response::Response;
pub(crate) use transport::Transport;

/// The newest version of the API we speak.
pub(crate) const NEWEST_API: (u32, u32) = (1, 56);

/// Idle connections, shared by the client and the responses that give them back.
type Pool = Rc<RefCell<Vec<Connection>>>;

/// A client for one daemon.
pub(crate) struct Client {
    endpoint: Endpoint,
    pool: Pool,
    /// Settled before the first versioned request.
    version: Option<(u32, u32)>,
    /// Headers the user's configuration adds to each request.
    headers: Vec<(String, String)>,
    program: &'static str,
}

impl Client {
    /// Makes a client; nothing is connected yet. `version` fixes the API version.
    pub(crate) fn new(
        endpoint: Endpoint,
        version: Option<(u32, u32)>,
        headers: Vec<(String, String)>,
        program: &'static str,
    ) -> Self {
        Self { endpoint, pool: Pool::default(), version, headers, program }
    }

    /// Where the daemon is.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The API version in use, negotiated on first need.
    pub(crate) fn version(&mut self) -> Result<(u32, u32), ClientError> {
        match self.version {
            Some(version) => Ok(version),
            None => {
                let version = ping::negotiate(self)?;
                self.version = Some(version);
                Ok(version)
            }
        }
    }

    /// Gives an idle connection to the pool, such as the one that proved that a daemon listens.
    pub(crate) fn adopt(&mut self, transport: Transport) {
        self.pool.borrow_mut().push(Connection::new(transport));
    }

    /// Opens a connection of its own, for streams.
    pub(crate) fn connect(&self) -> Result<Connection, ClientError> {
        let transport = transport::connect(&self.endpoint)
            .map_err(|source| ClientError::unreachable(&self.endpoint, &source, self.program))?;
        Ok(Connection::new(transport))
    }

    fn idle_or_new(&self) -> Result<(Connection, bool), ClientError> {
        let idle = self.pool.borrow_mut().pop();
        match idle {
            Some(connection) => Ok((connection, true)),
            None => Ok((self.connect()?, false)),
        }
    }

    /// Sends a request without waiting for the answer; [`Pending::answer`] waits.
    pub(crate) fn send(&mut self, mut request: Request) -> Result<Pending, ClientError> {
        if request.versioned {
            let (major, minor) = self.version()?;
            request.path = format!("/v{major}.{minor}{}", request.path);
        }
        let host = self.endpoint.host_header();
        let (mut connection, reused) = self.idle_or_new()?;
        let mut sent = request.write(&mut connection, &host, &self.headers);
        if sent.is_err() && reused && request.body.is_replayable() {
            // The server may close an idle connection at any time; one fresh attempt is fair.
            connection = self.connect()?;
            sent = request.write(&mut connection, &host, &self.headers);
        }
        // A server may refuse a body half-way and close; its answer is worth more than EPIPE.
        if let Err(error) = sent
            && !connection.has_input()
        {
            return Err(ClientError::Transfer(error));
        }
        Ok(Pending { connection, pool: self.pool.clone(), method: request.method, reused })
    }

    /// Sends a request and waits for the head of the answer, whatever its status.
    pub(crate) fn exchange(&mut self, request: Request) -> Result<Response, ClientError> {
        if self.version.is_none()
            && request.versioned
            && let Some(again) = request.copy()
        {
            return self.exchange_first(request, again);
        }
        let again = request.replay();
        let pending = self.send(request)?;
        let reused = pending.reused;
        match (pending.any_answer(), again) {
            // The server closed the idle connection just as we used it.
            (Err(ClientError::Transfer(error)), Some(again)) if reused && is_closed(&error) => {
                self.pool.borrow_mut().clear();
                self.send(again)?.any_answer()
            }
            (answer, _) => answer,
        }
    }

    /// The first versioned request is sent in our newest version without asking: most daemons
    /// know it and are saved a round trip. One that does not refuses it (400) before doing
    /// anything; then the version is negotiated and the request sent `again`.
    fn exchange_first(
        &mut self,
        request: Request,
        again: Request,
    ) -> Result<Response, ClientError> {
        self.version = Some(NEWEST_API);
        let response = self.exchange(request);
        match response {
            Ok(response) if response.status() != 400 => {
                let theirs = response.header("api-version").and_then(ping::parse_version);
                self.version = theirs.map(|theirs| theirs.min(NEWEST_API));
                Ok(response)
            }
            Ok(response) => {
                response.finish()?;
                self.version = None;
                self.version()?;
                self.exchange(again)
            }
            Err(error) => {
                self.version = None;
                Err(error)
            }
        }
    }

    /// Sends a request and fails unless the answer is a success.
    pub(crate) fn call(&mut self, request: Request) -> Result<Response, ClientError> {
        let response = self.exchange(request)?;
        if response.status() >= 400 { Err(response.into_error()) } else { Ok(response) }
    }

    /// GET with an expected success.
    pub(crate) fn get(&mut self, path: impl Into<String>) -> Result<Response, ClientError> {
        self.call(Request::new("GET", path))
    }

    /// POST without a body.
    pub(crate) fn post(&mut self, path: impl Into<String>) -> Result<Response, ClientError> {
        self.call(Request::new("POST", path))
    }

    /// DELETE.
    pub(crate) fn delete(&mut self, path: impl Into<String>) -> Result<Response, ClientError> {
        self.call(Request::new("DELETE", path))
    }

    /// POST with a JSON body.
    pub(crate) fn post_json(
        &mut self,
        path: impl Into<String>,
        body: &impl serde::Serialize,
    ) -> Result<Response, ClientError> {
        self.call(Request::new("POST", path).json(body)?)
    }

    /// GET whose JSON answer is read into a type.
    pub(crate) fn get_json<T: serde::de::DeserializeOwned>(
        &mut self,
        path: impl Into<String>,
    ) -> Result<T, ClientError> {
        self.get(path)?.json()
    }
}

/// A request that was sent and not answered yet.
pub(crate) struct Pending {
    connection: Connection,
    pool: Pool,
    method: &'static str,
    reused: bool,
}

fn is_closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

impl Pending {
    /// Waits for the head of the answer, whatever its status.
    pub(crate) fn any_answer(mut self) -> Result<Response, ClientError> {
        let head = self.connection.read_head().map_err(ClientError::Transfer)?;
        Ok(Response::new(head, self.connection, self.pool, self.method))
    }

    /// Waits for the answer and fails unless it is a success.
    pub(crate) fn answer(self) -> Result<Response, ClientError> {
        let response = self.any_answer()?;
        if response.status() >= 400 { Err(response.into_error()) } else { Ok(response) }
    }

    /// Waits for the server to switch to a raw stream, and returns the connection, the bytes that
    /// came early included, and whether the stream is multiplexed as far as the server said so.
    pub(crate) fn upgraded(self) -> Result<Upgraded, ClientError> {
        self.switched().map(Response::into_upgraded)
    }

    /// As [`Pending::upgraded`], with the head of the answer.
    pub(crate) fn switched(self) -> Result<Response, ClientError> {
        let response = self.any_answer()?;
        match response.status() {
            101 | 200 => Ok(response),
            status if status >= 400 => Err(response.into_error()),
            status => {
                Err(ClientError::Protocol(format!("unable to upgrade to tcp, received {status}")))
            }
        }
    }
}

/// A connection that carries a raw stream from now on.
pub(crate) struct Upgraded {
    pub(crate) connection: Connection,
}

#[cfg(test)]
mod tests;
