//! Bodies in both directions: answers that are known, that come later or piece by piece, and
//! request bodies as JSON or as a blocking reader.
//!
//! An answer may be ready before its request was read to the end. What is left is then read and
//! thrown away for a while, because a client that sees its connection closed while it sends may
//! never look at the answer.
//!
//! A piecewise answer comes through a short channel, so a slow client slows its producer only, and
//! a client that leaves closes the channel, which ends the producer.

use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, TRANSFER_ENCODING};
use serde::de::DeserializeOwned;
use skiff_api::go_json;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::failure::Failure;

/// Pieces that may wait for the client.
const PIECES: usize = 4;
/// Size from which a blocking writer's output is sent.
const PIECE: usize = 64 << 10;
/// How long a JSON body may pause.
const STALL: Duration = Duration::from_secs(30);

/// How much of a body that nobody wants is thrown away, and how long it may pause.
const DISCARDED: usize = 64 << 20;
const DISCARD_STALL: Duration = Duration::from_secs(5);

/// One piece, or the reason to break the connection off so that the client notices.
pub(crate) type Piece = io::Result<Bytes>;

/// The body of an answer.
pub(crate) enum Body {
    Full(Bytes),
    /// Whole at a later time; headers are sent now.
    Later(Pin<Box<dyn Future<Output = Bytes> + Send>>),
    Pieces(mpsc::Receiver<Piece>),
    /// As the engine's log reader hands them out.
    Chunks(mpsc::Receiver<Vec<u8>>),
}

impl Body {
    /// No body.
    pub(crate) fn empty() -> Body {
        Body::Full(Bytes::new())
    }

    /// A body that a task writes, piece by piece.
    pub(crate) fn from_task<F>(task: impl FnOnce(mpsc::Sender<Piece>) -> F) -> Body
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(PIECES);
        tokio::spawn(task(sender));
        Body::Pieces(receiver)
    }

    /// A body that a blocking function writes. Its error breaks the connection off.
    pub(crate) fn from_writer<E>(
        write: impl FnOnce(&mut PieceWriter) -> Result<(), E> + Send + 'static,
    ) -> Body
    where
        E: std::fmt::Display,
    {
        let (sender, receiver) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            let mut writer = PieceWriter { sender, buffer: Vec::new() };
            let result = write(&mut writer)
                .map_err(|error| io::Error::other(error.to_string()))
                .and_then(|()| writer.flush());
            if let Err(error) = result {
                // Fails when the client is gone, which then is the reason.
                drop(writer.sender.blocking_send(Err(error)));
            }
        });
        Body::Pieces(receiver)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut *self {
            Body::Full(bytes) if bytes.is_empty() => None,
            Body::Full(bytes) => Some(Ok(std::mem::take(bytes))),
            Body::Later(future) => {
                let bytes = ready!(future.as_mut().poll(context));
                *self = Body::empty();
                Some(Ok(bytes))
            }
            Body::Pieces(pieces) => ready!(pieces.poll_recv(context)),
            Body::Chunks(chunks) => ready!(chunks.poll_recv(context)).map(|chunk| Ok(chunk.into())),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Later(_) | Body::Pieces(_) | Body::Chunks(_) => SizeHint::default(),
        }
    }
}

/// Gathers small writes and sends them on; blocks while the client is slow.
pub(crate) struct PieceWriter {
    sender: mpsc::Sender<Piece>,
    buffer: Vec<u8>,
}

impl PieceWriter {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.buffer);
        self.sender
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            self.buffer.reserve(PIECE.max(bytes.len()));
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }
}

/// The body of a request.
pub(crate) struct RequestBody {
    /// `None` is taken.
    body: Option<Incoming>,
    /// There is nothing to throw away: it has been read, or the client sends it only when it is
    /// asked to, which reading does.
    is_done: bool,
}

impl RequestBody {
    pub(crate) fn new(headers: &HeaderMap, body: Incoming) -> RequestBody {
        RequestBody { body: Some(body), is_done: headers.contains_key(EXPECT) }
    }

    /// The bare body, for taking over its connection.
    pub(crate) fn into_incoming(mut self) -> Option<Incoming> {
        self.body.take()
    }

    /// The next piece of data; `None` is the end.
    async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        self.is_done = false;
        loop {
            let frame = self.body.as_mut()?.frame().await;
            if let Some(Ok(frame)) = frame {
                // Trailers are of no use.
                let Ok(data) = frame.into_data() else { continue };
                return Some(Ok(data));
            }
            self.is_done = true;
            return frame.map(|frame| frame.map(|_| Bytes::new()));
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        if self.is_done || hyper::body::Body::is_end_stream(&body) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(discard(body));
        }
    }
}

/// Reads on until the client is done, pauses, or has sent too much.
async fn discard(mut body: Incoming) {
    let mut count = 0;
    while let Ok(Some(Ok(frame))) = timeout(DISCARD_STALL, body.frame()).await {
        count += frame.data_ref().map_or(0, Bytes::len);
        if count > DISCARDED {
            return;
        }
    }
}

