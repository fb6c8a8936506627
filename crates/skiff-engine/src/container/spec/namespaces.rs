//! Namespaces: which are new, which are the host's (absent), which are another container's.

use std::path::PathBuf;

use skiff_model::oci::{Namespace, NamespaceKind, Spec};

use super::{Facts, Input, defaults, linux_of};
use crate::error::{Error, Result};

/// Whose namespace a mode means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// The container's own.
    New,
    Host,
    Container(&'a str),
}

/// Reads a mode of `--pid`, `--ipc`, `--uts`, `--network`, `--userns`.
pub(crate) fn owner(mode: &str) -> Owner<'_> {
    match mode.strip_prefix("container:") {
        Some(container) => Owner::Container(container),
        None if mode == "host" => Owner::Host,
        None => Owner::New,
    }
}

/// Whether a container's control groups are a namespace of its own.
pub(crate) fn private_cgroup(mode: &str, facts: &Facts) -> bool {
    match mode {
        "private" => true,
        "host" => false,
        _ => facts.cgroup_v2,
    }
}

pub(super) fn namespaces(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    let mut list = vec![Namespace { kind: NamespaceKind::Mount, path: None }];
    let mut add = |kind, mode: &str, peer: Option<i32>| -> Result<()> {
        let path = match owner(mode) {
            Owner::Host => return Ok(()),
            Owner::New => None,
            Owner::Container(container) => Some(path_of(kind, container, peer)?),
        };
        list.push(Namespace { kind, path });
        Ok(())
    };
    add(NamespaceKind::Network, &host.network_mode, input.peers.network)?;
    // A container that shares a network shares its host name, too.
    let uts = match owner(&host.network_mode) {
        Owner::Container(_) if host.uts_mode.is_empty() => &host.network_mode,
        _ => &host.uts_mode,
    };
    add(NamespaceKind::Uts, uts, input.peers.network)?;
    add(NamespaceKind::Ipc, &host.ipc_mode, input.peers.ipc)?;
    add(NamespaceKind::Pid, &host.pid_mode, input.peers.pid)?;
    if private_cgroup(&host.cgroupns_mode, input.facts) {
        list.push(Namespace { kind: NamespaceKind::Cgroup, path: None });
    }
    linux_of(spec).namespaces = list;
    Ok(())
}

fn path_of(kind: NamespaceKind, container: &str, peer: Option<i32>) -> Result<PathBuf> {
    let pid = peer.ok_or_else(|| {
        Error::conflict(format!("cannot join the namespace of container {container}"))
    })?;
    let file = match kind {
        NamespaceKind::Pid => "pid",
        NamespaceKind::Network => "net",
        NamespaceKind::Mount => "mnt",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Uts => "uts",
        NamespaceKind::User => "user",
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::Time => "time",
    };
    Ok(PathBuf::from(format!("/proc/{pid}/ns/{file}")))
}

/// The user namespace: of its own, or that of a container with which another namespace is shared.
pub(super) fn users(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let Some(map) = input.users() else { return Ok(()) };
    let linux = linux_of(spec);
    let path = input.peers.users.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/user")));
    linux.namespaces.push(Namespace { kind: NamespaceKind::User, path });
    linux.uid_mappings.clone_from(&map.uids);
    linux.gid_mappings.clone_from(&map.gids);
    Ok(())
}

/// Host and domain name; only in a namespace where they can be set.
pub(super) fn names(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let own = linux_of(spec)
        .namespaces
        .iter()
        .any(|namespace| namespace.kind == NamespaceKind::Uts && namespace.path.is_none());
    if own {
        spec.hostname.clone_from(&input.record.config.hostname);
        spec.domainname.clone_from(&input.record.config.domainname);
    }
    Ok(())
}

/// Kernel settings: Docker's for a network of the container's own, and the request's.
pub(super) fn sysctls(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    let sysctl = &mut linux_of(spec).sysctl;
    if owner(&host.network_mode) == Owner::New {
        for (key, value) in defaults::NETWORK_SYSCTLS {
            // The range has more groups than a user namespace.
            if key == "net.ipv4.ping_group_range" && input.users().is_some() {
                continue;
            }
            sysctl.insert(key.to_owned(), value.to_owned());
        }
    }
    for (key, value) in host.sysctls.iter() {
        sysctl.insert(key.clone(), value.clone());
    }
    Ok(())
}
