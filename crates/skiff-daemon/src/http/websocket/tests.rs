//! The handshake, and a client on one side with a container's stream on the other.

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

const GOOD: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn the_example_of_the_rfc_is_answered() {
    let shaken = handshake(&headers(&GOOD)).unwrap();
    assert_eq!(shaken.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn what_is_no_handshake_is_refused_in_plain_text() {
    for (index, text) in [
        "not websocket protocol",
        "not websocket protocol",
        "missing or bad WebSocket Version",
        "mismatch challenge/response",
    ]
    .into_iter()
    .enumerate()
    {
        let mut pairs = GOOD.to_vec();
        pairs.remove(index);
        let failure = handshake(&headers(&pairs)).unwrap_err();
        assert_eq!((failure.status, failure.message.as_str()), (StatusCode::BAD_REQUEST, text));
        assert!(failure.plain);
    }
}

/// A masked frame whose mask is nothing.
fn from_client(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame::encode(opcode, payload);
    frame[1] |= 0x80;
    frame.splice(2..2, [0; 4]);
    frame
}

/// A client's end and a container's end.
fn bridged(kind: Opcode) -> (tokio::io::DuplexStream, UnixStream) {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (ours, theirs) = UnixStream::pair().unwrap();
    tokio::spawn(bridge(server, ours, kind));
    (client, theirs)
}

async fn expect<R: AsyncRead + Unpin>(from: &mut R, bytes: &[u8]) {
    let mut found = vec![0; bytes.len()];
    from.read_exact(&mut found).await.unwrap();
    assert_eq!(found, bytes);
}

#[tokio::test]
async fn payload_becomes_input_and_output_becomes_frames() {
    let (mut client, mut container) = bridged(Opcode::Binary);
    client.write_all(&from_client(Opcode::Text, b"in")).await.unwrap();
    expect(&mut container, b"in").await;
    container.write_all(b"out").await.unwrap();
    expect(&mut client, b"\x82\x03out").await;
    client.write_all(&from_client(Opcode::Ping, b"?")).await.unwrap();
    expect(&mut client, b"\x8a\x01?").await;
}

#[tokio::test]
async fn the_end_of_the_output_closes_and_waits_for_the_answer() {
    let (mut client, mut container) = bridged(Opcode::Text);
    container.write_all(b"last").await.unwrap();
    drop(container);
    expect(&mut client, b"\x81\x04last\x88\x02\x03\xe8").await;
    client.write_all(&from_client(Opcode::Close, b"\x03\xe8")).await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\x88\x02\x03\xe8");
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_ends_the_stream() {
    let (mut client, mut container) = bridged(Opcode::Binary);
    client.write_all(&from_client(Opcode::Close, b"\x03\xe9")).await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\x88\x02\x03\xe9");
    assert_eq!(container.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_so() {
    let (mut client, mut container) = bridged(Opcode::Binary);
    client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"\x88\x02\x03\xea");
    assert_eq!(container.read(&mut [0; 8]).await.unwrap(), 0);
}
