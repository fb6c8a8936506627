//! What the runtime needs to know of the machine, read once for the life of a process.
//!
//! The keeper reads it before it forks monitors, so that no container start pays for it.

use std::path::Path;
use std::sync::OnceLock;

use skiff_sys::process::CommandLine;

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
    /// The running executable is a copy that nothing can write to, so that containers may see it.
    pub sealed: bool,
    /// Where this process's arguments lie; unknown without procfs.
    pub command_line: Option<CommandLine>,
    /// A child can be born inside a cgroup2 group (Linux 5.7).
    pub clone_into_cgroup: bool,
    /// Overlay takes its layers one by one (`lowerdir+`). Older kernels log each attempt.
    pub overlay_by_layers: bool,
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
        sealed: skiff_sys::memfd::self_is_sealed(),
        command_line: CommandLine::own().ok(),
        clone_into_cgroup: kernel() >= (5, 7),
        overlay_by_layers: kernel() >= (6, 5),
    }
}

/// Major and minor number of the running kernel.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
