//! Connections: accepting, TLS, HTTP/1.1 by hyper, and their number.
//!
//! At most [`MAX_CONNECTIONS`] are open; one more closes the oldest that is idle. Waiting for a
//! request, and the head of one, may take [`HEAD_TIMEOUT`]; the head may have [`MAX_HEAD`] bytes.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::http::Api;
use crate::listen::Socket;
use crate::logging;

/// Connections at once.
pub(crate) const MAX_CONNECTIONS: usize = 4096;
/// How long a connection may be without the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 64 << 10;
/// Most headers of a request.
const MAX_HEADERS: usize = 128;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// One connection, seen from outside of it.
#[derive(Default)]
struct Slot {
    busy: AtomicBool,
    close: Notify,
}

/// Open connections, the oldest first.
#[derive(Default)]
struct Open {
    last: u64,
    slots: BTreeMap<u64, Arc<Slot>>,
}

/// Serves the API on any number of sockets.
pub(crate) struct Server {
    api: Arc<Api>,
    tls: Option<TlsAcceptor>,
    open: Mutex<Open>,
    limit: usize,
}

impl Server {
    /// A server without sockets. With `tls`, internet sockets speak TLS only.
    pub(crate) fn new(api: Arc<Api>, tls: Option<TlsAcceptor>, limit: usize) -> Arc<Server> {
        Arc::new(Server { api, tls, open: Mutex::default(), limit })
    }

    /// Accepts connections for ever.
    pub(crate) async fn accept(self: Arc<Self>, socket: Socket) -> io::Result<()> {
        match socket {
            Socket::Unix(listener) => self.accept_unix(UnixListener::from_std(listener)?).await,
            Socket::Tcp(listener) => self.accept_tcp(TcpListener::from_std(listener)?).await,
        }
    }

    async fn accept_unix(self: Arc<Self>, listener: UnixListener) -> io::Result<()> {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.start(TokioIo::new(stream)),
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn accept_tcp(self: Arc<Self>, listener: TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause(&error).await;
                    continue;
                }
            };
            // Answers are written whole; waiting for more to send would only delay them.
            drop(stream.set_nodelay(true));
            let Some(tls) = self.tls.clone() else {
                self.start(TokioIo::new(stream));
                continue;
            };
            let server = self.clone();
            tokio::spawn(async move {
                match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => server.start(TokioIo::new(stream)),
                    Ok(Err(error)) => logging::info(format_args!("TLS handshake error: {error}")),
                    Err(_) => logging::info(format_args!("TLS handshake error: timeout")),
                }
            });
        }
    }

    fn start<I>(self: &Arc<Self>, io: I)
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let (number, slot) = self.enter();
        let server = self.clone();
        tokio::spawn(async move {
            server.serve(io, &slot).await;
            server.leave(number);
        });
    }

    async fn serve<I>(&self, io: I, slot: &Arc<Slot>)
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let (api, slot) = (self.api.clone(), slot.clone());
            async move {
                slot.busy.store(true, Ordering::Relaxed);
                let answer = api.serve(request).await;
                slot.busy.store(false, Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .title_case_headers(true)
            .serve_connection(io, service)
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = slot.close.notified() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            logging::debug(format_args!("connection: {error}"));
        }
    }

    fn enter(&self) -> (u64, Arc<Slot>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.slots.len() >= self.limit
            && let Some((&oldest, slot)) =
                open.slots.iter().find(|(_, slot)| !slot.busy.load(Ordering::Relaxed))
        {
            slot.close.notify_one();
            open.slots.remove(&oldest);
        }
        open.last += 1;
        let slot = Arc::new(Slot::default());
        let number = open.last;
        open.slots.insert(number, slot.clone());
        (number, slot)
    }

    fn leave(&self, number: u64) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).slots.remove(&number);
    }
}

/// Accepting fails when descriptors run out; then others must end before it can go on.
async fn pause(error: &io::Error) {
    logging::error(format_args!("accept a connection: {error}"));
    sleep(Duration::from_millis(100)).await;
}

#[cfg(test)]
mod tests;
