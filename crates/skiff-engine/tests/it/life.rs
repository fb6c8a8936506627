//! The life of containers: each transition, allowed and refused.

use skiff_engine::Kind;
use skiff_engine::container::{RemoveOptions, StartOptions, StopOptions, WaitCondition};

use crate::harness::{Rig, read_output, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_writes_and_ends_with_its_exit_code() {
    let rig = Rig::new().await;
    let (output, code) = rig.output("echo hello; exit 3", serde_json::json!({})).await;
    assert_eq!((output.as_str(), code), ("hello\n", 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_removed_when_it_ends_leaves_nothing() {
    let rig = Rig::new().await;
    let id = rig
        .create("one", "echo bye", serde_json::json!({"HostConfig": {"AutoRemove": true}}))
        .await;
    let stream = rig.attach(&id, false).await;
    let wait = rig.containers().wait(&id, WaitCondition::Removed).await.unwrap();
    rig.start(&id).await;
    assert_eq!(wait.await.status_code, 0);
    assert_eq!(read_output(stream).await, "bye\n");
    assert_eq!(rig.containers().inspect(&id, false).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(std::fs::read_dir(rig.path("data/containers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(rig.path("run/containers")).unwrap().count(), 0);
}
