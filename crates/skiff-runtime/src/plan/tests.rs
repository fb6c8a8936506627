//! Whole plans, as text: what a reader of a specification would expect to happen, in order.

use std::path::PathBuf;

use skiff_model::oci::{
    Hook, Hooks, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec,
};

use super::*;
use crate::launch::CgroupDriver;

fn facts() -> HostFacts {
    HostFacts {
        last_capability: 40,
        apparmor: false,
        selinux: false,
        kcore: true,
        sealed: true,
        command_line: None,
        clone_into_cgroup: true,
        overlay_by_layers: true,
    }
}

fn mount(destination: &str, kind: &str, source: &str, options: &str) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: options.split_whitespace().map(str::to_owned).collect(),
        ..Mount::default()
    }
}

fn launch() -> Launch {
    let spec = Spec {
        process: Some(Process { args: vec!["sh".into()], cwd: "/".into(), ..Process::default() }),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: "box".into(),
        mounts: vec![
            mount("/proc", "proc", "proc", "nosuid noexec nodev"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 ro"),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro"),
            mount("/data", "bind", "data", "rbind rprivate rro"),
        ],
        hooks: Some(Hooks {
            prestart: vec![Hook::default()],
            create_container: vec![Hook::default()],
            ..Hooks::default()
        }),
        linux: Some(Linux {
            namespaces: [NamespaceKind::Mount, NamespaceKind::Pid, NamespaceKind::Uts]
                .map(|kind| Namespace { kind, path: None })
                .into(),
            masked_paths: vec!["/proc/keys".into()],
            readonly_paths: vec!["/proc/sys".into()],
            rootfs_propagation: "rslave".into(),
            ..Linux::default()
        }),
        ..Spec::default()
    };
    Launch {
        id: "c1".into(),
        bundle: "/bundle".into(),
        spec,
        rootfs: Rootfs::Path("rootfs".into()),
        cgroup_driver: CgroupDriver::Cgroupfs,
        user: None,
        seccomp: SeccompSource::Spec,
        init: false,
    }
}

/// One operation in a line.
fn line(op: &Op) -> String {
    match op {
        Op::Mount(plan) | Op::MountCgroups(plan) => {
            let what = match &plan.source {
                MountSource::Bind { path, recursive } => {
                    format!("bind {}{}", path.display(), if *recursive { " rec" } else { "" })
                }
                MountSource::New { kind, parameters, .. } => {
                    let words = parameters.iter().map(|parameter| match &parameter.value {
                        Some(value) => format!(" {}={value}", parameter.key),
                        None => format!(" {}", parameter.key),
                    });
                    kind.clone() + &words.collect::<String>()
                }
                MountSource::Cgroup => "cgroups".to_owned(),
            };
            let attributes = (plan.set, plan.clear, plan.set_recursive);
            format!("mount {what} on {} {attributes:x?}", plan.destination.display())
        }
        Op::Device(plan) => format!("device {} {}:{}", plan.path.display(), plan.major, plan.minor),
        Op::DevLink { path, target } => format!("link {} -> {target}", path.display()),
        Op::ContainerHooks(hooks) => format!("container hooks: {}", hooks.len()),
        Op::Keyring(name) => format!("keyring {}", name.to_string_lossy()),
        Op::Sysctl(sysctl) => format!("sysctl {}={}", sysctl.path.display(), sysctl.value),
        Op::LateReadonly(path) => format!("read-only at last {}", path.display()),
        Op::ReadonlyPath(path) => format!("read-only {}", path.display()),
        Op::MaskedPath(path) => format!("mask {}", path.display()),
        Op::Hostname(name) => format!("hostname {name}"),
        Op::Domainname(name) => format!("domainname {name}"),
        Op::PivotRoot { propagation, by_moving } => {
            let kind = propagation.map(|propagation| propagation.kind);
            format!("pivot {kind:x?}{}", if *by_moving { " by moving" } else { "" })
        }
        Op::LoopbackUp | Op::Ptmx | Op::RuntimeHooks | Op::RootReadonly | Op::Console => {
            format!("{op:?}")
        }
    }
}

fn text(ops: &[Op]) -> String {
    ops.iter().map(|op| line(op) + "\n").collect()
}

#[test]
fn a_container_is_set_up_in_this_order() {
    let plan = plan(&launch(), &facts()).unwrap();
    let expected = "\
keyring _ses.c1
mount proc source=proc on /proc (e, 0, 0)
mount tmpfs source=tmpfs mode=755 on /dev (22, 70, 0)
mount bind /bundle/data rec on /data (0, 0, 1)
device /dev/null 1:3
device /dev/zero 1:5
device /dev/full 1:7
device /dev/tty 5:0
device /dev/random 1:8
device /dev/urandom 1:9
Ptmx
link /dev/fd -> /proc/self/fd
link /dev/stdin -> /proc/self/fd/0
link /dev/stdout -> /proc/self/fd/1
link /dev/stderr -> /proc/self/fd/2
link /dev/core -> /proc/kcore
mount cgroups on /sys/fs/cgroup (1, 0, 0)
RuntimeHooks
container hooks: 1
pivot Some(80000)
read-only at last /dev
RootReadonly
Console
hostname box
read-only /proc/sys
mask /proc/keys
";
    assert_eq!(text(&plan.ops), expected);
    assert_eq!(plan.root.rootfs, Rootfs::Path("/bundle/rootfs".into()));
    assert_eq!(plan.cgroup.id, "c1");
    assert!(!plan.namespaces.needs_helper());
}

