//! What the runtime needs to know of the machine, read once for the life of a process.
//!
//! The keeper reads it before it forks monitors, so that no container start pays for it.

use std::path::Path;
use std::sync::OnceLock;

/// Facts that decide how a plan looks. Plain data, so that plans can be tested for any machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Highest capability number the kernel knows.
    pub last_capability: u8,
    /// AppArmor can confine processes.
    pub apparmor: bool,
    /// SELinux is loaded.
    pub selinux: bool,
    /// `/proc/kcore` exists (`/dev/core` points to it).
    pub kcore: bool,
    /// The runtime itself runs in a user namespace or without root's rights, where device nodes
    /// cannot be made.
    pub unprivileged: bool,
}

/// Returns the facts of this machine.
pub fn host() -> &'static HostFacts {
    static FACTS: OnceLock<HostFacts> = OnceLock::new();
    FACTS.get_or_init(read)
}

fn read() -> HostFacts {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    HostFacts {
        // 37 (CAP_AUDIT_READ) is what Linux 5.4 has, in case the file cannot be read.
        last_capability: text("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(37),
        apparmor: text("/sys/module/apparmor/parameters/enabled").starts_with('Y'),
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        kcore: Path::new("/proc/kcore").exists(),
        unprivileged: !rustix::process::geteuid().is_root() || !maps_everything(),
    }
}

/// The first user namespace maps all ids to themselves.
fn maps_everything() -> bool {
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else { return true };
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}
