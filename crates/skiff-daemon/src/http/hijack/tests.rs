//! Taking connections over, from real sockets: with and without an upgrade, bare and not.

use std::convert::Infallible;
use std::os::unix::net::UnixStream as Blocking;
use std::sync::{Arc, Mutex};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use super::*;

/// What the "engine" was given.
type Given = Arc<Mutex<Vec<Vec<u8>>>>;

/// Serves one connection, whose stream is echoed after a greeting until it ends.
fn serve<S>(stream: S, given: Given)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let given = given.clone();
        async move {
            let answer = hijack(request, ApiVersion::MAX, false, move |socket, early| async move {
                let mut stream = UnixStream::from_std(Blocking::from(socket)).unwrap();
                stream.write_all(b"hello ").await.unwrap();
                stream.write_all(&early).await.unwrap();
                given.lock().unwrap().push(early);
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await.unwrap();
                Ok(())
            });
            Ok::<_, Infallible>(answer.unwrap_or_else(answer::failure))
        }
    });
    let connection =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::spawn(async move { drop(connection.await) });
}

const UPGRADE_REQUEST: &[u8] = b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
    Upgrade: tcp\r\nContent-Length: 0\r\n\r\n";

/// Reads until the end of the head; returns it and what came behind it.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed in the head");
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(at + 4);
            return (String::from_utf8(bytes).unwrap(), body);
        }
    }
}

async fn upgrade_and_echo<S: AsyncRead + AsyncWrite + Unpin>(mut client: S) {
    // Some of the input comes with the request, as an impatient client sends it.
    client.write_all(&[UPGRADE_REQUEST, b"early "].concat()).await.unwrap();
    let (head, mut body) = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(lower.contains("\r\nupgrade: tcp\r\n"), "{head}");
    assert!(lower.contains("application/vnd.docker.multiplexed-stream"), "{head}");
    client.write_all(b"late").await.unwrap();
    client.shutdown().await.unwrap();
    client.read_to_end(&mut body).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&body), "hello early late");
}

#[tokio::test]
async fn a_unix_socket_itself_is_given_away_with_its_early_bytes() {
    let (client, server) = UnixStream::pair().unwrap();
    let given = Given::default();
    serve(server, given.clone());
    upgrade_and_echo(client).await;
    assert_eq!(given.lock().unwrap().as_slice(), [b"early "]);
}

#[tokio::test]
async fn a_stream_without_a_socket_is_pumped() {
    // Stands for TLS: there is no descriptor that carries the plain bytes.
    let (client, server): (DuplexStream, DuplexStream) = tokio::io::duplex(4096);
    let given = Given::default();
    serve(server, given.clone());
    upgrade_and_echo(client).await;
    assert_eq!(given.lock().unwrap().as_slice(), [b""]);
}

#[tokio::test]
async fn a_client_without_upgrade_reads_a_body_to_its_end() {
    let (mut client, server) = UnixStream::pair().unwrap();
    serve(server, Given::default());
    let request = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\ninput\r\n0\r\n\r\n";
    client.write_all(request).await.unwrap();
    let (head, mut body) = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("application/vnd.docker.raw-stream"), "{head}");
    client.read_to_end(&mut body).await.unwrap();
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("hello ") && text.contains("input"), "{text}");
    assert!(text.ends_with("0\r\n\r\n"), "{text}");
}
