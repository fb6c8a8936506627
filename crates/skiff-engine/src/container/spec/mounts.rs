//! Mounts, in the order they are made: the system's, shared memory, what was asked for (shallow
//! before deep), the three files in /etc.

use std::path::{Path, PathBuf};

use skiff_model::oci::{Mount, Spec};
use skiff_runtime::prepared::MOUNTS;

use super::namespaces::{Owner, owner};
use super::{Input, security};
use crate::container::record::{ReadOnly, ResolvedMount};
use crate::error::{Error, Result};

/// /proc, /dev, /sys and below, unless a requested mount takes their place.
pub(super) fn system(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    let requested = |path: &str| wanted(input, path);
    let options = security::Options::parse(&host.security_opt)?;
    for (destination, kind, source, flags) in MOUNTS {
        if requested(destination) || (destination.starts_with("/dev/") && requested("/dev")) {
            continue;
        }
        let mut flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let writable = match destination {
            "/sys" => host.privileged,
            "/sys/fs/cgroup" => host.privileged || options.writable_cgroups,
            _ => false,
        };
        if writable {
            flags.retain(|flag| flag != "ro");
        }
        spec.mounts.push(Mount {
            destination: PathBuf::from(destination),
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: flags,
            ..Mount::default()
        });
    }
    Ok(())
}

fn wanted(input: &Input<'_>, path: &str) -> bool {
    input.record.mounts.iter().any(|mount| mount.point.destination == path)
}

fn bind(source: &str, destination: &str, more: &[&str]) -> Mount {
    let options = ["rbind", "rprivate"].iter().chain(more).map(|flag| (*flag).to_owned());
    Mount {
        destination: PathBuf::from(destination),
        kind: "bind".to_owned(),
        source: source.to_owned(),
        options: options.collect(),
        ..Mount::default()
    }
}

/// /dev/shm, by IPC mode.
pub(super) fn shared_memory(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    if wanted(input, "/dev/shm") || wanted(input, "/dev") {
        return Ok(());
    }
    let flags = ["nosuid", "noexec", "nodev"];
    let mount = match (host.ipc_mode.as_str(), owner(&host.ipc_mode)) {
        ("none", _) => return Ok(()),
        ("shareable", _) => bind(&text(&shareable(input))?, "/dev/shm", &flags),
        (_, Owner::Host) => bind("/dev/shm", "/dev/shm", &flags),
        (_, Owner::Container(container)) => {
            let source = input.peers.shm.as_ref().ok_or_else(|| {
                Error::conflict(format!("the shared memory of container {container} is not shared"))
            })?;
            bind(&text(source)?, "/dev/shm", &flags)
        }
        (_, Owner::New) => Mount {
            destination: PathBuf::from("/dev/shm"),
            kind: "tmpfs".to_owned(),
            source: "shm".to_owned(),
            options: flags
                .iter()
                .map(|flag| (*flag).to_owned())
                .chain(["mode=1777".to_owned(), format!("size={}", host.shm_size)])
                .collect(),
            ..Mount::default()
        },
    };
    spec.mounts.push(mount);
    Ok(())
}

/// Where the shared memory of a container is that lets others have it, too.
fn shareable(input: &Input<'_>) -> PathBuf {
    input.paths.shm()
}

/// What was asked for.
pub(super) fn requested(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let mut mounts: Vec<&ResolvedMount> = input.record.mounts.iter().collect();
    // A mount below another must come after it.
    mounts.sort_by_key(|mount| Path::new(&mount.point.destination).components().count());
    for mount in mounts {
        let mut made = one(mount)?;
        // Volumes are the containers'; a bind is the host's, whose ids it keeps.
        if mount.point.kind == "volume" && !input.foreign_volumes.contains(&mount.point.name) {
            map_ids(input, &mut made);
        }
        spec.mounts.push(made);
    }
    Ok(())
}

/// Shows files with the container's ids to its user namespace.
fn map_ids(input: &Input<'_>, mount: &mut Mount) {
    if let Some(map) = input.users() {
        mount.uid_mappings.clone_from(&map.uids);
        mount.gid_mappings.clone_from(&map.gids);
    }
}

