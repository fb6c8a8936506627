//! Control groups of containers (placeholder until the module lands).

/// A container's control group.
#[derive(Debug)]
pub struct Cgroup {}
