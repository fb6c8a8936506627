//! Starting, ending, and daemons that come and go.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use skiff_model::oci::{Memory, NamespaceKind};
use skiff_shim::client::{connect_monitor, ensure_keeper, read_exit_record, stop_keeper};
use skiff_shim::protocol::{Answer, Event, Op, Request};

use crate::harness::{Container, Engine, client, eventually, read_until, wishes};

#[test]
fn the_end_is_recorded_told_and_cleared_away_in_that_order() {
    let engine = Engine::start();
    let mut container = engine.run("exit 42");
    let record = container.wait();
    assert_eq!(record.exit_code, 42);
    assert_eq!(read_exit_record(&container.run_dir).unwrap(), Some(record));
    assert!(matches!(container.last_words()[..], [Event::Released]));
    assert!(connect_monitor(&container.run_dir).is_err());
}

#[test]
fn a_signal_is_a_code_above_128() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    assert!(matches!(container.signal(9), Answer::Done));
    assert_eq!(container.wait().exit_code, 137);
}

#[test]
fn running_out_of_memory_is_told_and_recorded() {
    let engine = Engine::start();
    let mut request = engine.request("exec cat /dev/zero | tail");
    let limit = Some(16 << 20);
    let resources = request.launch.spec.linux.as_mut().unwrap().resources.get_or_insert_default();
    resources.memory = Some(Memory { limit, swap: limit, ..Default::default() });
    let mut container = engine.launch(request, &[]);
    assert!(matches!(container.event(), Some(Event::Oom)));
    let record = container.wait();
    assert!(record.oom_killed, "{record:?}");
}

#[test]
fn processes_that_share_the_hosts_pids_end_with_the_container() {
    let engine = Engine::start();
    let mut request = engine.request("sleep 1000 & echo $!");
    let linux = request.launch.spec.linux.as_mut().unwrap();
    linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Pid);
    let mut container = engine.launch(request, &[]);
    assert_eq!(container.wait().exit_code, 0);
    let orphan = container.log_of("stdout").trim().to_owned();
    assert!(matches!(container.last_words()[..], [Event::Released]));
    // Reaped by the keeper, if not by the monitor.
    let process = std::path::Path::new("/proc").join(orphan);
    eventually("the orphan is gone", || !process.exists());
}

#[test]
fn a_daemon_that_returns_finds_its_container() {
    let engine = Engine::start();
    let first = engine.run("exec sleep 1000");
    let (run_dir, pid) = (first.run_dir.clone(), first.pid);
    drop(first);
    let mode = std::fs::metadata(run_dir.join("monitor.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut second = Container::connect(&run_dir).unwrap();
    let Answer::Status(status) = second.call(Op::Hello, &[]) else { panic!("no status") };
    assert_eq!(status.pid, pid);
    assert!(status.exited.is_none());
    let (own, given) = client();
    let fds = [std::os::fd::AsFd::as_fd(&given)];
    assert!(matches!(second.call(Op::Attach(wishes(1)), &fds), Answer::Done));
    drop((own, given));
    assert!(matches!(second.signal(15), Answer::Done));
    second.send(Op::Signal { exec: None, signal: 9 }, &[]);
    let mut third = Container::connect(&run_dir);
    drop(second);
    if let Ok(third) = &mut third {
        third.send(Op::Hello, &[]);
    }
    eventually("the record", || read_exit_record(&run_dir).unwrap().is_some());
    assert_eq!(read_exit_record(&run_dir).unwrap().unwrap().exit_code, 137);
}

#[test]
fn clients_outlive_the_daemon() {
    let engine = Engine::start();
    let mut request = engine.request("while read line; do echo got $line; done");
    (request.open_stdin, request.stdin_once) = (true, true);
    request.attach = vec![skiff_shim::protocol::AttachRequest { stdin: true, ..wishes(1) }];
    let (own, given) = client();
    let container = engine.launch(request, &[&given]);
    let run_dir = container.run_dir.clone();
    drop((given, container));
    (&own).write_all(b"hello\n").unwrap();
    read_until(&own, "got hello\n");
    drop(own);
    eventually("the record", || read_exit_record(&run_dir).unwrap().is_some());
}

#[test]
fn a_peer_that_talks_garbage_is_dropped_and_harms_nobody() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    let junk: [&[u8]; 4] = [b"\xff\xff\xff\xff", b"\x04\0\0\0nope", b"\x02\0\0\0{}", b"GET / HTTP"];
    for bytes in junk {
        let mut peer = connect_monitor(&container.run_dir).unwrap();
        peer.write_all(bytes).unwrap();
        drop(peer);
    }
    let peer = connect_monitor(&container.run_dir).unwrap();
    (&peer).write_all(junk[0]).unwrap();
    assert_eq!(crate::harness::read_all(&peer), b"");
    assert!(matches!(container.signal(0), Answer::Done));
    container.finish();
    // An idle monitor that is spoken to like that goes, and the next one comes.
    for bytes in junk {
        let mut peer = skiff_shim::client::connect_keeper(&engine.root).unwrap();
        peer.write_all(bytes).unwrap();
    }
    assert_eq!(engine.run("exit 5").wait().exit_code, 5);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    let refused = [
        Op::Signal { exec: Some("none".into()), signal: 9 },
        Op::Signal { exec: None, signal: 999 },
        Op::Resize { exec: None, width: 1, height: 1 },
        Op::Attach(wishes(1)),
        Op::Launch(Box::new(engine.request("true"))),
    ];
    for op in refused {
        let described = format!("{op:?}");
        let answer = container.call(op, &[]);
        assert!(matches!(answer, Answer::Refused(_)), "{described}: {answer:?}");
    }
    container.finish();
}

#[test]
fn a_program_that_is_not_there_fails_the_start() {
    let engine = Engine::start();
    let mut request = engine.request("true");
    let run_dir = request.run_dir.clone();
    request.launch.spec.process.as_mut().unwrap().args = vec!["/bin/nope".to_owned()];
    let (mut container, answer) = engine.try_launch(request, &[]);
    assert!(matches!(answer, Answer::Failed(_)), "{answer:?}");
    assert!(container.last_words().is_empty());
    assert!(!run_dir.join("monitor.sock").exists());
}

#[test]
fn two_hundred_containers_at_once() {
    let engine = Engine::start();
    let mut containers: Vec<Container> =
        (0..200).map(|_| engine.run("read x < /dev/null; exec sleep 1000")).collect();
    for container in &mut containers {
        container.send(Op::Signal { exec: None, signal: 9 }, &[]);
    }
    for container in &mut containers {
        loop {
            // The answers are among the messages.
            if read_exit_record(&container.run_dir).unwrap().is_some() {
                break;
            }
            std::thread::yield_now();
        }
    }
    for container in containers {
        container.finish();
    }
}

#[test]
fn the_keeper_may_die_and_containers_go_on() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    stop_keeper(&engine.root).unwrap();
    assert!(matches!(container.signal(0), Answer::Done));
    ensure_keeper(engine.config()).unwrap();
    assert_eq!(engine.run("exit 4").wait().exit_code, 4);
    container.finish();
}

