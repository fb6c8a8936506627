//! What comes back: a parsed head and a body that is read on demand.

use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{ClientError, Connection, Pool, Upgraded};

/// The head of an answer, reduced to what we use.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(super) status: u16,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Parses a head; `None` while it is incomplete. Returns its length too.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => {
                return Err(io::Error::other(format!("malformed HTTP response: {error}")));
            }
        };
        let mut head = Self {
            status: response.code.unwrap_or(0),
            close: response.version == Some(0),
            ..Self::default()
        };
        for header in response.headers.iter() {
            let value = String::from_utf8_lossy(header.value);
            let value = value.trim();
            if header.name.eq_ignore_ascii_case("content-length") {
                head.length = value.parse().ok();
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case("chunked");
            } else if header.name.eq_ignore_ascii_case("connection") {
                head.close |= value.eq_ignore_ascii_case("close");
            } else {
                head.headers.push((header.name.to_ascii_lowercase(), value.to_owned()));
            }
        }
        Ok(Some((head, length)))
    }
}

/// How much of the body is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remaining {
    /// So many bytes.
    Length(u64),
    /// A chunked body, so many bytes into the current chunk; `first` has no line end before it.
    Chunk { left: u64, first: bool },
    /// Until the peer closes.
    UntilClose,
    /// Everything was read.
    Done,
}

/// Read at once of a list that comes line by line.
const LINES: usize = 64 << 10;

/// Takes the items of a list.
struct Items<T, E, F> {
    take: F,
    failed: Option<E>,
    kind: PhantomData<T>,
}

impl<'de, T, E, F> Visitor<'de> for &mut Items<T, E, F>
where
    T: serde::de::DeserializeOwned,
    F: FnMut(T) -> Result<(), E>,
{
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_unit<X>(self) -> Result<(), X> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element()? {
            if let Err(error) = (self.take)(item) {
                self.failed = Some(error);
                return Err(serde::de::Error::custom("an item was refused"));
            }
        }
        Ok(())
    }
}

/// An answer whose body has not been read yet. Dropped after its body, it gives its connection back.
pub(crate) struct Response {
    head: Head,
    /// Present until taken by `into_upgraded` or `drop`.
    connection: Option<Connection>,
    remaining: Remaining,
    pool: Pool,
}

