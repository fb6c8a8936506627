//! Further processes, and the health checks that are made of them.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use serde_json::json;
use skiff_api::ExecConfig;
use skiff_engine::Kind;
use skiff_engine::exec::ExecStartOptions;

use crate::harness::{Rig, read_output};

fn config(command: &[&str], more: serde_json::Value) -> ExecConfig {
    let mut json = json!({"Cmd": command, "AttachStdout": true, "AttachStderr": true});
    json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(json).unwrap()
}

/// Runs a command in a container; gives what it wrote and its exit code.
async fn exec(rig: &Rig, command: &[&str], more: serde_json::Value) -> (String, i64) {
    let execs = rig.engine.execs();
    let id = execs.create("cc", config(command, more)).await.unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let stream = Some((OwnedFd::from(theirs), Vec::new()));
    execs.start(&id, ExecStartOptions::default(), stream).await.unwrap();
    let output = read_output(ours).await;
    let inspect = execs.inspect(&id).await.unwrap();
    assert!(!inspect.running);
    (output, inspect.exit_code.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn execs_run_with_the_containers_surroundings() {
    let rig = Rig::new().await;
    let more = json!({"Env": ["A=1"], "WorkingDir": "/tmp", "Hostname": "there"});
    rig.run("cc", "exec sleep 1000", more).await;
    let plain = json!({});
    assert_eq!(
        exec(&rig, &["sh", "-c", "pwd; echo $A; hostname; exit 3"], plain).await,
        ("/tmp\n1\nthere\n".to_owned(), 3)
    );
    let more = json!({"User": "ann", "WorkingDir": "/", "Env": ["A=2"]});
    assert_eq!(
        exec(&rig, &["sh", "-c", "pwd; echo $A; id -u; id -G"], more).await,
        ("/\n2\n7\n8 9\n".to_owned(), 0)
    );
    let caps = &["grep", "CapEff", "/proc/self/status"];
    assert_eq!(exec(&rig, caps, json!({})).await.0, "CapEff:\t00000000a80425fb\n");
    let all = exec(&rig, caps, json!({"Privileged": true})).await.0;
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapBnd:\t")).unwrap();
    assert_eq!(all, format!("CapEff:\t{own}\n"));
    rig.remove("cc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn execs_are_refused_where_docker_refuses_them() {
    let rig = Rig::new().await;
    let id = rig.create("cc", "exec sleep 1000", json!({})).await;
    let execs = rig.engine.execs();
    let create = || execs.create("cc", config(&["true"], json!({})));
    let error = create().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string()),
        (Kind::Conflict, format!("container {id} is not running"))
    );
    rig.start("cc").await;
    rig.containers().pause("cc").await.unwrap();
    let error = create().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::Conflict, "Container cc is paused, unpause the container before exec")
    );
    rig.containers().unpause("cc").await.unwrap();
    let error = execs.create("cc", config(&[], json!({}))).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::InvalidArgument, "No exec command specified")
    );
    let exec = create().await.unwrap();
    assert_eq!(*rig.inspect("cc").exec_ids, vec![exec.clone()]);
    let detach = || ExecStartOptions { detach: true, ..ExecStartOptions::default() };
    execs.start(&exec, detach(), None).await.unwrap();
    assert_eq!(execs.start(&exec, detach(), None).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(execs.inspect("nope").await.unwrap_err().to_string(), "No such exec instance: nope");
    rig.remove("cc").await;
    assert_eq!(execs.inspect(&exec).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_exist_is_told_on_the_stream_and_by_exit_code() {
    let rig = Rig::new().await;
    rig.run("cc", "exec sleep 1000", json!({})).await;
    let execs = rig.engine.execs();
    let id = execs.create("cc", config(&["nope"], json!({}))).await.unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let stream = Some((OwnedFd::from(theirs), Vec::new()));
    let error = execs.start(&id, ExecStartOptions::default(), stream).await.unwrap_err();
    let output = read_output(ours).await;
    assert_eq!(output, format!("{error}\r\n"));
    assert!(output.contains("exec: \"nope\": executable file not found in $PATH"), "{output}");
    assert_eq!(execs.inspect(&id).await.unwrap().exit_code, Some(127));
    rig.remove("cc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_probes() {
    let rig = Rig::new().await;
    let mut events = rig.events();
    let check = json!({"Healthcheck": {
        "Test": ["CMD-SHELL", "echo probed; test ! -e /tmp/sick"],
        "Interval": 20_000_000, "Retries": 2
    }});
    rig.run("cc", "exec sleep 1000", check).await;
    assert_eq!(rig.inspect("cc").state.health.unwrap().status, "starting");
    let health = |rig: &Rig| rig.inspect("cc").state.health.unwrap();
    rig.until("healthy", |rig| health(rig).status == "healthy").await;
    assert_eq!(health(&rig).log[0].output, "probed\n");
    exec(&rig, &["touch", "/tmp/sick"], json!({})).await;
    rig.until("unhealthy", |rig| health(rig).status == "unhealthy").await;
    assert!(health(&rig).failing_streak >= 2);
    rig.until("five results", |rig| health(rig).log.len() == 5).await;
    rig.remove("cc").await;
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("destroy") {
        seen.push(events.next().await.unwrap().action.clone());
    }
    let health: Vec<_> = seen.iter().filter(|action| action.starts_with("health")).collect();
    assert_eq!(health, ["health_status: healthy", "health_status: unhealthy"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_that_takes_too_long_is_killed() {
    let rig = Rig::new().await;
    let check = json!({"Healthcheck": {
        "Test": ["CMD", "sleep", "1000"], "Interval": 10_000_000, "Timeout": 50_000_000,
        "Retries": 1
    }});
    rig.run("cc", "exec sleep 5000", check).await;
    let health = |rig: &Rig| rig.inspect("cc").state.health.unwrap();
    rig.until("unhealthy", |rig| health(rig).status == "unhealthy").await;
    assert_eq!(health(&rig).log[0].output, "Health check exceeded timeout (50ms)");
    // One may be running at this very moment; a second one would be one that was not killed.
    let (output, _) = exec(&rig, &["sh", "-c", "ps | grep -c 'sleep 100[0]'"], json!({})).await;
    assert!(output.trim().parse::<u32>().unwrap() <= 2, "{output}");
    rig.remove("cc").await;
}
