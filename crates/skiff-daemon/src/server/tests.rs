//! Hostile and odd bytes against a real socket, and the answers that need no engine.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::flags::Given;
use crate::reload::Reloadable;

/// A server on a socket of its own; its engine is never opened.
struct Fixture {
    path: PathBuf,
}

impl Fixture {
    fn with_limit(name: &str, limit: usize) -> Fixture {
        let path =
            std::env::temp_dir().join(format!("skiff-daemon-{}-{name}.sock", std::process::id()));
        drop(std::fs::remove_file(&path));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let settings = crate::settings::defaults();
        let reloadable = Arc::new(Reloadable::new(Given::default(), &settings));
        let server = Server::new(Arc::new(Api::new(reloadable)), None, limit);
        tokio::spawn(server.accept(Socket::Unix(listener)));
        Fixture { path }
    }

    fn new(name: &str) -> Fixture {
        Fixture::with_limit(name, MAX_CONNECTIONS)
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close while we still send.
        drop(stream.write_all(bytes).await);
        let mut answer = Vec::new();
        let closed = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        drop(closed.unwrap_or_else(|_| panic!("{shown:?} was left open after {answer:?}")));
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A well-formed request on a connection that is closed afterwards.
    async fn ask(&self, line: &str, headers: &str) -> String {
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        self.exchange(request.as_bytes()).await
    }

    async fn is_alive(&self) -> bool {
        self.ask("GET /_ping", "").await.ends_with("\r\n\r\nOK")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

#[tokio::test]
async fn ping_answers_without_an_engine_and_has_docker_s_headers() {
    let fixture = Fixture::new("ping");
    let answer = fixture.ask("GET /_ping", "").await;
    for header in [
        "HTTP/1.1 200 OK\r\n",
        "\r\nApi-Version: 1.56\r\n",
        "\r\nBuilder-Version: 1\r\n",
        "\r\nDocker-Experimental: false\r\n",
        "\r\nOstype: linux\r\n",
        "\r\nSwarm: inactive\r\n",
        "\r\nCache-Control: no-cache, no-store, must-revalidate\r\n",
        "\r\nContent-Type: text/plain; charset=utf-8\r\n",
        "\r\nServer: Skiff/",
    ] {
        assert!(answer.contains(header), "{header:?} in {answer}");
    }
    assert!(answer.ends_with("\r\n\r\nOK"));
    let head = fixture.ask("HEAD /v1.24/_ping", "").await;
    assert!(head.contains("Api-Version: 1.56") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn refusals_are_those_of_docker() {
    let fixture = Fixture::new("refusals");
    for (line, status, body) in [
        ("POST /_ping", "404 Not Found", "{\"message\":\"page not found\"}\n"),
        ("GET /v1.2.3/info", "404 Not Found", "{\"message\":\"page not found\"}\n"),
        ("GET /%zz", "404 Not Found", "{\"message\":\"page not found\"}\n"),
        (
            "GET /v9.99/_ping",
            "400 Bad Request",
            "{\"message\":\"client version 9.99 is too new. Maximum supported API version is \
             1.56\"}\n",
        ),
        (
            "GET /v0.1/_ping",
            "400 Bad Request",
            "client version 0.1 is too old. Minimum supported API version is 1.24, please upgrade \
             your client to a newer version\n",
        ),
        ("GET //_ping", "301 Moved Permanently", ""),
        ("GET /../../etc/passwd", "301 Moved Permanently", ""),
    ] {
        let answer = fixture.ask(line, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{line}: {answer}");
    }
    let moved = fixture.ask("GET /a//b?x=1", "").await;
    assert!(moved.contains("\r\nLocation: /a/b?x=1\r\n"), "{moved}");
}

#[tokio::test]
async fn garbage_is_refused_and_the_server_goes_on() {
    let fixture = Fixture::new("garbage");
    let long_header =
        format!("GET /_ping HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(80_000));
    let long_path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(2 << 20));
    let many = format!("GET /_ping HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(500));
    for (bytes, statuses) in [
        (&b"\x00\x01\x02\x03\xff\r\n\r\n"[..], &["400"][..]),
        (b"GET /_ping\r\n\r\n", &["400"]),
        (b"GET /_ping HTTP/9.9\r\n\r\n", &["400", "505"]),
        (b"GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n", &["400"]),
        (b"GET /a\rb HTTP/1.1\r\nHost: x\r\n\r\n", &["400"]),
        (b"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", &["400"]),
        (
            b"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            &["400"],
        ),
        (b"POST /_ping HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", &["400", "501"]),
        (b"GET /_ping HTTP/1.1\r\nHost : x\r\n\r\n", &["400"]),
        (b"GET /_ping HTTP/1.1\r\nHo\x00st: x\r\n\r\n", &["400"]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &["400", "505", ""]),
        (long_header.as_bytes(), &["431", ""]),
        (long_path.as_bytes(), &["414", "431", ""]),
        (many.as_bytes(), &["431"]),
    ] {
        let answer = fixture.exchange(bytes).await;
        let status = answer.strip_prefix("HTTP/1.1 ").map_or("", |rest| &rest[..3]);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
        assert!(statuses.contains(&status), "{shown:?}: {answer}");
        assert!(fixture.is_alive().await, "{shown:?}");
    }
}

#[tokio::test]
async fn a_body_with_both_lengths_cannot_smuggle_a_request() {
    let fixture = Fixture::new("smuggle");
    let smuggled = b"POST /_ping HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\
        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v9.99/_ping HTTP/1.1\r\nHost: x\r\n\r\n";
    let answer = fixture.exchange(smuggled).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let fixture = Fixture::new("pipeline");
    let request = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /nope?a=%20 HTTP/1.0\r\n\r\n".replace("/nope", "/%zz");
    let answer = fixture.exchange(format!("{}{last}", request.repeat(3)).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    assert!(answer.contains("404 Not Found"), "{answer}");
}

#[tokio::test]
async fn one_connection_too_many_closes_the_oldest_idle_one() {
    let fixture = Fixture::with_limit("limit", 2);
    let mut first = fixture.connect().await;
    let mut second = fixture.connect().await;
    for stream in [&mut first, &mut second] {
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
    }
    let mut third = fixture.connect().await;
    third.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    timeout(Duration::from_secs(10), first.read_to_end(&mut rest)).await.unwrap().unwrap();
    let mut some = [0; 16];
    third.read_exact(&mut some).await.unwrap();
    assert_eq!(&some, b"HTTP/1.1 200 OK\r");
}

#[tokio::test]
async fn requests_wait_for_the_engine_while_ping_answers() {
    let fixture = Fixture::new("waiting");
    let mut waiting = fixture.connect().await;
    waiting.write_all(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(fixture.is_alive().await);
    let mut byte = [0];
    let answered = timeout(Duration::from_millis(50), waiting.read(&mut byte)).await;
    assert!(answered.is_err(), "{answered:?}");
}
