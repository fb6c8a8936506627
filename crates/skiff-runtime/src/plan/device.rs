//! What `/dev` holds.

use std::path::PathBuf;

use skiff_model::oci::{Device, DeviceCgroup, Resources};

use super::{Op, invalid};
use crate::facts::HostFacts;
use crate::launch::LaunchError;

/// A device node to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlan {
    pub path: PathBuf,
    pub kind: rustix::fs::FileType,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// What every container has (`config-linux.md`, "Default Devices").
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/tty", 5, 0),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
];

const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// What a container may always use, after the rules of its specification: its nodes in `/dev`, any
/// terminal of its devpts, and `mknod`, which opens nothing. These are runc's; whoever writes a
/// specification counts on them.
const ALWAYS_ALLOWED: [(&str, Option<i64>, Option<i64>, &str); 10] = [
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    ("c", Some(1), Some(3), "rwm"),
    ("c", Some(1), Some(5), "rwm"),
    ("c", Some(1), Some(7), "rwm"),
    ("c", Some(1), Some(8), "rwm"),
    ("c", Some(1), Some(9), "rwm"),
    ("c", Some(5), Some(0), "rwm"),
    ("c", Some(5), Some(2), "rwm"),
    ("c", Some(136), None, "rwm"),
];

/// Adds to the rules of a specification what they must not forbid. No rules at all stay none.
pub(super) fn allow_defaults(resources: &mut Resources) {
    if resources.devices.is_empty() {
        return;
    }
    let rule = |(kind, major, minor, access): (&str, Option<i64>, Option<i64>, &str)| {
        DeviceCgroup { allow: true, kind: kind.to_owned(), major, minor, access: access.to_owned() }
    };
    resources.devices.extend(ALWAYS_ALLOWED.map(rule));
}

pub(super) fn push_ops(
    devices: &[Device],
    facts: &HostFacts,
    ops: &mut Vec<Op>,
) -> Result<(), LaunchError> {
    let named: Vec<DevicePlan> = devices.iter().map(plan).collect::<Result<_, _>>()?;
    for (path, major, minor) in DEFAULTS {
        let path = PathBuf::from(path);
        if named.iter().all(|device| device.path != path) {
            let kind = rustix::fs::FileType::CharacterDevice;
            ops.push(Op::Device(DevicePlan {
                path,
                kind,
                major,
                minor,
                mode: 0o666,
                uid: 0,
                gid: 0,
            }));
        }
    }
    // `/dev/ptmx` is the container's own devpts's, whatever the specification says.
    let named = named.into_iter().filter(|device| device.path != *"/dev/ptmx");
    ops.extend(named.map(Op::Device));
    ops.push(Op::Ptmx);
    ops.extend(LINKS.map(|(path, target)| Op::DevLink { path: path.into(), target }));
    if facts.kcore {
        ops.push(Op::DevLink { path: "/dev/core".into(), target: "/proc/kcore" });
    }
    Ok(())
}

fn plan(device: &Device) -> Result<DevicePlan, LaunchError> {
    use rustix::fs::FileType;
    let path = super::mount::clean(&device.path);
    let kind = match device.kind.as_str() {
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        other => {
            let path = path.display();
            return Err(invalid(format!("device {path}: invalid type {other:?}")));
        }
    };
    let number = |value: i64| {
        u32::try_from(value)
            .map_err(|_| invalid(format!("device {}: invalid number {value}", path.display())))
    };
    let numbered = kind != FileType::Fifo;
    Ok(DevicePlan {
        kind,
        major: if numbered { number(device.major)? } else { 0 },
        minor: if numbered { number(device.minor)? } else { 0 },
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
        path,
    })
}