impl Response {
    pub(super) fn new(head: Head, connection: Connection, pool: Pool, method: &str) -> Self {
        let remaining = match &head {
            _ if method == "HEAD" || matches!(head.status, 204 | 304) => Remaining::Done,
            Head { chunked: true, .. } => Remaining::Chunk { left: 0, first: true },
            Head { length: Some(0), .. } => Remaining::Done,
            Head { length: Some(length), .. } => Remaining::Length(*length),
            _ => Remaining::UntilClose,
        };
        Self { head, connection: Some(connection), remaining, pool }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    /// A header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// All values of a header by its lower-case name.
    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// Reads the whole body.
    pub(crate) fn body(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut body = match self.remaining {
            Remaining::Length(length) => Vec::with_capacity(length.min(1 << 24) as usize),
            _ => Vec::new(),
        };
        self.read_to_end(&mut body).map_err(ClientError::Transfer)?;
        Ok(body)
    }

    /// Reads the body as JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(mut self) -> Result<T, ClientError> {
        let body = self.body()?;
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::Protocol(format!("error reading response: {error}")))
    }

    /// Reads a body that is a JSON list and hands its items to `take`, one by one: memory that is
    /// used again is faster than new memory. Null is an empty list.
    pub(crate) fn each<T: serde::de::DeserializeOwned, E>(
        mut self,
        mut take: impl FnMut(T) -> Result<(), E>,
    ) -> Result<Result<(), E>, ClientError> {
        let wrong = |error: serde_json::Error| {
            ClientError::Protocol(format!("error reading response: {error}"))
        };
        if self.header("skiff-lines").is_none() {
            let body = self.body()?;
            let mut items = Items { take, failed: None, kind: PhantomData };
            let mut deserializer = serde_json::Deserializer::from_slice(&body);
            let read = deserializer.deserialize_any(&mut items).and_then(|()| deserializer.end());
            return match (items.failed, read) {
                (Some(error), _) => Ok(Err(error)),
                (None, Ok(())) => Ok(Ok(())),
                (None, Err(error)) => Err(wrong(error)),
            };
        }
        // A daemon of ours gives each item a line, and is still writing the next ones.
        let mut body = BufReader::with_capacity(LINES, &mut self);
        let mut line = Vec::new();
        loop {
            line.clear();
            body.read_until(b'\n', &mut line).map_err(ClientError::Transfer)?;
            let item = line.strip_prefix(b"[").unwrap_or(&line);
            let next = item.strip_suffix(b",\n");
            let item = next.or_else(|| item.strip_suffix(b"]\n")).unwrap_or(item);
            if let Err(error) = take(serde_json::from_slice(item).map_err(wrong)?) {
                return Ok(Err(error));
            }
            if next.is_none() {
                // To the very end, so that the connection can be used again.
                body.read_to_end(&mut line).map_err(ClientError::Transfer)?;
                return Ok(Ok(()));
            }
        }
    }

    /// Reads and forgets the body, so that the connection can be used again.
    pub(crate) fn finish(mut self) -> Result<(), ClientError> {
        io::copy(&mut self, &mut io::sink()).map_err(ClientError::Transfer)?;
        Ok(())
    }

    /// Turns an error answer into the error it carries.
    pub(crate) fn into_error(mut self) -> ClientError {
        #[derive(Deserialize)]
        struct ErrorBody {
            message: String,
        }
        let status = self.head.status;
        let body = self.body().unwrap_or_default();
        let message = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => body.message.trim().to_owned(),
            Err(_) if body.is_empty() => format!("the daemon answered with HTTP status {status}"),
            Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
        };
        ClientError::Answer { status, message }
    }

    /// The connection of an answer that was 101.
    pub(crate) fn into_upgraded(mut self) -> Upgraded {
        let connection = self.connection.take().expect("taken only here and in drop");
        Upgraded { connection }
    }

    /// Whether a part of the body is here already.
    pub(crate) fn has_buffered_input(&self) -> bool {
        self.remaining == Remaining::Done
            || self
                .connection
                .as_ref()
                .is_some_and(|c| !c.buffered().is_empty() || c.transport.has_hidden_input())
    }

    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("present until the response is gone")
    }

    /// Reads the line that starts a chunk, and the trailer after the last.
    fn next_chunk(&mut self, first: bool) -> io::Result<u64> {
        if !first {
            self.read_line()?;
        }
        let line = self.read_line()?;
        let digits = line.split(';').next().unwrap_or("").trim();
        let length = u64::from_str_radix(digits, 16)
            .map_err(|_| io::Error::other("malformed chunked encoding"))?;
        if length == 0 {
            while !self.read_line()?.is_empty() {}
        }
        Ok(length)
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            let connection = self.connection();
            let buffered = connection.buffered();
            if let Some(end) = buffered.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&buffered[..end]).trim_end().to_owned();
                connection.consume(end + 1);
                return Ok(line);
            }
            if buffered.len() > 16 * 1024 {
                return Err(io::Error::other("malformed chunked encoding"));
            }
            if connection.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads at most `limit` bytes of the body's current stretch.
    fn read_some(&mut self, out: &mut [u8], limit: u64) -> io::Result<usize> {
        let connection = self.connection();
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX).min(out.len());
        // Through the buffer: small chunks (log lines, events) would otherwise cost a call each.
        if connection.buffered().is_empty() && wanted < 32 * 1024 {
            connection.fill()?;
            if connection.buffered().is_empty() {
                return Ok(0);
            }
        }
        connection.read(&mut out[..wanted])
    }
}

impl AsFd for Response {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_ref().expect("present until the response is gone").transport.as_fd()
    }
}

impl Read for Response {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            match self.remaining {
                Remaining::Done => return Ok(0),
                Remaining::UntilClose => {
                    let count = self.read_some(out, u64::MAX)?;
                    if count == 0 {
                        self.remaining = Remaining::Done;
                        self.head.close = true;
                    }
                    return Ok(count);
                }
                Remaining::Length(left) => {
                    let count = self.read_some(out, left)?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let left = left - count as u64;
                    self.remaining =
                        if left == 0 { Remaining::Done } else { Remaining::Length(left) };
                    return Ok(count);
                }
                Remaining::Chunk { left: 0, first } => {
                    let left = self.next_chunk(first)?;
                    self.remaining = match left {
                        0 => Remaining::Done,
                        left => Remaining::Chunk { left, first: false },
                    };
                }
                Remaining::Chunk { left, .. } => {
                    let count = self.read_some(out, left)?;
                    if count == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.remaining = Remaining::Chunk { left: left - count as u64, first: false };
                    return Ok(count);
                }
            }
        }
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        // A chunked body that is consumed up to its terminator is done as well; look for it.
        if let Remaining::Chunk { left: 0, first: false } = self.remaining
            && self.connection.as_ref().is_some_and(|c| c.buffered() == b"\r\n0\r\n\r\n")
        {
            let length = self.connection().buffered().len();
            self.connection().consume(length);
            self.remaining = Remaining::Done;
        }
        if let Some(connection) = self.connection.take()
            && self.remaining == Remaining::Done
            && !self.head.close
            && connection.buffered().is_empty()
        {
            self.pool.borrow_mut().push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_reduced_to_what_is_used() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nApi-Version: 1.41\r\n\r\nhello";
        let (head, length) = Head::parse(text).unwrap().unwrap();
        assert_eq!(&text[length..], b"hello");
        assert_eq!((head.status, head.length, head.close), (200, Some(5), false));
        assert_eq!(head.headers, [("api-version".to_owned(), "1.41".to_owned())]);
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nConte").unwrap(), None);
        assert!(Head::parse(b"SSH-2.0-OpenSSH\r\n").is_err());
    }
}
