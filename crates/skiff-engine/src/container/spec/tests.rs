//! Specifications of typical requests, against what Docker makes of them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use skiff_model::id_map::IdMap;
use skiff_model::oci::{IdMapping, Mount, NamespaceKind, Spec};
use skiff_runtime::launch::CgroupDriver;

use super::{Facts, Input, Peers, build, defaults};
use crate::container::files::Bound;
use crate::container::record::{Paths, Record};

/// A plain host.
pub(crate) fn facts() -> Facts {
    Facts {
        cgroup_v2: false,
        cgroup_driver: CgroupDriver::Cgroupfs,
        cgroup_parent: String::new(),
        thermal_paths: Vec::new(),
        default_ulimits: Vec::new(),
        no_new_privileges: false,
        capabilities: skiff_model::capability::NAMES.map(str::to_owned).to_vec(),
        init: false,
        apparmor: false,
        users: None,
    }
}

/// A record as `create` leaves it, with the members given.
fn record(json: serde_json::Value) -> Record {
    let mut record: Record = serde_json::from_value(json).unwrap();
    record.id = "c1".to_owned();
    let host = &mut record.host_config;
    if host.network_mode.is_empty() {
        host.network_mode = "none".to_owned();
    }
    if host.ipc_mode.is_empty() {
        host.ipc_mode = "private".to_owned();
    }
    if !host.privileged && host.masked_paths.is_null() {
        host.masked_paths = defaults::MASKED_PATHS.map(str::to_owned).into_iter().collect();
        host.readonly_paths = defaults::READONLY_PATHS.map(str::to_owned).into_iter().collect();
    }
    if host.shm_size == 0 {
        host.shm_size = 64 << 20;
    }
    record
}

fn spec_with(json: serde_json::Value, facts: &Facts, peers: &Peers) -> Spec {
    let record = record(json);
    let paths = Paths::new(&PathBuf::from("/d"), &PathBuf::from("/r"), "c1");
    let files = Bound {
        hosts: Some(paths.hosts()),
        hostname: Some(paths.hostname()),
        resolv_conf: Some(paths.resolv_conf()),
    };
    let foreign_volumes = BTreeSet::from(["foreign".to_owned()]);
    let input = Input { record: &record, paths: &paths, facts, peers, files, foreign_volumes };
    build(&input).unwrap()
}

fn spec(json: serde_json::Value) -> Spec {
    spec_with(json, &facts(), &Peers::default())
}

fn mount<'a>(spec: &'a Spec, destination: &str) -> &'a Mount {
    let found = spec.mounts.iter().find(|mount| mount.destination.to_str() == Some(destination));
    found.unwrap_or_else(|| panic!("no mount at {destination}"))
}

fn has_mount(spec: &Spec, destination: &str) -> bool {
    spec.mounts.iter().any(|mount| mount.destination.to_str() == Some(destination))
}

fn kinds(spec: &Spec) -> Vec<NamespaceKind> {
    spec.linux.as_ref().unwrap().namespaces.iter().map(|namespace| namespace.kind).collect()
}

#[test]
fn a_plain_container_gets_dockers_defaults() {
    let spec = spec(serde_json::json!({
        "config": {"Hostname": "h", "Entrypoint": ["/e"], "Cmd": ["a", "b"], "Env": ["A=1"],
                   "WorkingDir": "/w"}
    }));
    let process = spec.process.as_ref().unwrap();
    assert_eq!(process.args, ["/e", "a", "b"]);
    assert_eq!(process.cwd, "/w");
    assert_eq!(
        process.env,
        ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=h", "A=1"]
    );
    let capabilities = process.capabilities.as_ref().unwrap();
    assert_eq!(capabilities.bounding, defaults::CAPABILITIES);
    assert_eq!(capabilities.effective, capabilities.bounding);
    assert!(capabilities.inheritable.is_empty() && capabilities.ambient.is_empty());
    assert_eq!(spec.hostname, "h");
    let destinations: Vec<_> =
        spec.mounts.iter().map(|mount| mount.destination.to_str().unwrap()).collect();
    assert_eq!(
        destinations,
        [
            "/proc",
            "/dev",
            "/dev/pts",
            "/sys",
            "/sys/fs/cgroup",
            "/dev/mqueue",
            "/dev/shm",
            "/etc/resolv.conf",
            "/etc/hostname",
            "/etc/hosts"
        ]
    );
    assert_eq!(
        mount(&spec, "/dev/shm").options,
        ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"]
    );
    assert_eq!(mount(&spec, "/etc/hosts").source, "/d/containers/c1/hosts");
    assert!(mount(&spec, "/sys").options.contains(&"ro".to_owned()));
    let linux = spec.linux.as_ref().unwrap();
    assert_eq!(linux.masked_paths.len(), 12);
    assert_eq!(linux.readonly_paths.len(), 5);
    assert_eq!(linux.cgroups_path, "/skiff/c1");
    assert_eq!(linux.sysctl["net.ipv4.ping_group_range"], "0 2147483647");
    let rules = &linux.resources.as_ref().unwrap().devices;
    assert_eq!((rules.len(), rules[0].allow), (3, false));
    use NamespaceKind::{Ipc, Network, Pid, Uts};
    assert_eq!(kinds(&spec), [NamespaceKind::Mount, Network, Uts, Ipc, Pid]);
}