fn one(mount: &ResolvedMount) -> Result<Mount> {
    let destination = PathBuf::from(&mount.point.destination);
    if mount.point.kind == "tmpfs" {
        let mut options: Vec<String> =
            ["noexec", "nosuid", "nodev", "rprivate"].map(str::to_owned).to_vec();
        for option in &mount.tmpfs_options {
            merge_tmpfs_option(&mut options, option);
        }
        if mount.read_only != ReadOnly::No {
            options.push("ro".to_owned());
        }
        return Ok(Mount {
            destination,
            kind: "tmpfs".to_owned(),
            source: "tmpfs".to_owned(),
            options,
            ..Mount::default()
        });
    }
    let propagation = match mount.point.propagation.as_str() {
        "" => "rprivate",
        propagation => propagation,
    };
    let read_only = match mount.read_only {
        ReadOnly::No => "rw",
        ReadOnly::Recursive if !recursive_read_only() => "ro",
        ReadOnly::Recursive => "rro",
        ReadOnly::ForceRecursive if !recursive_read_only() => {
            return Err(Error::invalid(format!(
                "recursively read-only mount {} is not supported by this kernel",
                mount.point.destination
            )));
        }
        ReadOnly::ForceRecursive => "rro",
        ReadOnly::Shallow => "ro",
    };
    let recursion = if mount.non_recursive { "bind" } else { "rbind" };
    let mut options: Vec<String> = [recursion, read_only, propagation].map(str::to_owned).to_vec();
    if mount.point.kind == "volume" && mount.read_only == ReadOnly::No {
        options.retain(|option| option != "rw");
    }
    Ok(Mount {
        destination,
        kind: "bind".to_owned(),
        source: text(&mount.source)?,
        options,
        ..Mount::default()
    })
}

/// `mount_setattr(2)` came with Linux 5.12.
fn recursive_read_only() -> bool {
    static SUPPORTED: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        version >= (5, 12)
    });
    *SUPPORTED
}

/// Flags that take back another.
const OPPOSITES: [(&str, &str); 6] = [
    ("exec", "noexec"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("rw", "ro"),
    ("atime", "noatime"),
    ("diratime", "nodiratime"),
];

/// Adds an option of a tmpfs over the defaults: a later one of two opposites counts, as does a
/// later value of one key.
fn merge_tmpfs_option(options: &mut Vec<String>, option: &str) {
    if option.is_empty() {
        return;
    }
    let opposite = OPPOSITES.iter().find_map(|(yes, no)| match option {
        _ if option == *yes => Some(*no),
        _ if option == *no => Some(*yes),
        _ => None,
    });
    let key = option.split_once('=').map(|(key, _)| key);
    options.retain(|has| {
        has != option
            && Some(has.as_str()) != opposite
            && (key.is_none() || has.split_once('=').map(|(key, _)| key) != key)
    });
    options.push(option.to_owned());
}

fn text(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::invalid(format!("path {} is not UTF-8", path.display()))),
    }
}

/// The files that say who and where the container is.
pub(super) fn etc_files(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let files = &input.files;
    for (destination, source) in [
        ("/etc/resolv.conf", &files.resolv_conf),
        ("/etc/hostname", &files.hostname),
        ("/etc/hosts", &files.hosts),
    ] {
        if let Some(source) = source
            && !wanted(input, destination)
            && !wanted(input, "/etc")
        {
            let mut made = bind(&text(source)?, destination, &[]);
            map_ids(input, &mut made);
            spec.mounts.push(made);
        }
    }
    Ok(())
}

/// Mounts that stay writable on a read-only root.
const ALWAYS_WRITABLE: [&str; 5] = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"];

/// With a read-only root, all that nobody asked for is read-only.
pub(super) fn read_only(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    if !input.record.host_config.readonly_rootfs {
        return Ok(());
    }
    for mount in &mut spec.mounts {
        let destination = mount.destination.to_string_lossy();
        let skip = ALWAYS_WRITABLE.contains(&destination.as_ref()) || wanted(input, &destination);
        if !skip && !mount.options.iter().any(|option| option == "ro") {
            mount.options.push("ro".to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_tmpfs_option_takes_back_an_earlier_one() {
        let mut options = ["noexec", "nosuid", "nodev"].map(str::to_owned).to_vec();
        for option in ["exec", "size=1m", "size=2m", "", "mode=700"] {
            merge_tmpfs_option(&mut options, option);
        }
        assert_eq!(options, ["nosuid", "nodev", "exec", "size=2m", "mode=700"]);
    }
}