#[test]
fn control_groups_stay_below_what_is_mounted_over_them() {
    for over in ["/sys/fs", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"] {
        let mut launch = launch();
        launch.spec.mounts.push(mount(over, "bind", "/data", "rbind"));
        let ops = text(&plan(&launch, &facts()).unwrap().ops);
        let cgroups = ops.find("mount cgroups").unwrap();
        assert!(cgroups < ops.find("mount bind /bundle/data").unwrap(), "{ops}");
    }
}

#[test]
fn a_bound_dev_is_left_as_it_is() {
    let mut launch = launch();
    launch.spec.mounts[1] = mount("/dev/", "bind", "/dev", "rbind");
    let ops = text(&plan(&launch, &facts()).unwrap().ops);
    assert!(!ops.contains("device "), "{ops}");
    assert!(!ops.contains("link "), "{ops}");
}

#[test]
fn a_user_namespace_with_joined_ones_needs_a_helper() {
    let mut launch = launch();
    let linux = launch.spec.linux.as_mut().unwrap();
    let mapping = vec![IdMapping { container_id: 0, host_id: 1000, size: 10 }];
    linux.uid_mappings.clone_from(&mapping);
    linux.gid_mappings = mapping;
    linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
    let alone = plan(&launch, &facts()).unwrap().namespaces;
    assert!(!alone.needs_helper());
    assert_eq!(alone.maps.unwrap().uid, "0 1000 10\n");
    let joined =
        Namespace { kind: NamespaceKind::Network, path: Some(PathBuf::from("/proc/1/ns/net")) };
    launch.spec.linux.as_mut().unwrap().namespaces.push(joined);
    assert!(plan(&launch, &facts()).unwrap().namespaces.needs_helper());
}

#[test]
fn labels_go_to_file_systems_where_selinux_is() {
    let mut launch = launch();
    launch.spec.linux.as_mut().unwrap().mount_label = "a:b:c,d".into();
    let selinux = HostFacts { selinux: true, ..facts() };
    let ops = text(&plan(&launch, &selinux).unwrap().ops);
    assert!(ops.contains("mount tmpfs source=tmpfs mode=755 context=a:b:c,d on /dev"), "{ops}");
    assert!(ops.contains("mount proc source=proc on"), "{ops}");
    let ops = text(&plan(&launch, &facts()).unwrap().ops);
    assert!(!ops.contains("context="), "{ops}");
}

#[test]
fn the_command_lines_options_change_the_plan() {
    let mut plan = plan(&launch(), &facts()).unwrap();
    plan.apply_options(Options { no_pivot: true, no_new_keyring: true, preserve_fds: 2 });
    let ops = text(&plan.ops);
    assert!(!ops.contains("keyring"), "{ops}");
    assert!(ops.contains("by moving"), "{ops}");
    assert_eq!(plan.preserve_fds, 2);
}

#[test]
fn writing_to_procfs_takes_the_containers_own_where_it_is_as_good() {
    let needs = |change: &dyn Fn(&mut Spec)| {
        let mut launch = launch();
        launch.spec.linux.as_mut().unwrap().sysctl =
            [("kernel.domainname".to_owned(), "x".to_owned())].into();
        change(&mut launch.spec);
        plan(&launch, &HostFacts { apparmor: true, ..facts() }).unwrap().needs_private_procfs()
    };
    let label = |spec: &mut Spec| {
        spec.process.as_mut().unwrap().apparmor_profile = "docker-default".into();
    };
    let mask = |spec: &mut Spec, path: &str| {
        spec.linux.as_mut().unwrap().masked_paths.push(path.into());
    };
    assert!(!needs(&|_| ()));
    assert!(!needs(&|spec| label(spec)));
    assert!(!needs(&|spec| spec.linux.as_mut().unwrap().sysctl.clear()));
    // None of its own, one that cannot be written to, one with half the files.
    assert!(needs(&|spec| drop(spec.mounts.remove(0))));
    assert!(needs(&|spec| spec.mounts[0].options.push("ro".into())));
    assert!(needs(&|spec| spec.mounts[0].options.push("subset=pid".into())));
    assert!(needs(&|spec| spec.mounts[0].kind = "bind".into()));
    // Labels are written when masks are in place.
    for path in ["/proc", "/proc/self/attr", "/proc/thread-self", "/proc/1"] {
        assert!(!needs(&|spec| mask(spec, path)), "{path}");
        assert!(needs(&|spec| (label(spec), mask(spec, path)).1), "{path}");
    }
    assert!(!needs(&|spec| (label(spec), mask(spec, "/proc/selfish")).1));
}
