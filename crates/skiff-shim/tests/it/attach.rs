//! Clients attached to a container.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use skiff_shim::protocol::{Answer, AttachRequest, Event, LogTarget, Op};

use crate::harness::{Engine, client, demultiplex, eventually, read_all, read_until, wishes};

#[test]
fn a_multiplexed_client_gets_both_streams_in_frames() {
    let engine = Engine::start();
    let mut request = engine.request("echo out; echo err >&2");
    request.attach = vec![AttachRequest { multiplexed: true, ..wishes(1) }];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    assert_eq!(demultiplex(&read_all(&own)), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(container.wait().exit_code, 0);
}

/// docker-py reads the answer's head through a buffer and the stream past it: output that came
/// with the head was lost to it whenever the machine was busy.
#[test]
fn output_does_not_join_what_the_daemon_answered() {
    let engine = Engine::start();
    let mut request = engine.request("echo out");
    request.attach = vec![wishes(1)];
    let (own, given) = client();
    (&given).write_all(b"head").unwrap();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    // All there was to say has been said, and waits.
    assert_eq!(container.wait().exit_code, 0);
    let mut buffer = [0; 4096];
    assert_eq!((&own).read(&mut buffer).unwrap(), 4);
    assert_eq!(read_all(&own), b"out\n");
}

#[test]
fn a_client_gets_only_the_stream_it_asked_for() {
    let engine = Engine::start();
    let mut request = engine.request("echo out; echo err >&2");
    request.attach = vec![AttachRequest { stdout: false, ..wishes(1) }];
    let (own, given) = client();
    engine.launch(request, &[&given]);
    drop(given);
    assert_eq!(read_all(&own), b"err\n");
}

#[test]
fn input_reaches_the_process_and_its_end_does_too() {
    let engine = Engine::start();
    let mut request = engine.request("cat; echo end");
    (request.open_stdin, request.stdin_once) = (true, true);
    let early = b"early ".to_vec();
    request.attach = vec![AttachRequest { stdin: true, early_input: early, ..wishes(1) }];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    (&own).write_all(b"late\n").unwrap();
    own.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&own), b"early late\nend\n");
    assert_eq!(container.wait().exit_code, 0);
}

#[test]
fn much_input_comes_back_whole() {
    let engine = Engine::start();
    let mut request = engine.request("cat");
    (request.open_stdin, request.stdin_once) = (true, true);
    request.log = LogTarget::None;
    request.attach = vec![AttachRequest { stdin: true, ..wishes(1) }];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    let sent: Vec<u8> = (0..8_000_000u32).map(|number| (number / 7) as u8).collect();
    let copy = sent.clone();
    let mut writer = own.try_clone().unwrap();
    let typist = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(read_all(&own) == sent);
    typist.join().unwrap();
    assert_eq!(container.wait().exit_code, 0);
}

#[test]
fn open_input_survives_its_clients() {
    let engine = Engine::start();
    let mut request = engine.request("cat");
    request.open_stdin = true;
    let mut container = engine.launch(request, &[]);
    for number in 1..=2 {
        let (own, given) = client();
        let attach = AttachRequest { stdin: true, ..wishes(number) };
        assert!(matches!(container.call(Op::Attach(attach), &[given.as_fd()]), Answer::Done));
        drop(given);
        (&own).write_all(b"hello\n").unwrap();
        read_until(&own, "hello\n");
        own.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&own), b"");
        let ended = Event::AttachEnded { client: number, detached: false };
        assert_eq!(format!("{:?}", container.event().unwrap()), format!("{ended:?}"));
    }
    container.finish();
}

#[test]
fn detach_keys_end_the_client_and_not_the_container() {
    let engine = Engine::start();
    let mut request = engine.request("stty -echo; while read line; do echo got $line; done");
    (request.tty, request.open_stdin) = (true, true);
    request.attach = vec![AttachRequest { stdin: true, detach_keys: vec![16, 17], ..wishes(7) }];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    (&own).write_all(b"one\n").unwrap();
    read_until(&own, "got one");
    (&own).write_all(b"two\x10").unwrap();
    (&own).write_all(b"\x11dropped").unwrap();
    read_all(&own);
    let Some(Event::AttachEnded { client: 7, detached: true }) = container.event() else {
        panic!("not detached")
    };
    assert!(matches!(container.signal(0), Answer::Done));
    container.finish();
}

