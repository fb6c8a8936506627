//! `spec`: writes a `config.json` to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use skiff_model::oci::{
    Capabilities, DeviceCgroup, IdMapping, Linux, Mount, Namespace, NamespaceKind, Process,
    Resources, Rlimit, Root, Spec,
};

use super::args::{Flag, Parsed};
use super::{CommandError, Global, Result, SPEC_VERSION, Verb};

pub(super) static VERB: Verb = Verb {
    name: "spec",
    about: "create a new specification file",
    usage: "[command options]",
    flags: &[Flag::value("bundle").short("b"), Flag::switch("rootless")],
    flags_anywhere: true,
    arguments: (0, 0),
    run: write,
};

fn write(_: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let path = Path::new(parsed.get("bundle").unwrap_or(".")).join("config.json");
    let mut spec = default();
    if parsed.has("rootless") {
        without_root(&mut spec);
    }
    let text = serde_json::to_string_pretty(&spec)
        .map_err(|error| CommandError::new(error.to_string()))?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| match error
            .kind()
        {
            std::io::ErrorKind::AlreadyExists => {
                CommandError::new("File config.json exists. Remove it first")
            }
            _ => CommandError::io(path.display(), error),
        })?;
    file.write_all(text.as_bytes()).map_err(|error| CommandError::io(path.display(), error))?;
    Ok(ExitCode::SUCCESS)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn mount(destination: &str, kind: &str, source: &str, options: &str) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: words(options),
        ..Mount::default()
    }
}

fn default() -> Spec {
    let caps = words("CAP_AUDIT_WRITE CAP_KILL CAP_NET_BIND_SERVICE");
    let paths = |text: &str| words(text).into_iter().map(Into::into).collect();
    let own = |kind| Namespace { kind, path: None };
    Spec {
        oci_version: SPEC_VERSION.into(),
        process: Some(Process {
            terminal: true,
            args: vec!["sh".into()],
            env: words(
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=xterm",
            ),
            cwd: "/".into(),
            capabilities: Some(Capabilities {
                bounding: caps.clone(),
                effective: caps.clone(),
                permitted: caps,
                ..Capabilities::default()
            }),
            rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: 1024, hard: 1024 }],
            no_new_privileges: true,
            ..Process::default()
        }),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        hostname: "skiff".into(),
        mounts: vec![
            mount("/proc", "proc", "proc", ""),
            mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
            mount(
                "/dev/pts",
                "devpts",
                "devpts",
                "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5",
            ),
            mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
            mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
            mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro"),
        ],
        linux: Some(Linux {
            resources: Some(Resources {
                devices: vec![DeviceCgroup { access: "rwm".into(), ..DeviceCgroup::default() }],
                ..Resources::default()
            }),
            namespaces: vec![
                own(NamespaceKind::Pid),
                own(NamespaceKind::Network),
                own(NamespaceKind::Ipc),
                own(NamespaceKind::Uts),
                own(NamespaceKind::Mount),
                own(NamespaceKind::Cgroup),
            ],
            masked_paths: paths(
                "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys \
                 /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug \
                 /sys/firmware /sys/devices/virtual/powercap /proc/scsi",
            ),
            readonly_paths: paths("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

/// Changes a specification to what a user without root's rights can run.
fn without_root(spec: &mut Spec) {
    let own = |id| IdMapping { container_id: 0, host_id: id, size: 1 };
    spec.mounts.retain(|mount| mount.kind != "cgroup" && mount.destination != *"/sys");
    for mount in &mut spec.mounts {
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    spec.mounts.push(mount("/sys", "none", "/sys", "rbind nosuid noexec nodev ro"));
    if let Some(linux) = &mut spec.linux {
        linux.resources = None;
        linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
        linux.namespaces.push(Namespace { kind: NamespaceKind::User, path: None });
        linux.uid_mappings = vec![own(rustix::process::geteuid().as_raw())];
        linux.gid_mappings = vec![own(rustix::process::getegid().as_raw())];
    }
}