#[test]
fn a_privileged_container_is_not_held_back() {
    let spec = spec(serde_json::json!({"host_config": {"Privileged": true}}));
    let linux = spec.linux.as_ref().unwrap();
    assert!(linux.masked_paths.is_empty() && linux.readonly_paths.is_empty());
    assert!(!mount(&spec, "/sys").options.contains(&"ro".to_owned()));
    assert!(!mount(&spec, "/sys/fs/cgroup").options.contains(&"ro".to_owned()));
    let process = spec.process.as_ref().unwrap();
    assert_eq!(process.capabilities.as_ref().unwrap().bounding.len(), 41);
    let rules = &linux.resources.as_ref().unwrap().devices;
    assert_eq!((rules.len(), rules[0].allow), (1, true));
    assert!(linux.devices.iter().any(|device| device.path.as_os_str() == "/dev/null"));
}

#[test]
fn namespaces_follow_the_modes() {
    use NamespaceKind::{Cgroup, Ipc, Network, Pid, Uts};
    let peers = Peers { network: Some(11), ipc: Some(12), pid: Some(13), ..Peers::default() };
    let peers = Peers { shm: Some("/d/shm".into()), ..peers };
    for (host, expected) in [
        (
            serde_json::json!({"NetworkMode": "host", "IpcMode": "host", "PidMode": "host",
                               "UTSMode": "host"}),
            vec![],
        ),
        (
            serde_json::json!({"CgroupnsMode": "private"}),
            vec![(Network, None), (Uts, None), (Ipc, None), (Pid, None), (Cgroup, None)],
        ),
        (
            serde_json::json!({"NetworkMode": "container:x", "IpcMode": "container:x",
                               "PidMode": "container:x"}),
            vec![
                (Network, Some("/proc/11/ns/net")),
                (Uts, Some("/proc/11/ns/uts")),
                (Ipc, Some("/proc/12/ns/ipc")),
                (Pid, Some("/proc/13/ns/pid")),
            ],
        ),
    ] {
        let spec = spec_with(serde_json::json!({"host_config": host}), &facts(), &peers);
        let found: Vec<_> = spec.linux.as_ref().unwrap().namespaces[1..]
            .iter()
            .map(|namespace| {
                (namespace.kind, namespace.path.as_ref().map(|path| path.to_str().unwrap()))
            })
            .collect();
        assert_eq!(found, expected);
        let own_network = expected.contains(&(Network, None));
        assert_eq!(!spec.linux.as_ref().unwrap().sysctl.is_empty(), own_network);
        let own_name = expected.contains(&(Uts, None));
        assert!(own_name || spec.hostname.is_empty());
    }
}

#[test]
fn shared_memory_follows_the_ipc_mode() {
    let peers = Peers { ipc: Some(5), shm: Some("/peer/shm".into()), ..Peers::default() };
    for (mode, source) in [
        ("private", Some("shm")),
        ("shareable", Some("/d/containers/c1/shm")),
        ("host", Some("/dev/shm")),
        ("container:x", Some("/peer/shm")),
        ("none", None),
    ] {
        let json = serde_json::json!({"host_config": {"IpcMode": mode}});
        let spec = spec_with(json, &facts(), &peers);
        assert_eq!(has_mount(&spec, "/dev/shm"), source.is_some(), "{mode}");
        if let Some(source) = source {
            assert_eq!(mount(&spec, "/dev/shm").source, source, "{mode}");
        }
    }
}

#[test]
fn requested_mounts_come_shallow_first_and_replace_the_systems() {
    let bind = |destination: &str, rw: bool| {
        serde_json::json!({
            "point": {"Type": "bind", "Destination": destination, "RW": rw,
                      "Propagation": "rprivate"},
            "source": "/src", "read_only": if rw { "No" } else { "Shallow" }
        })
    };
    let spec = spec(serde_json::json!({
        "mounts": [bind("/a/b/c", true), bind("/a", false), bind("/dev/shm", true),
                   bind("/etc/hosts", true)]
    }));
    let order: Vec<_> = spec
        .mounts
        .iter()
        .filter(|mount| mount.source == "/src")
        .map(|mount| mount.destination.to_str().unwrap())
        .collect();
    assert_eq!(order, ["/a", "/dev/shm", "/etc/hosts", "/a/b/c"]);
    assert_eq!(mount(&spec, "/a").options, ["rbind", "ro", "rprivate"]);
    let destinations: Vec<_> = spec.mounts.iter().map(|mount| &mount.destination).collect();
    for path in ["/dev/shm", "/etc/hosts"] {
        let count = destinations.iter().filter(|one| one.to_str() == Some(path)).count();
        assert_eq!(count, 1, "{path}");
    }
}