#[test]
fn a_slow_reader_makes_the_container_wait_and_loses_nothing() {
    let engine = Engine::start();
    let mut request = engine.request("head -c 30000000 /dev/zero; echo done >&2");
    request.log = LogTarget::None;
    request.attach = vec![
        AttachRequest { stderr: false, ..wishes(1) },
        AttachRequest { stdout: false, ..wishes(2) },
    ];
    let (slow, slow_given) = client();
    let (other, other_given) = client();
    let mut container = engine.launch(request, &[&slow_given, &other_given]);
    drop((slow_given, other_given));
    let mut first = [0; 1000];
    (&slow).read_exact(&mut first).unwrap();
    // The container is stuck in a write: all the while it has not come to its second command.
    eventually("the container waits", || {
        std::fs::read_to_string(format!("/proc/{}/stack", container.pid)).is_ok()
    });
    other.set_nonblocking(true).unwrap();
    assert!((&other).read(&mut [0; 16]).is_err());
    other.set_nonblocking(false).unwrap();
    assert_eq!(read_all(&slow).len() + 1000, 30_000_000);
    assert_eq!(read_all(&other), b"done\n");
    assert_eq!(container.wait().exit_code, 0);
}

#[test]
fn a_reader_that_goes_away_sets_the_container_free() {
    let engine = Engine::start();
    let mut request = engine.request("head -c 30000000 /dev/zero");
    request.log = LogTarget::None;
    request.attach = vec![wishes(3)];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    (&own).read_exact(&mut [0; 1000]).unwrap();
    drop(own);
    let Some(Event::AttachEnded { client: 3, detached: false }) = container.event() else {
        panic!("the client is not gone")
    };
    assert_eq!(container.wait().exit_code, 0);
}

/// A container could be started again only two seconds after its end if somebody kept a connection
/// open that had nothing more to say.
#[test]
fn a_client_that_stays_does_not_keep_the_monitor() {
    let engine = Engine::start();
    let mut request = engine.request("yes | head -c 300000");
    request.open_stdin = true;
    request.attach = vec![AttachRequest { stdin: true, ..wishes(1) }];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    (&own).write_all(b"nobody reads this").unwrap();
    let begun = Instant::now();
    // All of it and an end, not a reset, though our input was not read and we do not close.
    assert_eq!(read_all(&own).len(), 300_000);
    container.last_words();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[test]
fn a_tcp_client_is_as_good() {
    let engine = Engine::start();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let given = listener.accept().unwrap().0;
    let mut request = engine.request("cat");
    (request.open_stdin, request.stdin_once) = (true, true);
    let mut container = engine.launch(request, &[]);
    let attach = AttachRequest { stdin: true, ..wishes(1) };
    assert!(matches!(container.call(Op::Attach(attach), &[given.as_fd()]), Answer::Done));
    drop(given);
    (&own).write_all(b"over tcp\n").unwrap();
    own.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    (&own).read_to_end(&mut got).unwrap();
    assert_eq!(got, b"over tcp\n");
    assert_eq!(container.wait().exit_code, 0);
}

#[test]
fn a_terminal_has_the_size_it_is_given() {
    let engine = Engine::start();
    let mut request = engine.request("read x; stty size");
    (request.tty, request.open_stdin) = (true, true);
    request.attach = vec![AttachRequest { stdin: true, ..wishes(1) }];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    let resize = Op::Resize { exec: None, width: 123, height: 45 };
    assert!(matches!(container.call(resize, &[]), Answer::Done));
    (&own).write_all(b"\n").unwrap();
    let text = String::from_utf8(read_all(&own)).unwrap();
    assert!(text.contains("45 123\r\n"), "{text:?}");
    assert_eq!(container.wait().exit_code, 0);
}

#[test]
fn reopening_the_log_detaches_everybody() {
    let engine = Engine::start();
    let mut request = engine.request("exec sleep 1000");
    request.attach = vec![wishes(9)];
    let (own, given) = client();
    let mut container = engine.launch(request, &[&given]);
    drop(given);
    std::fs::remove_file(container.run_dir.join("log")).unwrap();
    assert!(matches!(container.call(Op::ReopenLog, &[]), Answer::Done));
    assert_eq!(read_all(&own), b"");
    assert!(container.run_dir.join("log").exists());
    container.finish();
}
