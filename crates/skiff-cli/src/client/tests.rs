//! The client against a small server that plays back prepared answers.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use super::*;

/// A server that answers connection after connection, request after request.
struct Server {
    path: PathBuf,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Server {
    /// `answers[i]` are the answers on the i-th connection.
    fn new(answers: Vec<Vec<&'static str>>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("skiff-cli-{}-{number}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for connection in answers {
                let (mut stream, _) = listener.accept().unwrap();
                for answer in connection {
                    requests.push(read_request(&mut stream));
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
            requests
        });
        Self { path, thread: Some(thread) }
    }

    fn client(&self, version: Option<(u32, u32)>) -> Client {
        Client::new(Endpoint::Unix(self.path.clone()), version, Vec::new(), "skiff")
    }

    /// What was asked.
    fn requests(mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Reads a head and its body, chunked or not.
fn read_request(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).unwrap();
    let mut body = Vec::new();
    if head.contains("chunked") {
        while !body.ends_with(b"0\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            body.push(byte[0]);
        }
    } else if let Some(line) = head.lines().find(|line| line.starts_with("Content-Length")) {
        let length = line.split(": ").nth(1).unwrap().parse().unwrap();
        body.resize(length, 0);
        stream.read_exact(&mut body).unwrap();
    }
    head + &String::from_utf8_lossy(&body)
}

fn lines(requests: &[String]) -> Vec<&str> {
    requests.iter().map(|request| request.lines().next().unwrap()).collect()
}

#[test]
fn a_connection_is_used_again_and_the_version_negotiated_when_it_is_too_new() {
    let server = Server::new(vec![vec![
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\n{\"message\":\"x\"}",
        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2;x=y\r\n2]\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue",
    ]]);
    let mut client = server.client(None);
    assert_eq!(client.get_json::<Vec<u32>>("/list").unwrap(), [1, 2]);
    client.delete("/x").unwrap().finish().unwrap();
    assert!(client.get_json::<bool>("/true").unwrap());
    assert_eq!(
        lines(&server.requests()),
        [
            "GET /v1.56/list HTTP/1.1",
            "HEAD /_ping HTTP/1.1",
            "GET /v1.41/list HTTP/1.1",
            "DELETE /v1.41/x HTTP/1.1",
            "GET /v1.41/true HTTP/1.1"
        ]
    );
}

#[test]
fn a_daemon_as_new_as_we_are_is_asked_nothing_first() {
    let answer = "HTTP/1.1 200 OK\r\nApi-Version: 1.56\r\nContent-Length: 4\r\n\r\ntrue";
    let server = Server::new(vec![vec![answer]]);
    let mut client = server.client(None);
    assert!(client.get_json::<bool>("/a").unwrap());
    assert_eq!(client.version().unwrap(), (1, 56));
    assert_eq!(lines(&server.requests()), ["GET /v1.56/a HTTP/1.1"]);
}

#[test]
fn errors_carry_the_daemons_words() {
    let server = Server::new(vec![vec![
        "HTTP/1.1 404 Not Found\r\nContent-Length: 31\r\n\r\n{\"message\":\"No such image: x\"}\n",
        "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nplain",
    ]]);
    let mut client = server.client(Some((1, 50)));
    let error = client.get("/x").err().unwrap();
    assert_eq!(error.to_string(), "Error response from daemon: No such image: x");
    assert!(error.is_not_found());
    let error = client.get("/y").err().unwrap();
    assert_eq!(error.to_string(), "Error response from daemon: plain");
    drop(server.requests());
}

#[test]
fn an_idle_connection_that_was_closed_is_replaced() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue";
    let server = Server::new(vec![vec![answer], vec![answer]]);
    let mut client = server.client(Some((1, 50)));
    assert!(client.get_json::<bool>("/a").unwrap());
    assert!(client.get_json::<bool>("/b").unwrap());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn two_requests_can_be_under_way() {
    let server = Server::new(vec![
        vec!["HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly"],
        vec!["HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"StatusCode\":3}"],
    ]);
    let mut client = server.client(Some((1, 50)));
    let attach = client.send(Request::new("POST", "/attach").upgrade()).unwrap();
    let wait = client.send(Request::new("POST", "/wait")).unwrap();
    let stream = attach.upgraded().unwrap();
    assert_eq!(stream.connection.buffered(), b"early");
    let status: skiff_api::WaitResponse = wait.answer().unwrap().json().unwrap();
    assert_eq!(status.status_code, 3);
    let requests = server.requests();
    assert!(
        requests[0].contains("Upgrade: tcp\r\n") && requests[0].contains("Connection: Upgrade")
    );
}

#[test]
fn streams_are_sent_in_chunks() {
    let server = Server::new(vec![vec!["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]]);
    let mut client = server.client(Some((1, 50)));
    let body = Body::Stream(Box::new(&b"hello"[..]));
    client.call(Request::new("POST", "/load").body("application/x-tar", body)).unwrap();
    let requests = server.requests();
    assert!(requests[0].ends_with("5\r\nhello\r\n0\r\n\r\n"), "{requests:?}");
}

#[test]
fn a_cut_answer_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ntrue",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ntrue",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ntrue",
        "HTTP/1.1 200",
        "garbage\r\n\r\n",
    ] {
        let server = Server::new(vec![vec![answer]]);
        let mut client = server.client(Some((1, 50)));
        assert!(client.get_json::<bool>("/x").is_err(), "{answer}");
        drop(server.requests());
    }
}

#[test]
fn nobody_listening_is_told_from_not_being_allowed() {
    let endpoint = Endpoint::Unix("/nonexistent/skiff.sock".into());
    let client = Client::new(endpoint, None, Vec::new(), "docker");
    let error = client.connect().err().unwrap();
    assert_eq!(
        error.to_string(),
        "Cannot connect to the Docker daemon at unix:///nonexistent/skiff.sock. Is the docker \
         daemon running?"
    );
    assert!(matches!(error, ClientError::Unreachable { nobody_listens: true, .. }));
}

#[test]
fn the_items_of_a_list_are_handed_out_however_the_list_comes() {
    let read = |answer: &'static str| {
        let server = Server::new(vec![vec![answer]]);
        let mut client = server.client(Some((1, 50)));
        let mut items = Vec::new();
        let taken = client.get("/x").unwrap().each(|item: String| {
            items.push(item);
            Ok::<_, ()>(())
        });
        drop(server.requests());
        (taken.is_ok(), items.join(" "))
    };
    let good = |text: &str| (true, text.to_owned());
    let lines = "Skiff-Lines: 1\r\n";
    for (head, body, expected) in [
        ("", "[\"a\",\n \"b,]\"]", good("a b,]")),
        ("", "[\"a\",\"b\"]\n", good("a b")),
        ("", "[]\n", good("")),
        ("", "null\n", good("")),
        ("", "{}", (false, String::new())),
        (lines, "[\"a\",\n\"b\",\n\"[c,\"]\n", good("a b [c,")),
        (lines, "[\"a\"]\n", good("a")),
        // Neither what was announced, nor whole.
        (lines, "[\"a\",\nb]\n", (false, "a".to_owned())),
        (lines, "[\"a\",\n\"b\",\n", (false, "a b".to_owned())),
        (lines, "[\"a\",\n\n", (false, "a".to_owned())),
        (lines, "", (false, String::new())),
    ] {
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {length}\r\n\r\n{body}");
        assert_eq!(read(answer.clone().leak()), expected, "{answer}");
    }
    let chunked = "HTTP/1.1 200 OK\r\nSkiff-Lines: 1\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\n[\"a\r\n6\r\na\",\n\"b\r\n4\r\n\",\n\"\r\n4\r\nc\"]\n\r\n0\r\n\r\n";
    assert_eq!(read(chunked), good("aa b c"));
}
