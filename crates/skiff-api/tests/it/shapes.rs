//! Which nulls, empty collections and left-out fields the types write, and what they read.

use skiff_api::{
    Config, ContainerCreateRequest, ContainerInspect, ContainerSummary, CreateResponse, HostConfig,
    List, UpdateRequest,
};

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("wire types serialise")
}

#[test]
fn an_empty_config_has_the_nulls_of_docker() {
    assert_eq!(
        json(&Config::default()),
        r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":false,"AttachStderr":false,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,"Cmd":null,"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null}"#
    );
}

#[test]
fn a_create_request_is_one_flat_object() {
    let request: ContainerCreateRequest = serde_json::from_str(
        r#"{"image":"a","IMAGE":"busybox","Cmd":["true"],"Labels":null,"Nope":[{}],
            "HostConfig":{"Memory":8388608,"binds":["/a:/b"],"PortBindings":{"80/tcp":null}}}"#,
    )
    .unwrap();
    assert_eq!(request.config.image, "busybox");
    assert_eq!(request.config.cmd[..], ["true"]);
    assert!(request.config.entrypoint.is_null());
    let host = request.host_config.clone().unwrap();
    assert_eq!(host.resources.memory, 8 << 20);
    assert_eq!(host.binds[..], ["/a:/b"]);
    assert!(host.port_bindings["80/tcp"].is_null());
    let again: ContainerCreateRequest = serde_json::from_str(&json(&request)).unwrap();
    assert_eq!(again, request);
}

#[test]
fn an_empty_list_is_not_null() {
    let config: Config = serde_json::from_str(r#"{"Entrypoint":[]}"#).unwrap();
    assert!(!config.entrypoint.is_null());
    assert!(json(&config).contains(r#""Entrypoint":[],"#));
}

#[test]
fn embedded_resources_stand_in_the_outer_object() {
    let text = json(&HostConfig::default());
    assert!(text.contains(r#""CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","#));
    assert!(text.contains(
        r#""MemorySwappiness":null,"OomKillDisable":null,"PidsLimit":null,"Ulimits":null"#
    ));
    let update: UpdateRequest =
        serde_json::from_str(r#"{"PidsLimit":5,"RestartPolicy":{"Name":"always"}}"#).unwrap();
    assert_eq!(update.resources.pids_limit, Some(5));
    assert_eq!(update.restart_policy.name, "always");
}

#[test]
fn answers_leave_out_what_docker_leaves_out() {
    let summary = ContainerSummary { ports: List::empty(), ..Default::default() };
    let text = json(&summary);
    assert!(text.contains(r#""Ports":[],"Labels":null"#), "{text}");
    assert!(!text.contains("SizeRw"));
    assert!(json(&ContainerInspect::default()).contains(r#""ExecIDs":null,"#));
    let created = CreateResponse { id: "a".into(), warnings: vec![] };
    assert_eq!(json(&created), r#"{"Id":"a","Warnings":[]}"#);
}
