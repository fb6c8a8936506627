//! Which namespaces are made, which are joined, and how the clone has to be done for that.

use std::fmt::Write as _;
use std::path::PathBuf;

use skiff_model::oci::{IdMapping, Linux, NamespaceKind};
use skiff_sys::namespace as ns;

use super::invalid;
use crate::launch::LaunchError;

/// The namespaces of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespacePlan {
    /// `CLONE_NEW*` of the namespaces to make.
    pub create: u64,
    /// The namespaces to join.
    pub join: Vec<Join>,
    /// Written by the parent when a user namespace is made.
    pub maps: Option<IdMaps>,
    /// For `/proc/self/timens_offsets` when a time namespace is made.
    pub time_offsets: String,
}

/// A namespace of somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    pub kind: u64,
    pub path: PathBuf,
}

/// Contents of `uid_map` and `gid_map`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMaps {
    pub uid: String,
    pub gid: String,
}

impl NamespacePlan {
    /// Says whether the container has a namespace of this kind other than the caller's.
    pub fn has_own(&self, kind: u64) -> bool {
        self.create & kind != 0 || self.joins(kind)
    }

    /// Says whether a namespace of this kind is joined.
    pub fn joins(&self, kind: u64) -> bool {
        self.join.iter().any(|join| join.kind == kind)
    }

    /// Says whether the clone must be made by a helper process that has joined first: what is
    /// joined must be joined with the rights of the outer user namespace, and a user namespace
    /// cannot be left again.
    pub fn needs_helper(&self) -> bool {
        self.joins(ns::USER) || (self.create & ns::USER != 0 && !self.join.is_empty())
    }
}

/// The flag of a kind.
pub(crate) fn flag(kind: NamespaceKind) -> u64 {
    match kind {
        NamespaceKind::Pid => ns::PID,
        NamespaceKind::Network => ns::NETWORK,
        NamespaceKind::Mount => ns::MOUNT,
        NamespaceKind::Ipc => ns::IPC,
        NamespaceKind::Uts => ns::UTS,
        NamespaceKind::User => ns::USER,
        NamespaceKind::Cgroup => ns::CGROUP,
        NamespaceKind::Time => ns::TIME,
    }
}

pub(super) fn plan(linux: &Linux) -> Result<NamespacePlan, LaunchError> {
    let mut plan = NamespacePlan::default();
    for namespace in &linux.namespaces {
        let kind = flag(namespace.kind);
        if plan.has_own(kind) {
            return Err(invalid(format!(
                "malformed spec file: duplicated ns {:?}",
                namespace.kind
            )));
        }
        match &namespace.path {
            Some(path) if !path.as_os_str().is_empty() => {
                if path.is_relative() {
                    let path = path.display();
                    return Err(invalid(format!("namespace path {path} is not absolute")));
                }
                plan.join.push(Join { kind, path: path.clone() });
            }
            _ => plan.create |= kind,
        }
    }
    // A user namespace is joined first, since it owns the rights to join the others.
    plan.join.sort_by_key(|join| join.kind != ns::USER);
    let mapped = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
    if plan.create & ns::USER != 0 {
        if linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty() {
            return Err(invalid("user namespaces need uid and gid mappings"));
        }
        plan.maps = Some(IdMaps { uid: map(&linux.uid_mappings), gid: map(&linux.gid_mappings) });
    } else if mapped && !plan.joins(ns::USER) {
        return Err(invalid(
            "user namespace mappings specified, but user namespace isn't enabled in the config",
        ));
    }
    for (clock, offset) in &linux.time_offsets {
        if clock != "monotonic" && clock != "boottime" {
            return Err(invalid(format!("unknown clock {clock:?} in timeOffsets")));
        }
        if plan.create & ns::TIME == 0 {
            return Err(invalid(
                "time namespace offsets specified, but time namespace isn't enabled",
            ));
        }
        // A String never refuses to be written to.
        let _ = writeln!(plan.time_offsets, "{clock} {} {}", offset.secs, offset.nanosecs);
    }
    Ok(plan)
}

/// The text of a map file.
pub(crate) fn map(mappings: &[IdMapping]) -> String {
    mappings.iter().fold(String::new(), |mut text, entry| {
        let _ = writeln!(text, "{} {} {}", entry.container_id, entry.host_id, entry.size);
        text
    })
}