#[test]
fn a_read_only_root_leaves_what_was_asked_for_writable() {
    let spec = spec(serde_json::json!({
        "host_config": {"ReadonlyRootfs": true},
        "mounts": [{"point": {"Type": "tmpfs", "Destination": "/scratch", "RW": true}}]
    }));
    assert!(spec.root.as_ref().unwrap().readonly);
    assert!(mount(&spec, "/etc/hosts").options.contains(&"ro".to_owned()));
    assert!(!mount(&spec, "/scratch").options.contains(&"ro".to_owned()));
    assert!(!mount(&spec, "/dev/shm").options.contains(&"ro".to_owned()));
}

#[test]
fn the_daemons_defaults_apply_where_the_request_is_silent() {
    let facts = Facts {
        no_new_privileges: true,
        default_ulimits: vec![("nofile".to_owned(), 10, 20), ("core".to_owned(), 0, 0)],
        cgroup_v2: true,
        ..facts()
    };
    let json = serde_json::json!({
        "host_config": {"Ulimits": [{"Name": "core", "Soft": -1, "Hard": -1}],
                        "OomScoreAdj": 500}
    });
    let spec = spec_with(json, &facts, &Peers::default());
    let process = spec.process.as_ref().unwrap();
    assert!(process.no_new_privileges);
    assert_eq!(process.oom_score_adj, Some(500));
    let limits: Vec<_> =
        process.rlimits.iter().map(|limit| (limit.kind.as_str(), limit.soft, limit.hard)).collect();
    assert_eq!(limits, [("RLIMIT_CORE", u64::MAX, u64::MAX), ("RLIMIT_NOFILE", 10, 20)]);
    assert!(kinds(&spec).contains(&NamespaceKind::Cgroup));
}

#[test]
fn a_terminal_has_its_size_and_variable() {
    let spec = spec(serde_json::json!({
        "config": {"Tty": true}, "host_config": {"ConsoleSize": [24, 80]}
    }));
    let process = spec.process.as_ref().unwrap();
    assert!(process.terminal);
    let size = process.console_size.unwrap();
    assert_eq!((size.height, size.width), (24, 80));
    assert!(process.env.contains(&"TERM=xterm".to_owned()));
}

#[test]
fn another_user_than_root_holds_no_capabilities() {
    let spec = spec(serde_json::json!({"config": {"User": "1000:1000"}}));
    let capabilities = spec.process.as_ref().unwrap().capabilities.clone().unwrap();
    assert!(capabilities.effective.is_empty() && capabilities.permitted.is_empty());
    assert_eq!(capabilities.bounding.len(), 14);
}

#[test]
fn users_of_its_own_are_mapped_on_what_is_the_containers() {
    let uids = vec![IdMapping { container_id: 0, host_id: 1000, size: 10 }];
    let users = Some(IdMap { uids: uids.clone(), gids: uids.clone() });
    let facts = Facts { users, ..facts() };
    let volume = |name: &str| {
        serde_json::json!({
            "point": {"Type": "volume", "Name": name, "Destination": format!("/{name}")},
            "source": format!("/volumes/{name}"),
        })
    };
    let bind = serde_json::json!({
        "point": {"Type": "bind", "Destination": "/bind"}, "source": "/host",
    });
    let mounts = [volume("own"), volume("foreign"), bind];
    let json = serde_json::json!({"mounts": mounts});
    let spec = spec_with(json.clone(), &facts, &Peers::default());
    let user = |spec: &Spec| {
        let linux = spec.linux.as_ref().unwrap();
        let mut users = linux.namespaces.iter().filter(|it| it.kind == NamespaceKind::User);
        users.next().map(|namespace| namespace.path.clone())
    };
    assert_eq!(user(&spec), Some(None));
    assert_eq!(spec.linux.as_ref().unwrap().uid_mappings, uids);
    for (path, mapped) in
        [("/own", true), ("/foreign", false), ("/bind", false), ("/etc/hosts", true)]
    {
        assert_eq!(!mount(&spec, path).uid_mappings.is_empty(), mapped, "{path}");
    }
    assert!(!spec.linux.as_ref().unwrap().sysctl.contains_key("net.ipv4.ping_group_range"));
    let peers = Peers { users: Some(7), ..Peers::default() };
    let spec = spec_with(json.clone(), &facts, &peers);
    assert_eq!(user(&spec), Some(Some("/proc/7/ns/user".into())));
    let mut json = json;
    json["host_config"] = serde_json::json!({"UsernsMode": "host"});
    let spec = spec_with(json, &facts, &Peers::default());
    assert!(user(&spec).is_none() && mount(&spec, "/own").uid_mappings.is_empty());
}
