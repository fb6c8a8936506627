//! Each kind of namespace, made and joined.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use skiff_model::oci::{IdMapping, Namespace, NamespaceKind, TimeOffset};
use skiff_runtime::launch::Rootfs;

use crate::bundle::Bundle;

const KINDS: [(NamespaceKind, &str); 6] = [
    (NamespaceKind::Mount, "mnt"),
    (NamespaceKind::Network, "net"),
    (NamespaceKind::Uts, "uts"),
    (NamespaceKind::Pid, "pid"),
    (NamespaceKind::Ipc, "ipc"),
    (NamespaceKind::Cgroup, "cgroup"),
];

fn own(name: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{name}")).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_namespace_is_new() {
    for (_, name) in KINDS {
        let inside = Bundle::new().sh(&format!("readlink /proc/self/ns/{name}")).ok();
        assert_ne!(inside.trim(), own(name), "{name}");
    }
}

/// What a container sees of its namespaces, mounts and devices.
const LOOK: &str = "for kind in mnt net uts pid ipc cgroup; do readlink /proc/self/ns/$kind; done; \
    cut -d' ' -f5- /proc/self/mountinfo; ls -ln /dev; cat /sys/class/net/lo/operstate; ls /sys/class/net";

/// Without what differs from container to container.
fn comparable(look: &str, bundle: &Bundle) -> String {
    let plain = |line: &str| match line.split_once(":[") {
        Some((kind, _)) if !line.contains(' ') => kind.to_owned(),
        // Peer groups are numbered anew, and mounts of devices have times.
        _ => line.split(" - ").last().unwrap_or(line).replace(&bundle.launch.id, "ID"),
    };
    let no_time = |line: &String| !line.contains(" crw") && !line.contains(" lrw");
    look.lines().map(plain).filter(no_time).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_was_ready_is_like_what_is_made_on_demand() {
    let (mut fresh, mut ready) = (Bundle::new(), Bundle::new());
    ready.prepared = true;
    let (made, given) = (fresh.sh(LOOK).ok(), ready.sh(LOOK).ok());
    assert_eq!(comparable(&made, &fresh), comparable(&given, &ready));
    for (kind, name) in KINDS {
        let link = given.lines().find(|line| line.starts_with(&format!("{name}:["))).unwrap();
        assert_ne!(link, own(name), "{kind:?}");
    }
}

#[test]
fn what_is_ready_and_not_wanted_is_left() {
    for (kind, name) in KINDS.into_iter().skip(1) {
        let mut bundle = Bundle::new();
        bundle.prepared = true;
        bundle.linux().namespaces.retain(|namespace| namespace.kind != kind);
        bundle.launch.spec.hostname.clear();
        let outcome = bundle.sh("for kind in net ipc; do readlink /proc/self/ns/$kind; done").ok();
        for (line, other) in outcome.lines().zip(["net", "ipc"]) {
            assert_eq!(line == own(other), name == other, "without {name}: {line}");
        }
    }
}

#[test]
fn users_of_a_namespace_get_nothing_that_was_ready() {
    let mut bundle = Bundle::new();
    bundle.prepared = true;
    bundle.linux().namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    let map = |host_id| vec![IdMapping { container_id: 0, host_id, size: 65536 }];
    bundle.linux().uid_mappings = map(100_000);
    bundle.linux().gid_mappings = map(100_000);
    let capabilities = bundle.process().capabilities.as_mut().unwrap();
    for set in
        [&mut capabilities.bounding, &mut capabilities.permitted, &mut capabilities.effective]
    {
        set.push("CAP_NET_ADMIN".into());
    }
    let outcome = bundle.sh("stat -c %u /dev /dev/shm /dev/pts; ip link set lo mtu 9000").ok();
    assert_eq!(outcome, "0\n0\n0\n");
}

#[test]
fn what_is_not_named_is_the_hosts() {
    for (kind, name) in KINDS.into_iter().skip(1) {
        let mut bundle = Bundle::new();
        bundle.linux().namespaces.retain(|namespace| namespace.kind != kind);
        bundle.launch.spec.hostname.clear();
        let inside = bundle.sh(&format!("readlink /proc/self/ns/{name}")).ok();
        assert_eq!(inside.trim(), own(name), "{name}");
    }
}

/// A process in namespaces of its own.
struct Holder(Child);

impl Holder {
    fn new(flags: &[&str]) -> Self {
        let mut child = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", "echo ready; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        Self(child)
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("/proc/{}/ns/{name}", self.0.id()).into()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn namespaces_of_others_are_joined() {
    let holder = Holder::new(&["--net", "--uts", "--ipc"]);
    let mut bundle = Bundle::new();
    bundle.launch.spec.hostname.clear();
    for namespace in &mut bundle.linux().namespaces {
        namespace.path = match namespace.kind {
            NamespaceKind::Network => Some(holder.path("net")),
            NamespaceKind::Uts => Some(holder.path("uts")),
            NamespaceKind::Ipc => Some(holder.path("ipc")),
            _ => None,
        };
    }
    let output = bundle.sh("for n in net uts ipc; do readlink /proc/self/ns/$n; done").ok();
    let expected: Vec<String> = ["net", "uts", "ipc"]
        .map(|name| fs::read_link(holder.path(name)).unwrap().to_str().unwrap().to_owned())
        .into();
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_pid_namespace_of_another_container_is_joined() {
    let holder = Holder::new(&["--pid", "--fork", "--kill-child", "--mount-proc"]);
    let children = format!("/proc/{0}/task/{0}/children", holder.0.id());
    let child = fs::read_to_string(children).unwrap();
    let path = PathBuf::from(format!("/proc/{}/ns/pid", child.trim()));
    let expected = fs::read_link(&path).unwrap();
    let mut bundle = Bundle::new();
    for namespace in &mut bundle.linux().namespaces {
        if namespace.kind == NamespaceKind::Pid {
            namespace.path = Some(path.clone());
        }
    }
    let output = bundle.sh("readlink /proc/self/ns/pid; cat /proc/1/comm").ok();
    assert_eq!(output, format!("{}\nsleep\n", expected.display()));
}

fn mapped(bundle: &mut Bundle) {
    let mapping = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65536 }];
    let linux = bundle.linux();
    linux.uid_mappings.clone_from(&mapping);
    linux.gid_mappings = mapping;
    linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    for (name, id) in [("rootfs", 100_000), ("rootfs/dev", 100_000)] {
        std::os::unix::fs::chown(bundle.dir.join(name), Some(id), Some(id)).unwrap();
    }
}

#[test]
fn a_user_namespace_maps_ids_and_still_has_devices() {
    let mut bundle = Bundle::new();
    mapped(&mut bundle);
    let data = bundle.dir.join("secret");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "bound").unwrap();
    let secret = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    bundle.mount("/file", "bind", data.join("file").to_str().unwrap(), &["bind", "ro"]);
    fs::set_permissions(&data, secret).unwrap();
    bundle.process().oom_score_adj = Some(5);
    let script = "id -u; cat /proc/self/uid_map | tr -s ' '; cat /file; echo > /dev/null; \
                  stat -c %t:%T /dev/zero; cat /proc/self/oom_score_adj; \
                  cat /proc/keys | wc -c; hostname; ls /proc/self/fd | wc -l";
    let output = bundle.sh(script).ok();
    assert_eq!(output, "0\n 0 100000 65536\nbound1:5\n5\n0\nbox\n4\n");
}

#[test]
fn layers_are_shown_to_a_user_namespace_with_their_own_ids() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let mut bundle = Bundle::new();
    mapped(&mut bundle);
    for name in ["rootfs", "rootfs/dev"] {
        chown(bundle.dir.join(name), Some(0), Some(0)).unwrap();
    }
    let (top, work, upper) =
        (bundle.dir.join("top"), bundle.dir.join("own/work"), bundle.dir.join("own/upper"));
    for dir in [&top, &work, &upper] {
        fs::create_dir_all(dir).unwrap();
    }
    for (name, id) in [("root", 0), ("user", 1000), ("gone", 0)] {
        fs::write(top.join(name), name).unwrap();
        chown(top.join(name), Some(id), Some(id)).unwrap();
    }
    fs::set_permissions(bundle.dir.join("own"), PermissionsExt::from_mode(0o700)).unwrap();
    let lowers = vec![top, bundle.rootfs()];
    bundle.launch.rootfs =
        Rootfs::Overlay { lowers, upper: upper.clone(), work, volatile: false, mapped: true };
    let script = "stat -c %u:%g / /root /user; echo new > /made; mkdir /dir; chown 5:6 /dir; \
                  echo more >> /user; rm /gone; stat -c %u /made /user";
    assert_eq!(bundle.sh(script).ok(), "0:0\n0:0\n1000:1000\n0\n1000\n");
    let owner = |name: &str| {
        let found = fs::symlink_metadata(upper.join(name)).unwrap();
        (found.uid(), found.gid(), found.rdev())
    };
    assert_eq!(owner("made"), (0, 0, 0));
    assert_eq!(owner("dir"), (5, 6, 0));
    assert_eq!(owner("user"), (1000, 1000, 0));
    // A whiteout.
    assert_eq!(fs::symlink_metadata(upper.join("gone")).unwrap().mode() & 0o170_000, 0o020_000);
}

