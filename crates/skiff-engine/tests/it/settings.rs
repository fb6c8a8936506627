//! What requests ask for, seen from inside.

use serde_json::json;
use skiff_api::filters::Filters;
use skiff_engine::container::{ListOptions, StartOptions, StopOptions, WaitCondition};

use crate::harness::{Rig, request};

#[tokio::test(flavor = "multi_thread")]
async fn settings_reach_the_process() {
    let rig = Rig::new().await;
    for (script, more, expected) in [
        ("pwd", json!({"WorkingDir": "/tmp"}), "/tmp\n"),
        ("id -u; id -g; id -G", json!({"User": "ann"}), "7\n8\n8 9\n"),
        ("id -G", json!({"User": "5:6", "HostConfig": {"GroupAdd": ["9", "staff"]}}), "6 8 9\n"),
        ("hostname; cat /etc/hostname", json!({"Hostname": "here"}), "here\nhere\n"),
        ("touch /x && echo yes", json!({"HostConfig": {"ReadonlyRootfs": true}}), ""),
        (
            "touch /t/x && stat -f -c %T /t",
            json!({"HostConfig": {"ReadonlyRootfs": true, "Tmpfs": {"/t": "size=1m"}}}),
            "tmpfs\n",
        ),
        (
            "ulimit -n",
            json!({"HostConfig": {"Ulimits":
            [{"Name": "nofile", "Soft": 100, "Hard": 200}]}}),
            "100\n",
        ),
        (
            "cat /proc/sys/net/core/somaxconn",
            json!({"HostConfig": {"Sysctls": {"net.core.somaxconn": "77"}}}),
            "77\n",
        ),
        (
            "grep NoNewPrivs /proc/self/status",
            json!({"HostConfig": {"SecurityOpt": ["no-new-privileges"]}}),
            "NoNewPrivs:\t1\n",
        ),
        (
            "grep Seccomp: /proc/self/status",
            json!({"HostConfig": {"SecurityOpt": ["seccomp=unconfined"]}}),
            "Seccomp:\t0\n",
        ),
        ("grep Seccomp: /proc/self/status", json!({}), "Seccomp:\t2\n"),
        (
            "grep CapBnd /proc/self/status",
            json!({"HostConfig": {"CapDrop": ["ALL"], "CapAdd": ["NET_ADMIN"]}}),
            "CapBnd:\t0000000000001000\n",
        ),
        (
            "stat -f -c '%T' /dev/shm; cat /proc/mounts | grep -c ' /dev/shm '",
            json!({"HostConfig": {"ShmSize": 1_048_576}}),
            "tmpfs\n1\n",
        ),
        ("ls /sys/class/net", json!({}), "lo\n"),
        (
            "grep -c . /etc/hosts; grep extra /etc/hosts",
            json!({"HostConfig": {"ExtraHosts": ["extra:1.2.3.4"]}}),
            "7\n1.2.3.4\textra\n",
        ),
        (
            "cat /etc/resolv.conf",
            json!({"HostConfig": {"Dns": ["9.9.9.9"], "DnsSearch": ["x.example"],
                                  "DnsOptions": ["ndots:1"]}}),
            "nameserver 9.9.9.9\nsearch x.example\noptions ndots:1\n",
        ),
        ("cat /dev/zero | head -c 3 | wc -c", json!({}), "3\n"),
        ("cat /proc/1/comm", json!({"HostConfig": {"Init": true}}), ""),
    ] {
        let (output, _) = rig.output(script, more.clone()).await;
        if script == "cat /proc/1/comm" {
            assert!(!output.is_empty() && output != "cat\n" && output != "sh\n", "{output}");
            continue;
        }
        let of_us: Vec<_> = output.lines().filter(|line| !line.starts_with('#')).collect();
        let output = if script == "cat /etc/resolv.conf" {
            of_us.join("\n") + "\n"
        } else if expected.is_empty() {
            output.lines().filter(|line| !line.contains("Read-only")).collect()
        } else {
            output
        };
        assert_eq!(output, expected, "{script} {more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_and_updated() {
    let rig = Rig::new().await;
    let more = json!({"HostConfig": {"Memory": 33_554_432, "NanoCpus": 500_000_000,
                                     "PidsLimit": 50, "CpuShares": 512}});
    let id = rig.run("cc", "exec sleep 1000", more).await;
    let read = |file: &str| {
        let (controller, name) = file.split_once('/').unwrap();
        let path = format!("/sys/fs/cgroup/{controller}/skiff-engine-test/{id}/{name}");
        std::fs::read_to_string(path).map(|text| text.trim().to_owned())
    };
    if std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        assert_eq!(read("memory/memory.limit_in_bytes").unwrap(), "33554432");
        assert_eq!(read("cpu/cpu.cfs_quota_us").unwrap(), "50000");
        assert_eq!(read("cpu/cpu.shares").unwrap(), "512");
        assert_eq!(read("pids/pids.max").unwrap(), "50");
    }
    let update = serde_json::from_value(json!({
        "Memory": 67_108_864, "MemorySwap": -1, "PidsLimit": 60,
        "RestartPolicy": {"Name": "always"}
    }))
    .unwrap();
    rig.containers().update("cc", update).await.unwrap();
    if std::path::Path::new("/sys/fs/cgroup/memory").exists() {
        assert_eq!(read("memory/memory.limit_in_bytes").unwrap(), "67108864");
        assert_eq!(read("pids/pids.max").unwrap(), "60");
    }
    let host = rig.inspect("cc").host_config;
    assert_eq!((host.resources.memory, host.resources.cpu_shares), (67_108_864, 512));
    assert_eq!(host.restart_policy.name, "always");
    rig.remove("cc").await;
    assert!(!std::path::Path::new("/sys/fs/cgroup/pids/skiff-engine-test").join(&id).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn binds_and_volumes_are_mounted() {
    let rig = Rig::new().await;
    let host = rig.path("shared");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("file"), "outside\n").unwrap();
    let host = host.to_str().unwrap().to_owned();
    let binds = |mode: &str| json!({"HostConfig": {"Binds": [format!("{host}:/b{mode}")]}});
    let (output, _) = rig.output("cat /b/file; echo inside > /b/new", binds("")).await;
    assert_eq!(output, "outside\n");
    assert_eq!(std::fs::read_to_string(rig.path("shared/new")).unwrap(), "inside\n");
    let (output, code) = rig.output("echo x > /b/other", binds(":ro")).await;
    assert!(code != 0 && output.contains("Read-only file system"), "{output}");
    // A volume is filled with what the image has there, and keeps what was written.
    let volume = || json!({"HostConfig": {"Binds": ["vol:/data"]}});
    let (output, _) = rig.output("cat /data/from-image; echo kept > /data/kept", volume()).await;
    assert_eq!(output, "image\n");
    let (output, _) = rig.output("cat /data/kept /data/from-image", volume()).await;
    assert_eq!(output, "kept\nimage\n");
    let (output, _) = rig
        .output(
            "cat /v/a/file",
            json!({"HostConfig": {"Mounts": [
            {"Type": "bind", "Source": host, "Target": "/v/a", "ReadOnly": true}]}}),
        )
        .await;
    assert_eq!(output, "outside\n");
    // An anonymous volume goes with its container.
    let anonymous = json!({"Volumes": {"/data": {}}, "HostConfig": {"AutoRemove": true}});
    rig.create("gone", "true", anonymous).await;
    assert_eq!(rig.inspect("gone").mounts.len(), 1);
    let removed = rig.containers().wait("gone", WaitCondition::Removed).await.unwrap();
    rig.start("gone").await;
    assert_eq!(removed.await.status_code, 0);
    let volumes = rig.engine.volumes().list(&Filters::default()).unwrap().volumes;
    assert_eq!(volumes.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), ["vol"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_can_be_shared() {
    let rig = Rig::new().await;
    let donor = json!({"Hostname": "donor", "HostConfig": {"IpcMode": "shareable"}});
    rig.run("donor", "echo secret > /dev/shm/x; exec sleep 1000", donor).await;
    rig.until("written", |rig| {
        let id = rig.inspect("donor").id;
        rig.path("data/containers").join(id).join("shm/x").exists()
    })
    .await;
    let sharing = json!({"HostConfig": {
        "NetworkMode": "container:donor", "IpcMode": "container:donor", "PidMode": "container:donor"
    }});
    let (output, _) =
        rig.output("hostname; cat /dev/shm/x; ps | grep -c 'sleep 100[0]'", sharing.clone()).await;
    assert_eq!(output, "donor\nsecret\n1\n");
    rig.stop("donor", 0).await;
    rig.create("late", "true", sharing).await;
    let error = rig.containers().start("late", StartOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("of a non running container"), "{error}");
    rig.remove("donor").await;
    let own = std::process::Command::new("readlink").arg("/proc/self/ns/net").output().unwrap();
    let (output, _) = rig
        .output(
            "readlink /proc/self/ns/net || ls -l /proc/self/ns/net",
            json!({"HostConfig": {"NetworkMode": "host"}}),
        )
        .await;
    let own = String::from_utf8(own.stdout).unwrap();
    assert!(output.contains(own.trim()), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_what_was_asked_for() {
    let rig = Rig::new().await;
    rig.create("one", "echo 'a b'", json!({"Labels": {"k": "v"}})).await;
    rig.run("two", "exec sleep 1000", json!({})).await;
    let names = |all: bool, limit: i64, filters: &str| {
        let filters = Filters::parse(filters).unwrap();
        let options = ListOptions { all, limit, filters, ..ListOptions::default() };
        let list = rig.containers().list(&options).unwrap();
        list.into_iter().map(|summary| summary.names[0].clone()).collect::<Vec<_>>()
    };
    for (all, limit, filters, expected) in [
        (false, 0, "{}", &["/two"][..]),
        (true, 0, "{}", &["/two", "/one"][..]),
        (false, 1, "{}", &["/two"][..]),
        (false, 0, r#"{"status":["created"]}"#, &["/one"][..]),
        (true, 0, r#"{"label":["k=v"]}"#, &["/one"][..]),
        (true, 0, r#"{"before":["two"]}"#, &["/one"][..]),
        (true, 0, r#"{"since":["one"]}"#, &["/two"][..]),
        (true, 0, r#"{"ancestor":["box"]}"#, &["/two", "/one"][..]),
        (true, 0, r#"{"ancestor":["nope"]}"#, &[][..]),
    ] {
        assert_eq!(names(all, limit, filters), expected, "{all} {limit} {filters}");
    }
    let all = ListOptions { all: true, ..ListOptions::default() };
    let list = rig.containers().list(&all).unwrap();
    assert_eq!(list[0].state, "running");
    assert!(list[0].status.starts_with("Up "));
    assert_eq!(list[1].command, "/bin/sh -c 'echo 'a b''");
    assert_eq!(list[1].image, "box");
    let report = rig.containers().prune(&Filters::default()).await.unwrap();
    assert_eq!(report.containers_deleted.len(), 1);
    rig.remove("two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_leave_nothing_behind() {
    let rig = Rig::new().await;
    for (more, message) in [
        (json!({"Image": "nope"}), "No such image: nope:latest"),
        (json!({"Image": ""}), "invalid reference format"),
        (
            json!({"WorkingDir": "rel"}),
            "the working directory 'rel' is invalid, it needs to be an absolute path",
        ),
        (
            json!({"HostConfig": {"Binds": ["/a:b"]}}),
            "invalid volume specification: '/a:b': invalid mount path: 'b' mount path must be absolute",
        ),
        (json!({"HostConfig": {"Binds": ["/a:/b", "/c:/b"]}}), "Duplicate mount point: /b"),
        (json!({"HostConfig": {"PidMode": "container:nope"}}), "No such container: nope"),
    ] {
        let request = request("true", more.clone());
        let error = rig.containers().create(Some("cc"), None, request).await.unwrap_err();
        assert_eq!(error.to_string(), message, "{more}");
        assert_eq!(std::fs::read_dir(rig.path("data/containers")).unwrap().count(), 0);
        assert!(rig.containers().inspect("cc", false).is_err());
    }
    rig.create("cc", "true", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_looked_for_when_the_container_starts() {
    let rig = Rig::new().await;
    rig.create("cc", "true", json!({"HostConfig": {"NetworkMode": "nope"}})).await;
    let error = rig.containers().start("cc", StartOptions::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to set up container networking: network nope not found");
    rig.remove("cc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_removed_when_it_ends_can_be_restarted() {
    let rig = Rig::new().await;
    rig.create("cc", "sleep 1000", json!({"HostConfig": {"AutoRemove": true}})).await;
    rig.containers().start("cc", StartOptions::default()).await.unwrap();
    let at_once = || StopOptions { timeout_s: Some(0), ..StopOptions::default() };
    for _ in 0..2 {
        rig.containers().restart("cc", at_once()).await.unwrap();
        assert_eq!(rig.containers().inspect("cc", false).unwrap().state.status, "running");
    }
    rig.remove("cc").await;
}
