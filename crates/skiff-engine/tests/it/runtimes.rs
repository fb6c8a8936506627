//! Containers that another program runs: what only a slow or a strange one shows.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use skiff_engine::Kind;
use skiff_engine::config::RuntimeConfig;
use skiff_engine::container::StartOptions;
use skiff_model::id_map::IdMap;

use crate::harness::{Rig, lives, request};

/// Makes runc known as `slow`: its first `create` takes a second.
fn slow(dir: &std::path::Path) -> RuntimeConfig {
    let path = dir.join("slow");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *\" create \"*) mkdir {0} 2>/dev/null && sleep 1;; esac\n\
         exec runc \"$@\"\n",
        dir.join("once").display()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    RuntimeConfig { path, args: Vec::new() }
}

/// A start that was given up went on behind, and left a container that nobody knew.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_given_up_leaves_nothing_and_nobody_in_its_way() {
    let rig = Rig::with(|config| {
        config.launch_limit = Duration::from_millis(300);
        config.runtimes.others.insert("slow".to_owned(), slow(config.data_root.parent().unwrap()));
    })
    .await;
    rig.create("cc", "exec sleep 1000", json!({"HostConfig": {"Runtime": "slow"}})).await;
    let id = rig.inspect("cc").id;
    let start = || async { rig.containers().start("cc", StartOptions::default()).await };
    let error = start().await.unwrap_err();
    assert!(error.to_string().ends_with("its monitor does not answer"), "{error}");
    // Waits until the first one is over. It has the patience that the first had.
    let bundle = rig.path("run/bundles").join(&id);
    assert!(bundle.exists());
    rig.until("its end", |rig| rig.status("cc") == "created" && !bundle.exists()).await;
    let begun = std::time::Instant::now();
    while let Err(error) = start().await {
        // A runtime that is not slow may be, on a busy machine.
        assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
    }
    let pid = rig.inspect("cc").state.pid;
    assert!(lives(pid));
    rig.remove("cc").await;
    rig.until("no bundle", |_| !bundle.exists() && !lives(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_their_own_are_refused_when_the_container_is_made() {
    let rig = Rig::with(|config| {
        config.users = Some(IdMap::parse("0 100000 65536\n", "0 100000 65536\n").unwrap());
        config.runtimes.others.insert("other".to_owned(), RuntimeConfig::default());
        config.runtimes.default = "other".to_owned();
    })
    .await;
    let create = |host| request("true", json!({"HostConfig": host}));
    for host in [json!({}), json!({"Runtime": "other"})] {
        let made = rig.containers().create(None, None, create(host)).await;
        let error = made.unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument);
        assert!(error.to_string().contains("(userns-remap)"), "{error}");
    }
    for host in [json!({"UsernsMode": "host"}), json!({"Runtime": "skiff"})] {
        rig.containers().create(None, None, create(host)).await.unwrap();
    }
}
