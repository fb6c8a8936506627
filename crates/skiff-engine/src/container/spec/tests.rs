//! Specifications of typical requests, against what Docker makes of them.

use skiff_runtime::launch::CgroupDriver;

use super::Facts;

/// A plain host.
pub(crate) fn facts() -> Facts {
    Facts {
        cgroup_v2: false,
        cgroup_driver: CgroupDriver::Cgroupfs,
        cgroup_parent: String::new(),
        thermal_paths: Vec::new(),
        default_ulimits: Vec::new(),
        no_new_privileges: false,
        init: false,
        apparmor: false,
    }
}