#[test]
fn there_is_one_keeper_however_many_ask() {
    let engine = Engine::start();
    let version = || std::fs::read(engine.root.join("keeper.version")).unwrap();
    let before = version();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| ensure_keeper(engine.config()).unwrap());
        }
    });
    assert_eq!(version(), before);
}

#[test]
fn a_keeper_of_another_build_is_replaced() {
    let engine = Engine::start();
    let path = engine.root.join("keeper.version");
    let before = std::fs::read_to_string(&path).unwrap();
    let mut identity: serde_json::Value = serde_json::from_str(&before).unwrap();
    identity["version"] = "0.0.0".into();
    std::fs::write(&path, identity.to_string()).unwrap();
    let mut container = engine.run("exec sleep 1000");
    ensure_keeper(engine.config()).unwrap();
    assert_ne!(std::fs::read_to_string(&path).unwrap(), before);
    assert!(matches!(container.signal(0), Answer::Done));
    container.finish();
}

#[test]
fn a_long_run_directory_is_no_obstacle() {
    let engine = Engine::start();
    let mut request = engine.request("exec sleep 1000");
    request.run_dir = request.run_dir.join("d".repeat(150));
    std::fs::create_dir_all(&request.run_dir).unwrap();
    let container = engine.launch(request, &[]);
    let mut again = Container::connect(&container.run_dir).unwrap();
    assert!(matches!(again.call(Op::Hello, &[]), Answer::Status(_)));
    container.finish();
}

#[test]
fn the_monitor_ignores_a_daemon_that_does_not_read() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    let deaf: UnixStream = connect_monitor(&container.run_dir).unwrap();
    deaf.set_nonblocking(true).unwrap();
    let hello = skiff_shim::client::frame(&Request { seq: 1, op: Op::Hello }).unwrap();
    // Until the monitor has dropped us, or our own side is full.
    while (&deaf).write_all(&hello).is_ok() {}
    drop(deaf);
    assert!(matches!(container.signal(0), Answer::Done));
    container.finish();
}

/// It took the socket of the next run away: a daemon that came then found nobody.
#[test]
fn a_monitor_that_lingers_leaves_the_next_ones_socket_alone() {
    let engine = Engine::start();
    let (own, given) = client();
    let mut request = engine.request("exit 3");
    request.attach = vec![wishes(1)];
    let mut first = engine.launch(request, &[&given]);
    drop(given);
    first.wait();
    assert!(matches!(first.event(), Some(Event::Released)));
    // Its client has not closed its side.
    assert!(connect_monitor(&first.run_dir).is_err());
    let mut request = engine.request("exec sleep 1000");
    request.run_dir.clone_from(&first.run_dir);
    let second = engine.launch(request, &[]);
    drop(own);
    first.last_words();
    let mut again = Container::connect(&second.run_dir).unwrap();
    let Answer::Status(status) = again.call(Op::Hello, &[]) else { panic!("no status") };
    assert_eq!(status.pid, second.pid);
    second.finish();
}

#[test]
fn a_container_has_one_monitor() {
    let engine = Engine::start();
    let first = engine.run("exec sleep 1000");
    let mut request = engine.request("exec sleep 1000");
    request.run_dir.clone_from(&first.run_dir);
    let (mut second, answer) = engine.try_launch(request, &[]);
    assert!(matches!(answer, Answer::Failed(_)), "{answer:?}");
    assert!(second.last_words().is_empty());
    let mut again = Container::connect(&first.run_dir).unwrap();
    let Answer::Status(status) = again.call(Op::Hello, &[]) else { panic!("no status") };
    assert_eq!(status.pid, first.pid);
    first.finish();
}
