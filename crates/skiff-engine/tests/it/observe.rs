//! Looking at containers while they run: logs, statistics, processes, and the engine's own view.

use std::time::Duration;

use serde_json::json;
use skiff_engine::Kind;
use skiff_engine::container::StartOptions;
use skiff_engine::logs::LogOptions;
use skiff_engine::system::{DiskUsageOptions, DiskUsageTypes};

use crate::harness::Rig;

fn both() -> LogOptions {
    LogOptions { stdout: true, stderr: true, ..LogOptions::default() }
}

async fn read(rig: &Rig, name: &str, options: LogOptions) -> String {
    let mut logs = rig.containers().logs(name, options).unwrap();
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(chunk) = logs.chunks.recv().await {
            bytes.extend(chunk);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the log ends");
    if !logs.tty {
        bytes = without_headers(&bytes);
    }
    String::from_utf8(bytes).unwrap()
}

fn without_headers(mut bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        text.extend_from_slice(&rest[..length]);
        bytes = &rest[length..];
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_to_the_end_of_the_container() {
    let rig = Rig::new().await;
    let script = "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three";
    rig.run("one", script, json!({})).await;
    let follow = LogOptions { follow: true, ..both() };
    assert_eq!(read(&rig, "one", follow.clone()).await, "one\ntwo\nthree\n");
    // Now that it does not run, following is reading.
    assert_eq!(read(&rig, "one", follow).await, "one\ntwo\nthree\n");
    let stderr = LogOptions { stdout: false, ..both() };
    assert_eq!(read(&rig, "one", stderr).await, "two\n");
    assert_eq!(read(&rig, "one", LogOptions { tail: Some(1), ..both() }).await, "three\n");
    rig.start("one").await;
    // What it wrote before we looked may be left out, what comes is not.
    let text = read(&rig, "one", LogOptions { follow: true, tail: Some(0), ..both() }).await;
    assert!(text.ends_with("three\n") && text.len() < 20, "{text}");
    rig.remove("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_a_fast_writer_is_lost_across_rotations() {
    let rig = Rig::new().await;
    let log = json!({"Type": "json-file", "Config": {"max-size": "100k", "max-file": "20"}});
    let script = "i=0; while [ $i -lt 10000 ]; do echo line $i; i=$((i+1)); done";
    rig.run("one", script, json!({"HostConfig": {"LogConfig": log}})).await;
    let text = read(&rig, "one", LogOptions { follow: true, ..both() }).await;
    let expect: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
    assert!(text == expect, "{} of {} bytes", text.len(), expect.len());
    rig.remove("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_terminals_are_raw_and_none_can_not_be_read() {
    let rig = Rig::new().await;
    rig.run("tty", "echo hello", json!({"Tty": true})).await;
    assert_eq!(read(&rig, "tty", LogOptions { follow: true, ..both() }).await, "hello\r\n");
    let none = json!({"HostConfig": {"LogConfig": {"Type": "none"}}});
    rig.create("none", "true", none).await;
    let error = rig.containers().logs("none", both()).err().unwrap();
    assert_eq!(error.to_string(), "configured logging driver does not support reading");
    assert_eq!(error.kind(), Kind::NotImplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_are_listed_as_ps_does() {
    let rig = Rig::new().await;
    rig.create("one", "sleep 100 & sleep 200 & wait", json!({"User": "0"})).await;
    let error = rig.containers().top("one", "").unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().ends_with(" is not running"), "{error}");
    rig.start("one").await;
    rig.until("all run", |rig| {
        let sleeps = |process: &&skiff_api::List<String>| process[7].starts_with("sleep");
        let top = rig.containers().top("one", "").unwrap();
        top.processes.iter().filter(sleeps).count() == 2
    })
    .await;
    let top = rig.containers().top("one", "").unwrap();
    assert_eq!(top.titles.join(" "), "UID PID PPID C STIME TTY TIME CMD");
    let mut commands: Vec<&str> =
        top.processes.iter().map(|process| process.last().unwrap().as_str()).collect();
    commands.sort_unstable();
    assert_eq!(commands, ["/bin/sh -c sleep 100 & sleep 200 & wait", "sleep 100", "sleep 200"]);
    let top = rig.containers().top("one", "-o pid,comm").unwrap();
    assert_eq!(
        (top.titles.to_vec(), top.processes[0].len()),
        (vec!["PID".into(), "COMMAND".into()], 2)
    );
    assert_eq!(rig.containers().top("one", "-o nope").unwrap_err().kind(), Kind::Internal);
    rig.remove("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_grow_while_it_works() {
    let rig = Rig::new().await;
    let script = "while :; do :; done";
    let limits = json!({"HostConfig": {"Memory": 64 << 20, "PidsLimit": 50}});
    rig.create("one", script, limits).await;
    let idle = rig.containers().stats("one", false).await.unwrap();
    assert_eq!((&*idle.name, idle.cpu_stats.cpu_usage.total_usage), ("/one", 0));
    rig.containers().start("one", StartOptions::default()).await.unwrap();
    let busy = rig.containers().stats("one", false).await.unwrap();
    let (now, before) = (&busy.cpu_stats, &busy.precpu_stats);
    assert!(now.cpu_usage.total_usage > before.cpu_usage.total_usage);
    assert!(now.system_cpu_usage > before.system_cpu_usage && now.online_cpus > 0);
    assert_eq!(busy.memory_stats.limit, 64 << 20);
    assert!(busy.memory_stats.usage > 0 && busy.memory_stats.usage < 64 << 20);
    assert_eq!((busy.pids_stats.current, busy.pids_stats.limit), (1, 50));
    let mut stream = rig.containers().stats_stream("one").await.unwrap();
    let first = stream.recv().await.unwrap();
    assert!(first.cpu_stats.cpu_usage.total_usage > now.cpu_usage.total_usage);
    rig.remove("one").await;
    let ends = async { while stream.recv().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), ends).await.expect("the stream ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_counts_what_it_has() {
    let rig = Rig::new().await;
    rig.run("runs", "echo x > /file; sleep 100", json!({"Volumes": {"/data": {}}})).await;
    rig.create("rests", "true", json!({})).await;
    let system = rig.engine.system();
    let info = system.info().unwrap();
    assert_eq!((info.containers, info.containers_running, info.containers_stopped), (2, 1, 1));
    assert_eq!((info.images, &*info.driver, info.live_restore_enabled), (1, "overlay2", true));
    assert_eq!(system.info().unwrap().id, info.id);
    let version = system.version().unwrap();
    assert_eq!((&*version.api_version, &*version.min_api_version), ("1.56", "1.24"));
    let legacy = DiskUsageOptions { legacy: true, ..DiskUsageOptions::default() };
    rig.until("it has written", |rig| rig.containers().size("runs").unwrap().rw == 2).await;
    let usage = system.disk_usage(&legacy).unwrap();
    assert_eq!(usage.images.unwrap()[0].containers, 2);
    assert_eq!(usage.volumes.unwrap()[0].usage_data.as_ref().unwrap().size, 6);
    assert_eq!(usage.containers.unwrap().len(), 2);
    let options = DiskUsageOptions {
        types: DiskUsageTypes::parse(["container", "image"]).unwrap(),
        verbose: true,
        ..DiskUsageOptions::default()
    };
    let usage = system.disk_usage(&options).unwrap();
    let containers = usage.container_usage.unwrap();
    assert_eq!(
        (containers.active_count, containers.total_count, containers.items.len()),
        (1, 2, 2)
    );
    assert_eq!(usage.image_usage.unwrap().reclaimable, 0);
    assert!(usage.volume_usage.is_none() && usage.images.is_none());
    rig.remove("runs").await;
    rig.remove("rests").await;
}
