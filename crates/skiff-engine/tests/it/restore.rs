//! Engines that come and go while containers run.

use serde_json::json;
use skiff_engine::Kind;
use skiff_engine::container::WaitCondition;
use skiff_engine::image::RemoveOptions;

use crate::harness::{Rig, lives, read_output, signal};

#[tokio::test(flavor = "multi_thread")]
async fn running_containers_outlive_the_engine_with_their_streams() {
    let mut rig = Rig::new().await;
    let id = rig.create("cc", "cat; exit 6", json!({"OpenStdin": true, "StdinOnce": true})).await;
    let stream = rig.attach("cc", true).await;
    rig.start("cc").await;
    let before = rig.inspect("cc").state;
    rig.reopen().await;
    let after = rig.inspect("cc").state;
    assert_eq!((after.pid, after.status), (before.pid, "running".to_owned()));
    let wait = rig.containers().wait(&id, WaitCondition::NotRunning).await.unwrap();
    use std::io::Write;
    (&stream).write_all(b"still here\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_output(stream).await, "still here\n");
    assert_eq!(wait.await.status_code, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_of_containers_that_ended_meanwhile_are_known() {
    let mut rig = Rig::new().await;
    rig.run("ended", "while test ! -e /tmp/go; do sleep 0.01; done; exit 9", json!({})).await;
    let id = rig.inspect("ended").id;
    rig.create("never", "true", json!({})).await;
    rig.run(
        "rm",
        "while test ! -e /tmp/go; do sleep 0.01; done",
        json!({"HostConfig": {"AutoRemove": true}}),
    )
    .await;
    let removed = rig.inspect("rm").id;
    rig.engine.shutdown().await;
    for id in [&id, &removed] {
        let upper = rig.path("data/containers").join(id).join("upper/tmp");
        std::fs::create_dir_all(&upper).unwrap();
        let pid = rig.containers().inspect(id, false).unwrap().state.pid;
        std::fs::write(format!("/proc/{pid}/root/tmp/go"), "").unwrap();
        let exit = rig.path("run/containers").join(id).join("exit.json");
        rig.until("ended", |_| exit.exists()).await;
    }
    rig.reopen().await;
    let state = rig.inspect("ended").state;
    assert_eq!((state.status.as_str(), state.exit_code), ("exited", 9));
    assert_eq!(rig.status("never"), "created");
    assert_eq!(rig.containers().inspect("rm", false).unwrap_err().kind(), Kind::NotFound);
    rig.reopen().await;
    assert_eq!(rig.inspect("ended").state.exit_code, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_do_not_keep_the_engine_from_starting() {
    let mut rig = Rig::new().await;
    let mut ids = Vec::new();
    for name in ["empty", "half", "zeros", "missing", "whole"] {
        ids.push(rig.create(name, "true", json!({})).await);
    }
    rig.engine.shutdown().await;
    let record = |id: &str| rig.path("data/containers").join(id).join("config.json");
    let text = std::fs::read(record(&ids[1])).unwrap();
    std::fs::write(record(&ids[0]), "").unwrap();
    std::fs::write(record(&ids[1]), &text[..text.len() / 2]).unwrap();
    std::fs::write(record(&ids[2]), vec![0; text.len()]).unwrap();
    std::fs::remove_file(record(&ids[3])).unwrap();
    rig.reopen().await;
    for id in &ids[..3] {
        assert_eq!(rig.status(id), "dead");
        rig.remove(id).await;
    }
    assert!(rig.containers().inspect(&ids[3], false).is_err());
    assert_eq!(rig.status("whole"), "created");
    rig.start("whole").await;
    rig.until("ended", |rig| rig.status("whole") == "exited").await;
}

/// What a crash between storing and naming leaves: whole blobs and layers that no image names.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_left_unnamed_is_collected_at_the_start_and_nothing_that_containers_use() {
    let mut rig = Rig::new().await;
    rig.create("cc", "cat /data/from-image; exit 4", json!({})).await;
    let image = rig.inspect("cc").image;
    let forced = RemoveOptions { force: true, ..RemoveOptions::default() };
    rig.engine.images().remove("box", forced).unwrap();
    rig.engine.shutdown().await;
    let (blobs, layers) = (rig.path("data/content/sha256"), rig.path("data/snapshots"));
    let names = |dir: &std::path::Path| {
        let entries = std::fs::read_dir(dir).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let used = (names(&blobs), names(&layers));
    assert!(used.0.contains(&image["sha256:".len()..].to_owned()) && used.1.len() == 1);
    let unnamed = "ab".repeat(32);
    std::fs::write(blobs.join(&unnamed), "no image's").unwrap();
    let layer = layers.join(&unnamed);
    std::fs::create_dir_all(layer.join("fs/d")).unwrap();
    std::fs::copy(layers.join(&used.1[0]).join("layer.json"), layer.join("layer.json")).unwrap();
    rig.reopen().await;
    assert_eq!((names(&blobs), names(&layers)), used);
    rig.start("cc").await;
    rig.until("ended", |rig| rig.inspect("cc").state.exit_code == 4).await;
    rig.remove("cc").await;
    rig.reopen().await;
    assert_eq!((names(&blobs), names(&layers)), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_monitor_is_noticed() {
    let rig = Rig::new().await;
    rig.run("cc", "exec sleep 1000", json!({})).await;
    let pid = rig.inspect("cc").state.pid;
    signal(rig.monitor("cc"), "KILL");
    rig.until("exited", |rig| rig.status("cc") == "exited").await;
    assert_eq!(rig.inspect("cc").state.exit_code, 137);
    rig.until("no process", |_| !lives(pid)).await;
    rig.start("cc").await;
    rig.remove("cc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_policies_decide_what_is_started() {
    let mut rig = Rig::new().await;
    for (name, policy) in [("always", "always"), ("stopped", "unless-stopped"), ("no", "no")] {
        let more = json!({"HostConfig": {"RestartPolicy": {"Name": policy}}});
        rig.run(name, "exec sleep 1000", more).await;
    }
    for name in ["always", "stopped", "no"] {
        rig.stop(name, 0).await;
    }
    rig.create(
        "unless",
        "exec sleep 1000",
        json!({"HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}}}),
    )
    .await;
    rig.start("unless").await;
    rig.engine.shutdown().await;
    let pid = rig.containers().inspect("unless", false).unwrap().state.pid;
    let run = rig.path("run/containers").join(rig.inspect("unless").id);
    std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    rig.until("monitor gone", |_| !run.join("monitor.sock").exists()).await;
    std::fs::remove_dir_all(run).unwrap();
    rig.reopen().await;
    for name in ["always", "unless"] {
        rig.until("running", |rig| rig.status(name) == "running").await;
    }
    assert_eq!((rig.status("stopped"), rig.status("no")), ("exited".into(), "exited".into()));
    for name in ["always", "unless"] {
        rig.remove(name).await;
    }
}

/// A monitor that had no time for a new daemon counted as dead: its container went on unowned, and a
/// second one was started beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_does_not_answer_keeps_its_container() {
    let mut rig = Rig::new().await;
    for (name, host) in [
        ("always", json!({"RestartPolicy": {"Name": "always"}})),
        ("rm", json!({"AutoRemove": true})),
        ("paused", json!({})),
        ("lost", json!({})),
    ] {
        rig.run(name, "exec sleep 1000", json!({"HostConfig": host})).await;
    }
    rig.containers().pause("paused").await.unwrap();
    let names = ["always", "rm", "paused", "lost"];
    let pids = names.map(|name| rig.inspect(name).state.pid);
    let monitors = names.map(|name| rig.monitor(name));
    for monitor in monitors {
        signal(monitor, "STOP");
    }
    // More than once, as each leaves a connection behind.
    for _ in 0..2 {
        rig.reopen().await;
        let status = names.map(|name| rig.status(name));
        assert_eq!(status, ["running", "running", "paused", "running"]);
        assert_eq!(names.map(|name| rig.inspect(name).state.pid), pids);
    }
    // While it is stopped nobody can end it, and it can still die.
    signal(monitors[3], "KILL");
    rig.until("the loss", |rig| rig.status("lost") == "exited").await;
    rig.until("no process", |_| !lives(pids[3])).await;
    for monitor in &monitors[..3] {
        signal(monitor, "CONT");
    }
    rig.containers().unpause("paused").await.unwrap();
    for name in ["always", "rm", "paused"] {
        rig.stop(name, 0).await;
    }
    assert_eq!(rig.inspect("always").state.exit_code, 137);
    rig.until("the removal", |rig| rig.containers().inspect("rm", false).is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_a_stopped_monitor_has_not_seen_is_told_later() {
    let mut rig = Rig::new().await;
    rig.run("cc", "trap 'exit 7' TERM; while :; do sleep 0.01; done", json!({})).await;
    let (pid, monitor) = (rig.inspect("cc").state.pid, rig.monitor("cc"));
    signal(monitor, "STOP");
    rig.engine.shutdown().await;
    signal(pid, "TERM");
    rig.until("the end", |_| !lives(pid)).await;
    rig.reopen().await;
    assert_eq!(rig.status("cc"), "running");
    signal(monitor, "CONT");
    rig.until("exited", |rig| rig.status("cc") == "exited").await;
    assert_eq!(rig.inspect("cc").state.exit_code, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_monitor_leaves_that_was_killed_meanwhile_is_ended() {
    let mut rig = Rig::new().await;
    rig.run("cc", "exec sleep 1000", json!({})).await;
    rig.run("rm", "exec sleep 1000", json!({"HostConfig": {"AutoRemove": true}})).await;
    let pids = ["cc", "rm"].map(|name| rig.inspect(name).state.pid);
    let monitors = ["cc", "rm"].map(|name| rig.monitor(name));
    rig.engine.shutdown().await;
    for monitor in monitors {
        signal(monitor, "KILL");
        rig.until("its end", |_| !lives(monitor)).await;
    }
    rig.reopen().await;
    let state = rig.inspect("cc").state;
    assert_eq!((state.status.as_str(), state.exit_code), ("exited", 255));
    assert!(rig.containers().inspect("rm", false).is_err());
    for pid in pids {
        rig.until("no process", |_| !lives(pid)).await;
    }
}