/// A request body for functions that block. Use it on a thread of the blocking pool.
pub(crate) struct BodyReader {
    body: RequestBody,
    runtime: Handle,
    current: Bytes,
}

impl BodyReader {
    /// Wraps a body; call it on the runtime.
    pub(crate) fn new(body: RequestBody) -> BodyReader {
        BodyReader { body, runtime: Handle::current(), current: Bytes::new() }
    }
}

impl Read for BodyReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.runtime.block_on(self.body.next()) {
                None => return Ok(0),
                Some(Err(error)) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string()));
                }
                Some(Ok(data)) => self.current = data,
            }
        }
        let take = into.len().min(self.current.len());
        into[..take].copy_from_slice(&self.current.split_to(take));
        Ok(take)
    }
}

/// Reads a JSON body; it must be there.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<T, Failure> {
    check_content_type(headers)?;
    Ok(go_json::decode(&read_all(body).await?)?)
}

/// Reads a JSON body that may be missing; it is then the zero value.
pub(crate) async fn read_optional_json<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    body: &mut RequestBody,
) -> Result<T, Failure> {
    if !has_body(headers) {
        return Ok(T::default());
    }
    check_content_type(headers)?;
    let body = read_all(body).await?;
    if body.is_empty() { Ok(T::default()) } else { Ok(go_json::decode(&body)?) }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

/// Go's rule: JSON, or no body at all.
fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        if !has_body(headers) {
            return Ok(());
        }
        return Err(malformed_content_type(""));
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/json" => Ok(()),
        "" => Err(malformed_content_type(&text)),
        _ => Err(Failure::bad_request(format!(
            "unsupported Content-Type header ({text}): must be 'application/json'"
        ))),
    }
}

fn malformed_content_type(text: &str) -> Failure {
    Failure::bad_request(format!("malformed Content-Type header ({text}): mime: no media type"))
}

async fn read_all(body: &mut RequestBody) -> Result<Bytes, Failure> {
    let mut first = Bytes::new();
    let mut whole: Vec<u8> = Vec::new();
    loop {
        let data = timeout(STALL, body.next()).await.map_err(|_| {
            Failure::new(hyper::StatusCode::REQUEST_TIMEOUT, "request body stalled")
        })?;
        let Some(data) = data else { break };
        let data = data.map_err(|error| Failure::bad_request(format!("invalid JSON: {error}")))?;
        if whole.len() + first.len() + data.len() > go_json::MAX_BODY {
            return Err(go_json::BodyError::TooLarge.into());
        }
        // Almost every body comes in one piece, which then is not copied.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            whole.extend_from_slice(&first);
            first = Bytes::new();
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.into() })
}

/// Writes a value as one line of JSON, as Go's encoder does.
pub(crate) fn json_line<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("wire types are always JSON");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn only_json_is_taken_for_json() {
        for (pairs, expect) in [
            (&[][..], None),
            (&[("content-length", "0")], None),
            (&[("content-type", "application/json")], None),
            (&[("content-type", "Application/JSON; charset=utf-8")], None),
            (
                &[("content-type", "text/plain")],
                Some("unsupported Content-Type header (text/plain): must be 'application/json'"),
            ),
            (
                &[("content-type", ""), ("content-length", "2")],
                Some("malformed Content-Type header (): mime: no media type"),
            ),
            (
                &[("transfer-encoding", "chunked")],
                Some("malformed Content-Type header (): mime: no media type"),
            ),
        ] {
            let refused = check_content_type(&headers(pairs)).err().map(|failure| failure.message);
            assert_eq!(refused.as_deref(), expect, "{pairs:?}");
        }
    }

    async fn read(mut body: Body) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            bytes.extend(frame.map_err(|error| error.to_string())?.into_data().unwrap());
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn what_a_writer_writes_is_the_body() {
        let body = Body::from_writer(|writer| {
            (0..40_000).try_for_each(|number: u32| writer.write_all(&number.to_le_bytes()))
        });
        let bytes = read(body).await.unwrap();
        assert_eq!(bytes.len(), 160_000);
        assert_eq!(bytes[159_996..], 39_999_u32.to_le_bytes());
    }

    #[tokio::test]
    async fn a_writer_that_fails_breaks_the_body_off() {
        let body = Body::from_writer(|writer| {
            writer.write_all(b"half")?;
            Err(io::Error::other("disk on fire"))
        });
        assert_eq!(read(body).await.unwrap_err(), "disk on fire");
    }

    #[tokio::test]
    async fn a_writer_whose_client_left_ends() {
        let (told, heard) = tokio::sync::oneshot::channel();
        let body = Body::from_writer(move |writer| {
            let error = loop {
                if let Err(error) = writer.write_all(&[0; PIECE]) {
                    break error;
                }
            };
            told.send(error.kind()).expect("somebody listens");
            Err(error)
        });
        drop(body);
        assert_eq!(heard.await.unwrap(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_later_body_has_no_length_and_ends() {
        let body = Body::Later(Box::pin(async { Bytes::from("x") }));
        assert_eq!(hyper::body::Body::size_hint(&body).exact(), None);
        assert_eq!(read(body).await.unwrap(), b"x");
    }
}
