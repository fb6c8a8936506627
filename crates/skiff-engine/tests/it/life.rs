//! The life of containers: each transition, allowed and refused.

use serde_json::json;
use skiff_engine::Kind;
use skiff_engine::container::{RemoveOptions, StartOptions, StopOptions, WaitCondition};

use crate::harness::{Rig, read_output, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_writes_and_ends_with_its_exit_code() {
    let rig = Rig::new().await;
    let (output, code) = rig.output("echo hello; exit 3", json!({})).await;
    assert_eq!((output.as_str(), code), ("hello\n", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_removed_when_it_ends_leaves_nothing() {
    let rig = Rig::new().await;
    let id = rig.create("one", "echo bye", json!({"HostConfig": {"AutoRemove": true}})).await;
    let stream = rig.attach(&id, false).await;
    let wait = rig.containers().wait(&id, WaitCondition::Removed).await.unwrap();
    rig.start(&id).await;
    assert_eq!(wait.await.status_code, 0);
    assert_eq!(read_output(stream).await, "bye\n");
    assert_eq!(rig.containers().inspect(&id, false).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(std::fs::read_dir(rig.path("data/containers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(rig.path("run/containers")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn states_and_refusals_are_dockers() {
    let rig = Rig::new().await;
    let id = rig.create("cc", "trap 'exit 5' TERM; while :; do sleep 0.01; done", json!({})).await;
    let containers = rig.containers();
    assert_eq!(rig.status("cc"), "created");
    let text = |error: skiff_engine::Error| (error.kind(), error.to_string());
    let not_running = (Kind::Conflict, format!("container {id} is not running"));
    assert_eq!(text(containers.pause("cc").await.unwrap_err()), not_running);
    assert_eq!(
        text(containers.kill("cc", None).await.unwrap_err()),
        (Kind::Conflict, format!("cannot kill container: cc: container {id} is not running"))
    );
    let stop = || StopOptions { signal: None, timeout_s: Some(5) };
    assert_eq!(containers.stop("cc", stop()).await.unwrap_err().kind(), Kind::NotModified);
    rig.start("cc").await;
    assert_eq!(rig.status("cc"), "running");
    let again = containers.start("cc", StartOptions::default()).await.unwrap_err();
    assert_eq!(again.kind(), Kind::NotModified);
    assert_eq!(
        text(containers.remove("cc", RemoveOptions::default()).await.unwrap_err()),
        (
            Kind::Conflict,
            "cannot remove container \"cc\": container is running: stop the container before \
             removing or force remove"
                .to_owned()
        )
    );
    assert_eq!(
        text(containers.unpause("cc").await.unwrap_err()),
        (Kind::Internal, format!("Container {id} is not paused"))
    );
    containers.pause("cc").await.unwrap();
    assert_eq!(rig.status("cc"), "paused");
    assert_eq!(
        text(containers.start("cc", StartOptions::default()).await.unwrap_err()),
        (Kind::Conflict, "cannot start a paused container, try unpause instead".to_owned())
    );
    assert_eq!(containers.pause("cc").await.unwrap_err().kind(), Kind::Conflict);
    containers.unpause("cc").await.unwrap();
    assert_eq!(rig.status("cc"), "running");
    containers.stop("cc", stop()).await.unwrap();
    let state = rig.inspect("cc").state;
    assert_eq!((state.status.as_str(), state.exit_code, state.pid), ("exited", 5, 0));
    rig.start("cc").await;
    rig.remove("cc").await;
    assert_eq!(containers.inspect("cc", false).unwrap_err().to_string(), "No such container: cc");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_container_can_be_stopped_and_force_removed() {
    let rig = Rig::new().await;
    for name in ["stopped", "removed"] {
        rig.run(name, "trap 'exit 5' TERM; while :; do sleep 0.01; done", json!({})).await;
        rig.containers().pause(name).await.unwrap();
    }
    rig.stop("stopped", 10).await;
    assert_eq!(rig.inspect("stopped").state.exit_code, 5);
    rig.remove("removed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_does_not_stop_is_killed() {
    let rig = Rig::new().await;
    rig.run("deaf", "trap '' TERM; while :; do sleep 0.01; done", json!({})).await;
    let begun = std::time::Instant::now();
    rig.stop("deaf", 1).await;
    assert!((900..4000).contains(&begun.elapsed().as_millis()));
    assert_eq!(rig.inspect("deaf").state.exit_code, 137);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_cannot_run_fail_the_start_with_dockers_words() {
    let rig = Rig::new().await;
    for (index, (command, exit_code, words)) in [
        ("/nope", 127, "no such file or directory"),
        ("nope", 127, "executable file not found in $PATH"),
        ("/bin/not-executable", 126, "permission denied"),
        ("/bin", 126, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("bad{index}");
        rig.create(&name, "", json!({"Cmd": [command]})).await;
        let error = rig.containers().start(&name, StartOptions::default()).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{text}");
        assert!(text.starts_with("failed to create task for container"), "{text}");
        assert!(text.contains(words), "{text}");
        let state = rig.inspect(&name).state;
        assert_eq!((state.status.as_str(), state.exit_code), ("created", exit_code), "{text}");
        assert_eq!(state.error, text);
        assert!(!rig.path("run/containers").join(rig.inspect(&name).id).exists());
    }
    let remove = json!({"Cmd": ["/nope"], "HostConfig": {"AutoRemove": true}});
    rig.create("gone", "", remove).await;
    assert!(rig.containers().start("gone", StartOptions::default()).await.is_err());
    rig.until("removed", |rig| rig.containers().inspect("gone", false).is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_dockers_order() {
    let rig = Rig::new().await;
    let mut events = rig.events();
    rig.create("one", "sleep 100", json!({"Labels": {"a": "b"}})).await;
    let stream = rig.attach("one", false).await;
    rig.start("one").await;
    rig.containers().rename("one", "two").await.unwrap();
    rig.containers().pause("two").await.unwrap();
    rig.containers().unpause("two").await.unwrap();
    rig.containers().kill("two", Some("SIGUSR1")).await.unwrap();
    rig.containers().kill("two", None).await.unwrap();
    let restart = StopOptions { signal: Some("KILL".to_owned()), timeout_s: Some(1) };
    rig.start("two").await;
    rig.containers().restart("two", restart).await.unwrap();
    rig.remove("two").await;
    drop(stream);
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("destroy") {
        let event = events.next().await.unwrap();
        assert_eq!(event.actor.attributes["image"], "box");
        assert_eq!(event.actor.attributes["a"], "b");
        seen.push(match event.action.as_str() {
            "kill" => format!("kill {}", event.actor.attributes["signal"]),
            "die" => format!("die {}", event.actor.attributes["exitCode"]),
            "rename" => format!("rename {}", event.actor.attributes["oldName"]),
            action => action.to_owned(),
        });
    }
    assert_eq!(
        seen,
        [
            "create",
            "attach",
            "start",
            "rename /one",
            "pause",
            "unpause",
            "kill 10",
            "kill 9",
            "die 137",
            "start",
            "kill 9",
            "die 137",
            "stop",
            "start",
            "restart",
            "kill 9",
            "die 137",
            "destroy"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_unique_and_ids_can_be_cut_short() {
    let rig = Rig::new().await;
    let id = rig.create("one", "true", json!({})).await;
    let error =
        rig.containers().create(Some("one"), None, request("true", json!({}))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().contains("\"/one\" is already in use by container"));
    assert_eq!(rig.inspect(&id[..12]).name, "/one");
    let other = rig.containers().create(None, None, request("true", json!({}))).await.unwrap().id;
    assert!(rig.inspect(&other).name.contains('_'));
    let error = rig.containers().rename(&other, "one").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    rig.containers().rename("one", "two").await.unwrap();
    rig.containers().rename(&other, "one").await.unwrap();
    assert_eq!(rig.inspect("one").id, other);
    let error = rig.containers().rename("one", "one").await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_with_one_name_one_wins() {
    let rig = Rig::new().await;
    let mut creates = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let containers = rig.containers();
        creates.spawn(async move {
            containers.create(Some("dup"), None, request("true", json!({}))).await.is_ok()
        });
    }
    let won = creates.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    assert_eq!(std::fs::read_dir(rig.path("data/containers")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_fight_over_a_container_leave_it_in_a_valid_state() {
    let rig = Rig::new().await;
    rig.create("cc", "exec sleep 1000", json!({})).await;
    for round in 0..15 {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..5 {
            let containers = rig.containers();
            clients.spawn(async move {
                match (client + round) % 5 {
                    0 => containers.start("cc", StartOptions::default()).await,
                    1 => {
                        let now = StopOptions { signal: None, timeout_s: Some(0) };
                        containers.stop("cc", now).await
                    }
                    2 => containers.kill("cc", None).await,
                    3 => containers.pause("cc").await,
                    _ => containers.unpause("cc").await,
                }
            });
        }
        for outcome in clients.join_all().await {
            if let Err(error) = outcome {
                let unpause = error.to_string().ends_with("is not paused");
                let fine = matches!(error.kind(), Kind::NotModified | Kind::Conflict);
                assert!(fine || unpause, "{error}");
            }
        }
    }
    rig.remove("cc").await;
    assert_eq!(std::fs::read_dir(rig.path("data/containers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(rig.path("run/containers")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_end_when_they_should() {
    let rig = Rig::new().await;
    rig.create("cc", "exit 4", json!({})).await;
    let containers = rig.containers();
    let at_once = containers.wait("cc", WaitCondition::NotRunning).await.unwrap();
    assert_eq!(at_once.await.status_code, 0);
    let next = containers.wait("cc", WaitCondition::NextExit).await.unwrap();
    let removed = containers.wait("cc", WaitCondition::Removed).await.unwrap();
    rig.start("cc").await;
    assert_eq!(next.await.status_code, 4);
    let ended = containers.wait("cc", WaitCondition::NotRunning).await.unwrap();
    assert_eq!(ended.await.status_code, 4);
    rig.remove("cc").await;
    assert_eq!(removed.await.status_code, 4);
    let missing = containers.wait("cc", WaitCondition::NotRunning).await.err().unwrap();
    assert_eq!(missing.kind(), Kind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_container_is_restarted_as_often_as_its_policy_says() {
    let rig = Rig::new().await;
    let policy = json!({"HostConfig": {"RestartPolicy":
        {"Name": "on-failure", "MaximumRetryCount": 2}}});
    rig.run("cc", "exit 7", policy).await;
    rig.until("two restarts", |rig| {
        let inspect = rig.inspect("cc");
        inspect.restart_count == 2 && inspect.state.status == "exited"
    })
    .await;
    assert_eq!(rig.inspect("cc").state.exit_code, 7);
    let policy = json!({"HostConfig": {"RestartPolicy": {"Name": "always"}}});
    rig.run("dd", "exit 0", policy).await;
    rig.until("restarting", |rig| rig.status("dd") == "restarting").await;
    rig.stop("dd", 1).await;
    assert_eq!(rig.status("dd"), "exited");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_goes_in_and_output_comes_out() {
    use std::io::Write;
    let rig = Rig::new().await;
    rig.create("cc", "cat; echo end", json!({"OpenStdin": true, "StdinOnce": true})).await;
    let stream = rig.attach("cc", true).await;
    rig.start("cc").await;
    (&stream).write_all(b"typed\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_output(stream).await, "typed\nend\n");
}