#[test]
fn a_user_namespace_can_be_entered_by_a_further_process() {
    let mut bundle = Bundle::new();
    mapped(&mut bundle);
    let launch = bundle.joining(&[
        "sh",
        "-c",
        "id -u; readlink /proc/self/ns/user; readlink /proc/1/ns/user",
    ]);
    let outcomes = bundle.exec(&[launch]);
    let lines: Vec<&str> = outcomes[0].output.lines().collect();
    assert_eq!(lines[0], "0");
    assert_eq!(lines[1], lines[2]);
}

#[test]
fn a_user_namespace_goes_with_joined_ones() {
    let holder = Holder::new(&["--net", "--ipc"]);
    let mut bundle = Bundle::new();
    mapped(&mut bundle);
    // What belongs to the outer user namespace cannot be mounted anew in the inner one.
    bundle
        .launch
        .spec
        .mounts
        .retain(|mount| !["sysfs", "mqueue", "cgroup"].contains(&mount.kind.as_str()));
    for namespace in &mut bundle.linux().namespaces {
        if namespace.kind == NamespaceKind::Network {
            namespace.path = Some(holder.path("net"));
        }
    }
    let expected = fs::read_link(holder.path("net")).unwrap();
    let output = bundle.sh("readlink /proc/self/ns/net; id -u").ok();
    assert_eq!(output, format!("{}\n0\n", expected.display()));
}

