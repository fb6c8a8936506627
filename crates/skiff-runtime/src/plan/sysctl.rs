//! Which kernel parameters a container may set: those of its own namespaces, no others.

use std::path::PathBuf;

use skiff_sys::namespace as ns;

use super::{NamespacePlan, invalid};
use crate::launch::LaunchError;

/// A parameter to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// Below the root of procfs, as `sys/net/ipv4/ip_forward`.
    pub path: PathBuf,
    pub value: String,
}

const IPC_KEYS: [&str; 9] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "fs.mqueue",
];

/// Checks a key and its value. A second key smuggled into either is an error (CVE-2022-0811).
pub(super) fn check(
    key: &str,
    value: &str,
    namespaces: &NamespacePlan,
) -> Result<Sysctl, LaunchError> {
    // `net/ipv4/conf/eth0.1/x` is the other spelling, in which dots belong to names. The separator
    // that comes first is the one that is meant, as in sysctl(8).
    let dotted = key.find(['.', '/']).is_some_and(|at| key.as_bytes()[at] == b'.');
    let swap = |c: char| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if dotted { key.chars().map(swap).collect() } else { key.to_owned() };
    let normal = path.split('/').map(|part| part.replace('.', "/")).collect::<Vec<_>>().join(".");
    let known_letters = |c: char| c.is_ascii_alphanumeric() || "._-/@:".contains(c);
    let clean = !path.is_empty()
        && path.chars().all(known_letters)
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !clean || value.contains(['\n', '\0']) {
        return Err(invalid(format!("sysctl {key:?} is not a valid key and value")));
    }
    let group = |prefix: &str| normal.starts_with(prefix);
    let needed = if IPC_KEYS.contains(&normal.as_str()) || group("fs.mqueue.") {
        ns::IPC
    } else if group("net.") {
        if !namespaces.has_own(ns::NETWORK) {
            return Err(invalid(format!("sysctl {key:?} not allowed in host network namespace")));
        }
        ns::NETWORK
    } else if normal == "kernel.domainname" || normal == "kernel.hostname" {
        ns::UTS
    } else if group("user.") {
        ns::USER
    } else {
        return Err(invalid(format!("sysctl {key:?} is not in a separate kernel namespace")));
    };
    if !namespaces.has_own(needed) {
        return Err(invalid(format!("sysctl {key:?} is not allowed in the hosts namespace")));
    }
    Ok(Sysctl { path: PathBuf::from("sys").join(path), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(key: &str, create: u64) -> Option<PathBuf> {
        let namespaces = NamespacePlan { create, ..NamespacePlan::default() };
        check(key, "1", &namespaces).ok().map(|sysctl| sysctl.path)
    }

    #[test]
    fn a_key_needs_its_own_namespace() {
        for (key, kind) in [
            ("kernel.shmmax", ns::IPC),
            ("fs.mqueue.msg_max", ns::IPC),
            ("net.ipv4.ip_forward", ns::NETWORK),
            ("kernel.hostname", ns::UTS),
            ("user.max_net_namespaces", ns::USER),
        ] {
            assert!(accepts(key, kind).is_some(), "{key}");
            assert!(accepts(key, 0).is_none(), "{key} of the host");
        }
    }

    #[test]
    fn both_spellings_name_the_same_file() {
        let file = |key| accepts(key, ns::NETWORK).unwrap();
        assert_eq!(file("net.ipv4.ip_forward"), PathBuf::from("sys/net/ipv4/ip_forward"));
        assert_eq!(
            file("net/ipv4/conf/eth0.1/rp_filter"),
            PathBuf::from("sys/net/ipv4/conf/eth0.1/rp_filter")
        );
        assert_eq!(
            file("net.ipv4.conf.eth0/1.rp_filter"),
            PathBuf::from("sys/net/ipv4/conf/eth0.1/rp_filter")
        );
    }

    #[test]
    fn tricks_are_refused() {
        let all = ns::IPC | ns::NETWORK | ns::UTS;
        for key in [
            "kernel.core_pattern",
            "net/../kernel/core_pattern",
            "net.ipv4/../../kernel.core_pattern",
            "kernel.shm_rmid_forced=1+kernel.core_pattern",
            "net..x",
            "/net/x",
            "",
            "kernel/shmmax\n",
            "vm.overcommit_memory",
        ] {
            assert_eq!(accepts(key, all), None, "{key:?}");
        }
        let namespaces = NamespacePlan { create: all, ..NamespacePlan::default() };
        assert!(check("kernel.shmmax", "1\nkernel.core_pattern=x", &namespaces).is_err());
    }
}
