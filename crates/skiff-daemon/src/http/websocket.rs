//! Attaching over a WebSocket (RFC 6455).
//!
//! The monitor speaks plain streams, so it is given one end of a socket pair like any client, and
//! this translates on the other end: output becomes one frame a read, the payload of text and
//! binary frames becomes input. Nothing of a frame but its head and the 125 bytes a control frame
//! may have is ever kept, whatever length a client claims.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::frame::{Decoder, Opcode, Piece};
use super::answer::{self, Answer};
use super::base64;
use super::failure::Failure;
use crate::logging;

mod frame;
mod sha1;

/// Bytes read at once from either side.
const READ: usize = 32 << 10;
/// How long a client may take to answer our closing frame.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Reasons to close, as the RFC numbers them.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

/// What a client asked for, once its handshake is known to be one.
#[derive(Debug)]
pub(super) struct Handshake {
    accept: HeaderValue,
}

/// Checks the head of a request; the refusals are plain text, as Docker's.
pub(super) fn handshake(headers: &HeaderMap) -> Result<Handshake, Failure> {
    let refused = |why: &str| Failure { plain: true, ..Failure::bad_request(why) };
    if !has_word(headers, &UPGRADE, "websocket") || !has_word(headers, &CONNECTION, "upgrade") {
        return Err(refused("not websocket protocol"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refused("missing or bad WebSocket Version"));
    }
    // Sixteen bytes in base64.
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let key = key.ok_or_else(|| refused("mismatch challenge/response"))?;
    Ok(Handshake { accept: accept(key.as_bytes()) })
}

fn has_word(headers: &HeaderMap, name: &hyper::header::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|found| found.trim().eq_ignore_ascii_case(word))
}

/// What proves to the client that a WebSocket server read its key.
fn accept(key: &[u8]) -> HeaderValue {
    const SALT: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = sha1::digest(&[key, SALT].concat());
    HeaderValue::try_from(base64::encode(&digest)).expect("base64 is a valid header")
}

/// Answers a request by attaching its connection to the stream whose other end `give` gets.
pub(super) fn serve<F, Fut>(
    request: Request<Incoming>,
    handshake: Handshake,
    is_text: bool,
    give: F,
) -> Answer
where
    F: FnOnce(OwnedFd) -> Fut + Send + 'static,
    Fut: Future<Output = skiff_engine::Result<()>> + Send + 'static,
{
    let kind = if is_text { Opcode::Text } else { Opcode::Binary };
    let on_upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let upgraded = match on_upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => return logging::error(format_args!("websocket: {error}")),
        };
        if let Err(error) = attach(TokioIo::new(upgraded), kind, give).await {
            logging::error(format_args!("websocket: {error}"));
        }
    });
    let mut answer = answer::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, handshake.accept);
    answer
}

async fn attach<S, F, Fut>(client: S, kind: Opcode, give: F) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite,
    F: FnOnce(OwnedFd) -> Fut,
    Fut: Future<Output = skiff_engine::Result<()>> + Send + 'static,
{
    let broken = |error: io::Error| format!("make a socket pair: {error}");
    let (ours, theirs) = UnixStream::pair().map_err(broken)?;
    let theirs = OwnedFd::from(theirs.into_std().map_err(broken)?);
    // A container that was not started yet takes the stream only later; the client may talk (and
    // leave) before that. Of an error it learns by the end of the stream.
    let given = give(theirs);
    tokio::spawn(async move {
        if let Err(error) = given.await {
            logging::error(format_args!("websocket: {error}"));
        }
    });
    bridge(client, ours, kind).await;
    Ok(())
}

/// Translates until either side ends. Errors are the end of a side, too.
async fn bridge<S: AsyncRead + AsyncWrite>(client: S, container: UnixStream, kind: Opcode) {
    let (from_client, to_client) = tokio::io::split(client);
    let to_client = Mutex::new(to_client);
    let (from_container, to_container) = container.into_split();
    let input = receive(from_client, to_container, &to_client);
    tokio::pin!(input);
    tokio::select! {
        () = &mut input => {}
        end = send(from_container, &to_client, kind) => {
            if end.is_ok() {
                drop(timeout(CLOSE_WAIT, &mut input).await);
            }
        }
    }
    drop(to_client.lock().await.shutdown().await);
}

/// Turns the container's output into frames, and its end into a closing one.
async fn send<W: AsyncWrite>(
    mut from: OwnedReadHalf,
    to: &Mutex<WriteHalf<W>>,
    kind: Opcode,
) -> io::Result<()> {
    let mut buffer = vec![0; READ];
    loop {
        // A broken stream is an ended one: the client is told so in either case.
        let count = from.read(&mut buffer).await.unwrap_or(0);
        if count == 0 {
            return write(to, Opcode::Close, &NORMAL.to_be_bytes()).await;
        }
        write(to, kind, &buffer[..count]).await?;
    }
}

/// Turns the client's frames into input and answers its control frames, until it closes.
async fn receive<S: AsyncRead + AsyncWrite>(
    mut from: ReadHalf<S>,
    mut to: OwnedWriteHalf,
    answers: &Mutex<WriteHalf<S>>,
) {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; READ];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut rest = &mut buffer[..count];
        while !rest.is_empty() {
            let (used, piece) = decoder.next(rest);
            let result = match piece {
                Ok(None) => Ok(()),
                // What a container without an open stdin does not want is dropped there.
                Ok(Some(Piece::Data)) => to.write_all(&rest[used.clone()]).await,
                Ok(Some(Piece::Ping(payload))) => write(answers, Opcode::Pong, &payload).await,
                Ok(Some(Piece::Close(reason))) => {
                    drop(write(answers, Opcode::Close, &reason).await);
                    return;
                }
                Err(frame::Violation) => {
                    let reason = PROTOCOL_ERROR.to_be_bytes();
                    drop(write(answers, Opcode::Close, &reason).await);
                    return;
                }
            };
            if result.is_err() {
                return;
            }
            rest = &mut rest[used.end..];
        }
    }
}

/// Writes one whole frame; nobody writes between its parts.
async fn write<W: AsyncWrite>(
    to: &Mutex<WriteHalf<W>>,
    opcode: Opcode,
    payload: &[u8],
) -> io::Result<()> {
    let frame = frame::encode(opcode, payload);
    let mut to = to.lock().await;
    to.write_all(&frame).await?;
    to.flush().await
}

#[cfg(test)]
mod tests;