#[test]
fn a_time_namespace_has_its_offset() {
    let mut bundle = Bundle::new();
    bundle.linux().namespaces.push(Namespace { kind: NamespaceKind::Time, path: None });
    let offset = TimeOffset { secs: 1_000_000, nanosecs: 0 };
    bundle.linux().time_offsets.insert("boottime".into(), offset);
    let output = bundle.sh("cat /proc/uptime; cat /proc/self/timens_offsets | tr -s ' '").ok();
    let uptime: f64 = output.split_whitespace().next().unwrap().parse().unwrap();
    assert!(uptime > 1_000_000.0, "{output}");
}

#[test]
fn sysctls_of_the_containers_namespaces_are_set() {
    let mut bundle = Bundle::new();
    let set = |bundle: &mut Bundle, key: &str, value: &str| {
        bundle.linux().sysctl.insert(key.into(), value.into());
    };
    set(&mut bundle, "net.ipv4.ip_forward", "1");
    set(&mut bundle, "kernel.shmmax", "4242");
    let script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmax";
    assert_eq!(bundle.sh(script).ok(), "1\n4242\n");
    set(&mut bundle, "kernel.core_pattern", "x");
    let message = bundle.sh("true").refused().message;
    assert_eq!(message, "sysctl \"kernel.core_pattern\" is not in a separate kernel namespace");
}

#[test]
fn the_loopback_interface_is_up() {
    assert_eq!(Bundle::new().sh("ip addr show lo | grep -c 127.0.0.1/8").ok(), "1\n");
}
