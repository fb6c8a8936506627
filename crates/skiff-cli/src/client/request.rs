//! What is sent: a head, and a body that is in memory, in a file or a stream.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write};

use super::{ClientError, Connection};

/// The body of a request.
pub(crate) enum Body {
    /// None.
    Empty,
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// The rest of a regular file, whose length is known.
    File(File, u64),
    /// Anything else, sent in chunks.
    Stream(Box<dyn Read>),
}

impl Body {
    /// Whether it can be sent twice.
    pub(super) fn is_replayable(&self) -> bool {
        matches!(self, Self::Empty | Self::Bytes(_))
    }
}

/// A request to be sent.
pub(crate) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// Whether `/v1.NN` is put before the path.
    pub(super) versioned: bool,
    pub(super) body: Body,
    headers: String,
}

impl Request {
    /// A request without a body.
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            versioned: true,
            body: Body::Empty,
            headers: String::new(),
        }
    }

    /// The same request once more, if sending it twice does no harm.
    pub(super) fn replay(&self) -> Option<Self> {
        let harmless = matches!(self.method, "GET" | "HEAD") && matches!(self.body, Body::Empty);
        if harmless { self.copy() } else { None }
    }

    /// The same request once more, unless its body is a stream. Sending both is the caller's risk.
    pub(super) fn copy(&self) -> Option<Self> {
        let body = match &self.body {
            Body::Empty => Body::Empty,
            Body::Bytes(bytes) => Body::Bytes(bytes.clone()),
            _ => return None,
        };
        let (path, headers) = (self.path.clone(), self.headers.clone());
        Some(Self { method: self.method, path, versioned: self.versioned, body, headers })
    }

    /// Leaves the version out of the path.
    #[must_use]
    pub(crate) fn unversioned(mut self) -> Self {
        self.versioned = false;
        self
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.headers, "{name}: {value}\r\n");
        self
    }

    /// Asks for a raw stream instead of an answer.
    #[must_use]
    pub(crate) fn upgrade(self) -> Self {
        self.header("Connection", "Upgrade").header("Upgrade", "tcp")
    }

    /// Sets a JSON body.
    pub(crate) fn json(mut self, body: &impl serde::Serialize) -> Result<Self, ClientError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| ClientError::Protocol(format!("encode request: {error}")))?;
        self.body = Body::Bytes(bytes);
        Ok(self.header("Content-Type", "application/json"))
    }

    /// Sets a body of another kind.
    #[must_use]
    pub(crate) fn body(mut self, content_type: &str, body: Body) -> Self {
        self.body = body;
        self.header("Content-Type", content_type)
    }

    /// Sends the whole request.
    pub(super) fn write(
        &mut self,
        connection: &mut Connection,
        host: &str,
        extra: &[(String, String)],
    ) -> io::Result<()> {
        let mut message = self.head(host, extra).into_bytes();
        match &mut self.body {
            Body::Empty => {}
            // One write for head and body: one packet, one wake-up of the daemon.
            Body::Bytes(bytes) => message.extend_from_slice(bytes),
            Body::File(file, _) => {
                connection.write_all(&message)?;
                connection.transport.send_file(file)?;
                return connection.flush();
            }
            Body::Stream(stream) => {
                connection.write_all(&message)?;
                return write_chunks(connection, stream);
            }
        }
        connection.write_all(&message)?;
        connection.flush()
    }

    fn head(&self, host: &str, extra: &[(String, String)]) -> String {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Docker-Client/skiff-{} (linux)\r\n{}",
            self.method,
            self.path,
            env!("CARGO_PKG_VERSION"),
            self.headers
        );
        for (name, value) in extra {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = match &self.body {
            Body::Empty if self.method == "POST" || self.method == "PUT" => {
                write!(head, "Content-Length: 0\r\n")
            }
            Body::Empty => Ok(()),
            Body::Bytes(bytes) => write!(head, "Content-Length: {}\r\n", bytes.len()),
            Body::File(_, length) => write!(head, "Content-Length: {length}\r\n"),
            Body::Stream(_) => write!(head, "Transfer-Encoding: chunked\r\n"),
        };
        head.push_str("\r\n");
        head
    }
}

fn write_chunks(connection: &mut Connection, stream: &mut dyn Read) -> io::Result<()> {
    const CHUNK: usize = 256 * 1024;
    // Room for the length before the data lets a chunk leave in one write.
    const PREFIX: usize = 10;
    let mut buffer = vec![0; PREFIX + CHUNK + 2];
    loop {
        let count = match stream.read(&mut buffer[PREFIX..PREFIX + CHUNK]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if count == 0 {
            connection.write_all(b"0\r\n\r\n")?;
            return connection.flush();
        }
        let length = format!("{count:x}\r\n");
        let start = PREFIX - length.len();
        buffer[start..PREFIX].copy_from_slice(length.as_bytes());
        buffer[PREFIX + count..PREFIX + count + 2].copy_from_slice(b"\r\n");
        connection.write_all(&buffer[start..PREFIX + count + 2])?;
    }
}
