//! Devices: nodes the container gets, and the rules of what it may do with which.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use skiff_api::DeviceMapping;
use skiff_model::oci::{Device, DeviceCgroup, Spec};

use super::{Input, linux_of};
use crate::error::{Error, Result};

pub(super) fn devices(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    let mut nodes = Vec::new();
    let mut rules;
    if host.privileged {
        rules = vec![rule(true, "", None, None, "rwm")];
        below(Path::new("/dev"), Path::new("/dev"), &mut nodes)?;
        for mapping in &host.resources.devices {
            if mapping.path_in_container != mapping.path_on_host {
                nodes.extend(mapped(mapping)?);
            }
        }
    } else {
        rules = base_rules();
        for mapping in &host.resources.devices {
            let found = mapped(mapping)?;
            rules.extend(found.iter().map(|device| {
                rule(
                    true,
                    &device.kind,
                    Some(device.major),
                    Some(device.minor),
                    &mapping.cgroup_permissions,
                )
            }));
            nodes.extend(found);
        }
        for text in &host.resources.device_cgroup_rules {
            rules.push(parse_rule(text)?);
        }
    }
    let linux = linux_of(spec);
    linux.devices = nodes;
    linux.resources.get_or_insert_default().devices = rules;
    Ok(())
}

fn rule(
    allow: bool,
    kind: &str,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> DeviceCgroup {
    DeviceCgroup { allow, kind: kind.to_owned(), major, minor, access: access.to_owned() }
}

/// Nothing, but what every runtime (ours, runc, crun) adds itself for the nodes that it makes in
/// `/dev`, and the console, which only Docker allows; FUSE is named since a wildcard may be added
/// later.
fn base_rules() -> Vec<DeviceCgroup> {
    vec![
        rule(false, "", None, None, "rwm"),
        rule(true, "c", Some(5), Some(1), "rwm"),
        rule(false, "c", Some(10), Some(229), "rwm"),
    ]
}

/// The node, or all nodes below the directory, of a mapping.
fn mapped(mapping: &DeviceMapping) -> Result<Vec<Device>> {
    let from = Path::new(&mapping.path_on_host);
    let to = match mapping.path_in_container.as_str() {
        "" => from,
        path => Path::new(path),
    };
    let gathering = |why: &dyn std::fmt::Display| {
        Error::internal(format!(
            "error gathering device information while adding custom device \"{}\": {why}",
            mapping.path_on_host
        ))
    };
    let metadata = fs::metadata(from).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            gathering(&"no such file or directory")
        } else {
            gathering(&error)
        }
    })?;
    if let Some(device) = node(&metadata, to) {
        return Ok(vec![device]);
    }
    let mut nodes = Vec::new();
    if metadata.is_dir() {
        below(from, to, &mut nodes)?;
    }
    if nodes.is_empty() {
        return Err(gathering(&"not a device node"));
    }
    Ok(nodes)
}

/// Names in /dev that the runtime makes itself, or that are not the container's business.
const SKIPPED: [&str; 8] =
    ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"];

fn below(from: &Path, to: &Path, nodes: &mut Vec<Device>) -> Result<()> {
    let what = |error| Error::failed(format!("list devices in {}", from.display()), error);
    for entry in fs::read_dir(from).map_err(what)? {
        let entry = entry.map_err(what)?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| SKIPPED.contains(&name)) {
            continue;
        }
        // A device that went away, or a link: neither is a node.
        let Ok(metadata) = entry.metadata() else { continue };
        let (from, to) = (entry.path(), to.join(&name));
        if metadata.is_dir() {
            below(&from, &to, nodes)?;
        } else if let Some(device) = node(&metadata, &to) {
            nodes.push(device);
        }
    }
    Ok(())
}

fn node(metadata: &Metadata, path: &Path) -> Option<Device> {
    let kind = metadata.file_type();
    let kind = if kind.is_char_device() {
        "c"
    } else if kind.is_block_device() {
        "b"
    } else {
        return None;
    };
    let (major, minor) = numbers(metadata.rdev());
    Some(Device {
        kind: kind.to_owned(),
        path: PathBuf::from(path),
        major,
        minor,
        file_mode: Some(metadata.permissions().mode() & 0o7777),
        uid: Some(metadata.uid()),
        gid: Some(metadata.gid()),
    })
}

/// Major and minor number of a device.
pub(crate) fn numbers(rdev: u64) -> (i64, i64) {
    (i64::from(rustix::fs::major(rdev)), i64::from(rustix::fs::minor(rdev)))
}

/// Reads a rule as `c 1:3 rwm`, `b *:* m`.
pub(crate) fn parse_rule(text: &str) -> Result<DeviceCgroup> {
    let invalid = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    let number = |text: &str| -> Result<Option<i64>> {
        if text == "*" {
            return Ok(None);
        }
        text.parse::<u32>().map(|number| Some(i64::from(number))).map_err(|_| invalid())
    };
    let mut words = text.split(' ');
    let (Some(kind @ ("a" | "b" | "c")), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    if !(1..=3).contains(&access.len()) || !access.chars().all(|mode| "rwm".contains(mode)) {
        return Err(invalid());
    }
    Ok(rule(true, kind, number(major)?, number(minor)?, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_or_refused() {
        for (text, expected) in [
            ("c 1:3 rwm", Some(("c", Some(1), Some(3), "rwm"))),
            ("b *:* m", Some(("b", None, None, "m"))),
            ("a *:* rw", Some(("a", None, None, "rw"))),
            ("c 7:* rmw", Some(("c", Some(7), None, "rmw"))),
            ("x 1:3 rwm", None),
            ("c 1 rwm", None),
            ("c 1:3", None),
            ("c 1:3 rwmx", None),
            ("c 1:3 x", None),
            ("c -1:3 r", None),
            ("c 1:3 r r", None),
            ("", None),
        ] {
            let found = parse_rule(text).ok();
            let expected =
                expected.map(|(kind, major, minor, access)| rule(true, kind, major, minor, access));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_mapped_device_is_found_by_its_path() {
        let mapping = DeviceMapping {
            path_on_host: "/dev/null".to_owned(),
            path_in_container: "/dev/nothing".to_owned(),
            cgroup_permissions: "r".to_owned(),
        };
        let found = mapped(&mapping).unwrap();
        assert_eq!((found[0].major, found[0].minor), (1, 3));
        assert_eq!(found[0].path, Path::new("/dev/nothing"));
        let mapping = DeviceMapping { path_on_host: "/nope".to_owned(), ..mapping };
        assert_eq!(
            mapped(&mapping).unwrap_err().to_string(),
            "error gathering device information while adding custom device \"/nope\": \
             no such file or directory"
        );
    }
}
