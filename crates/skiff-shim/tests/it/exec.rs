//! Further processes in a container.

use std::io::Write;
use std::net::Shutdown;

use skiff_runtime::launch::LaunchErrorKind;
use skiff_shim::protocol::{Answer, AttachRequest, Event, ExecRequest, Op};

use crate::harness::{
    Container, Engine, client, demultiplex, exec_request, read_all, read_until, wishes,
};

fn exit_code(container: &mut Container, name: &str) -> i32 {
    loop {
        match container.event().expect("the exec's end") {
            Event::ExecExited { exec, exit_code } if exec == name => return exit_code,
            _ => {}
        }
    }
}

#[test]
fn an_exec_has_its_own_streams_and_code() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    let (own, given) = client();
    let request = ExecRequest {
        open_stdin: true,
        attach: Some(AttachRequest { stdin: true, multiplexed: true, ..wishes(1) }),
        ..exec_request("e1", "cat; echo err >&2; exit 7")
    };
    assert!(matches!(container.exec(request, Some(&given)), Answer::Started { .. }));
    drop(given);
    (&own).write_all(b"text\n").unwrap();
    own.shutdown(Shutdown::Write).unwrap();
    assert_eq!(demultiplex(&read_all(&own)), (b"text\n".to_vec(), b"err\n".to_vec()));
    // By the time its client sees the end the daemon has been told.
    assert_eq!(exit_code(&mut container, "e1"), 7);
    assert_eq!(container.log_of("stdout"), "");
    container.finish();
}

#[test]
fn a_detached_exec_reports_its_code() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    for (name, script, code) in [("a", "exit 3", 3), ("b", "kill -9 $$", 137), ("c", "true", 0)] {
        let answer = container.exec(exec_request(name, script), None);
        assert!(matches!(answer, Answer::Started { .. }));
        assert_eq!(exit_code(&mut container, name), code);
    }
    container.finish();
}

#[test]
fn an_exec_can_be_signalled_and_resized() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    let (own, given) = client();
    let request = ExecRequest {
        tty: true,
        open_stdin: true,
        attach: Some(AttachRequest { stdin: true, ..wishes(1) }),
        ..exec_request("t", "trap 'exit 9' TERM; read x; stty size; while :; do sleep 0.01; done")
    };
    assert!(matches!(container.exec(request, Some(&given)), Answer::Started { .. }));
    drop(given);
    let exec = Some("t".to_owned());
    let resize = Op::Resize { exec: exec.clone(), width: 80, height: 7 };
    assert!(matches!(container.call(resize, &[]), Answer::Done));
    (&own).write_all(b"\n").unwrap();
    read_until(&own, "7 80\r\n");
    assert!(matches!(container.call(Op::Signal { exec, signal: 15 }, &[]), Answer::Done));
    assert_eq!(exit_code(&mut container, "t"), 9);
    container.finish();
}

#[test]
fn a_program_that_is_not_there_leaves_the_client_to_the_daemon() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    let (own, given) = client();
    let mut request = ExecRequest { attach: Some(wishes(1)), ..exec_request("e", "true") };
    request.launch.process.args = vec!["/bin/nope".to_owned()];
    let Answer::Failed(error) = container.exec(request, Some(&given)) else { panic!("it started") };
    assert_eq!(error.kind, LaunchErrorKind::NotFound);
    (&given).write_all(b"not found").unwrap();
    drop(given);
    assert_eq!(read_all(&own), b"not found");
    container.finish();
}

#[test]
fn execs_end_with_their_container_and_are_told_first() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    assert!(matches!(
        container.exec(exec_request("long", "exec sleep 1000"), None),
        Answer::Started { .. }
    ));
    container.signal(9);
    assert_eq!(exit_code(&mut container, "long"), 137);
    assert_eq!(container.wait().exit_code, 137);
}

#[test]
fn output_held_open_by_a_grandchild_does_not_keep_the_client() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    let (own, given) = client();
    let request =
        ExecRequest { attach: Some(wishes(1)), ..exec_request("e", "sleep 1000 & echo out") };
    container.exec(request, Some(&given));
    drop(given);
    assert_eq!(read_all(&own), b"out\n");
    assert_eq!(exit_code(&mut container, "e"), 0);
    container.finish();
}

#[test]
fn many_execs_at_once_each_get_their_own_output() {
    let engine = Engine::start();
    let mut container = engine.run("exec sleep 1000");
    let mut clients = Vec::new();
    for number in 0..20 {
        let (own, given) = client();
        let request = ExecRequest {
            attach: Some(wishes(number)),
            ..exec_request(&format!("e{number}"), &format!("seq 1 1000; echo {number}"))
        };
        assert!(matches!(container.exec(request, Some(&given)), Answer::Started { .. }));
        clients.push(own);
    }
    for (number, own) in clients.iter().enumerate() {
        let text = String::from_utf8(read_all(own)).unwrap();
        assert_eq!(text.lines().count(), 1001);
        assert!(text.ends_with(&format!("\n{number}\n")));
    }
    container.finish();
}
