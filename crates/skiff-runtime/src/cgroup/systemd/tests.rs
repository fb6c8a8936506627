//! The conversation with systemd, against a thread that plays it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use super::message::{ERROR, FIXED_HEADER, METHOD_RETURN, Message, SIGNAL, message_length};
use super::*;

/// What the other side does about one call.
enum Answer {
    Return(Vec<u8>),
    Refuse(&'static str),
    /// A signal, before or after the answers.
    Signal(&'static str, Vec<u8>),
}

fn strings(texts: &[&str]) -> Vec<u8> {
    let mut writer = Writer::default();
    texts.iter().for_each(|text| writer.string(text));
    writer.into_bytes()
}

fn job_removed(job: &str, unit: &str, result: &str) -> Answer {
    let mut writer = Writer::default();
    writer.u32(5);
    [job, unit, result].iter().for_each(|text| writer.string(text));
    Answer::Signal("JobRemoved", writer.into_bytes())
}

fn message(kind: u8, fields: &[(u8, &str, &str)], reply_to: u32, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.raw(&[b'l', kind, 0, 1]);
    writer.u32(body.len() as u32);
    writer.u32(99);
    writer.array(8, |array| {
        if kind != SIGNAL {
            array.structure();
            array.raw(&[5]);
            array.signature("u");
            array.u32(reply_to);
        }
        for (code, kind, text) in fields {
            array.structure();
            array.raw(&[*code]);
            array.signature(kind);
            array.string(text);
        }
    });
    writer.structure();
    writer.raw(body);
    writer.into_bytes()
}

/// Plays systemd: for each call the answers in turn. Returns the calls it got.
fn systemd(script: Vec<Vec<Answer>>) -> (Connection, JoinHandle<Vec<Message>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\nBEGIN\r\n") {
            let mut byte = [0];
            theirs.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        assert!(line.starts_with(b"\0AUTH EXTERNAL 3"), "{line:?}");
        theirs.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n").unwrap();
        script.into_iter().map(|answers| answer(&mut theirs, answers)).collect()
    });
    (Connection::authenticate(ours).unwrap(), thread)
}

fn answer(stream: &mut UnixStream, answers: Vec<Answer>) -> Message {
    let mut header = [0; FIXED_HEADER];
    stream.read_exact(&mut header).unwrap();
    let mut bytes = header.to_vec();
    bytes.resize(message_length(&header).unwrap(), 0);
    stream.read_exact(&mut bytes[FIXED_HEADER..]).unwrap();
    let serial = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
    for answer in answers {
        let reply = match answer {
            Answer::Return(body) => message(METHOD_RETURN, &[], serial, &body),
            Answer::Refuse(name) => message(ERROR, &[(4, "s", name)], serial, &strings(&["no"])),
            Answer::Signal(member, body) => message(SIGNAL, &[(3, "s", member)], 0, &body),
        };
        stream.write_all(&reply).unwrap();
    }
    Message::parse(&bytes).unwrap()
}

#[test]
fn starting_waits_for_the_job_of_this_unit() {
    let (mut connection, thread) = systemd(vec![vec![
        job_removed("/job/1", "other.scope", "failed"),
        job_removed("/job/2", "a.scope", "done"),
        Answer::Return(strings(&["/job/2"])),
    ]]);
    start(&mut connection, "a.scope", &properties::of_scope("x", "system.slice", 1)).unwrap();
    let calls = thread.join().unwrap();
    assert_eq!(calls[0].member, "StartTransientUnit");
    let mut reader = Reader::new(&calls[0].body);
    assert_eq!((reader.string(), reader.string()), (Some("a.scope"), Some("fail")));
}

#[test]
fn a_failed_job_is_an_error() {
    let (mut connection, thread) = systemd(vec![vec![
        Answer::Return(strings(&["/job/2"])),
        job_removed("/job/2", "a.scope", "failed"),
    ]]);
    let error = start(&mut connection, "a.scope", &[]).unwrap_err();
    assert_eq!(error.to_string(), "systemd refused to start a.scope: job: failed");
    thread.join().unwrap();
}

#[test]
fn a_refusal_names_the_error() {
    let (mut connection, thread) =
        systemd(vec![vec![Answer::Refuse("org.freedesktop.systemd1.UnitExists")]]);
    let error = start(&mut connection, "a.scope", &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "systemd refused to StartTransientUnit: org.freedesktop.systemd1.UnitExists: no"
    );
    thread.join().unwrap();
}

#[test]
fn a_closed_connection_is_an_error() {
    let (mut connection, thread) = systemd(Vec::new());
    thread.join().unwrap();
    assert!(start(&mut connection, "a.scope", &[]).is_err());
}

#[test]
fn scopes_are_named_as_by_runc() {
    let parse = |path: &str| Scope::parse(path, "id").map(|s| s.path().display().to_string());
    for (path, expect) in [
        ("system.slice:docker:abc", "system.slice/docker-abc.scope"),
        (":docker:abc", "system.slice/docker-abc.scope"),
        ("-.slice::abc", "abc.scope"),
        ("a-b-c.slice:x:y", "a.slice/a-b.slice/a-b-c.slice/x-y.scope"),
        ("", "system.slice/skiff-id.scope"),
    ] {
        assert_eq!(parse(path).unwrap(), expect, "{path}");
    }
    for bad in [
        "/docker/abc",
        "a:b",
        "a:b:c",
        "a--b.slice:x:y",
        "system.slice:x:",
        "../a.slice:x:y",
        "system.slice:x:a/b",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
