//! Connections that stop being HTTP: attach and exec.
//!
//! A client that asks for an upgrade gets `101 UPGRADED`, and then its very socket goes to the
//! engine, with what it already sent; the bytes never pass through here again. Three kinds of client
//! have no plain socket to give away: those on TLS, old ones that do not ask for an upgrade and read
//! an endless body instead, and WebSockets (`websocket.rs`). For them the engine gets one end of a
//! socket pair, with a pump behind the other.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::TokioIo;
use skiff_api::version::ApiVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::answer::{self, Answer, MULTIPLEXED_STREAM, RAW_STREAM};
use super::body::Body;
use super::failure::Failure;
use crate::logging;

/// Bytes moved at once where a pump is needed.
const PUMP: usize = 32 << 10;

/// Answers a request by giving its connection to `give`, with what the client already sent.
pub(crate) fn hijack<F, Fut>(
    request: Request<Incoming>,
    version: ApiVersion,
    tty: bool,
    give: F,
) -> Result<Answer, Failure>
where
    F: FnOnce(OwnedFd, Vec<u8>) -> Fut + Send + 'static,
    Fut: Future<Output = skiff_engine::Result<()>> + Send + 'static,
{
    let wants_upgrade =
        request.version() == Version::HTTP_11 && request.headers().contains_key(UPGRADE);
    if !wants_upgrade {
        return endless_body(request, give);
    }
    let on_upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        if let Err(error) = hand_over(on_upgrade, give).await {
            logging::error(format_args!("hijacked connection: {error}"));
        }
    });
    let kind = if !tty && version >= ApiVersion::v1(42) { MULTIPLEXED_STREAM } else { RAW_STREAM };
    let mut answer = answer::with_body(StatusCode::SWITCHING_PROTOCOLS, kind, Body::empty());
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("tcp"));
    answer.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    Ok(answer)
}

async fn hand_over<F, Fut>(on_upgrade: OnUpgrade, give: F) -> Result<(), String>
where
    F: FnOnce(OwnedFd, Vec<u8>) -> Fut,
    Fut: Future<Output = skiff_engine::Result<()>>,
{
    let upgraded = on_upgrade.await.map_err(|error| error.to_string())?;
    let (socket, early) = into_socket(upgraded).map_err(|error| error.to_string())?;
    give(socket, early).await.map_err(|error| error.to_string())
}

/// Takes the bare socket out of a connection, or puts a pump behind one of a pair.
fn into_socket(upgraded: Upgraded) -> io::Result<(OwnedFd, Vec<u8>)> {
    let upgraded = match upgraded.downcast::<TokioIo<UnixStream>>() {
        Ok(parts) => return Ok((parts.io.into_inner().into_std()?.into(), parts.read_buf.into())),
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => return Ok((parts.io.into_inner().into_std()?.into(), parts.read_buf.into())),
        Err(upgraded) => upgraded,
    };
    let (mut ours, theirs) = UnixStream::pair()?;
    tokio::spawn(async move {
        // An error is the end of either side, which the other one sees.
        drop(tokio::io::copy_bidirectional(&mut TokioIo::new(upgraded), &mut ours).await);
    });
    Ok((theirs.into_std()?.into(), Vec::new()))
}

/// Serves a client that reads a body without end; what it sends is its request body.
fn endless_body<F, Fut>(request: Request<Incoming>, give: F) -> Result<Answer, Failure>
where
    F: FnOnce(OwnedFd, Vec<u8>) -> Fut + Send + 'static,
    Fut: Future<Output = skiff_engine::Result<()>> + Send + 'static,
{
    let broken = |error: io::Error| {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, format!("make a socket pair: {error}"))
    };
    let (ours, theirs) = UnixStream::pair().map_err(broken)?;
    let theirs: OwnedFd = theirs.into_std().map_err(broken)?.into();
    tokio::spawn(async move {
        if let Err(error) = give(theirs, Vec::new()).await {
            logging::error(format_args!("attached stream: {error}"));
        }
    });
    let (mut from, mut to) = ours.into_split();
    tokio::spawn(async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data()
                && to.write_all(&data).await.is_err()
            {
                break;
            }
        }
        // The container's stdin ends here; its output goes on.
        drop(to.shutdown().await);
    });
    let body = Body::from_task(|sender| async move {
        loop {
            let mut buffer = Vec::with_capacity(PUMP);
            tokio::select! {
                read = from.read_buf(&mut buffer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {
                        if sender.send(Ok(Bytes::from(buffer))).await.is_err() {
                            break;
                        }
                    }
                },
                () = sender.closed() => break,
            }
        }
    });
    let mut answer = answer::stream(RAW_STREAM, body);
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(answer)
}

#[cfg(test)]
mod tests;
