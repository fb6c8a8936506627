//! What the host is: kernel, distribution, processors, memory, and what its kernel can limit.

use std::fs;
use std::path::Path;

use rustix::fs::StatFs;
use skiff_runtime::cgroup::{self, Controller, LayoutMode};

/// The kernel's release, as `6.1.0-13-amd64`.
pub(super) fn kernel_version() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The host's name.
pub(super) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Name and version of the distribution.
pub(super) struct Distribution {
    /// As `Debian GNU/Linux 12 (bookworm)`.
    pub(super) name: String,
    /// As `12`.
    pub(super) version: String,
}

/// Reads os-release(5).
pub(super) fn distribution() -> Distribution {
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    parse_os_release(&text)
}

fn parse_os_release(text: &str) -> Distribution {
    let value = |wanted: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    };
    let name = value("PRETTY_NAME").or_else(|| value("NAME"));
    Distribution {
        name: name.unwrap_or_else(|| "Linux".to_owned()),
        version: value("VERSION_ID").unwrap_or_default(),
    }
}

/// How many processors this process may use.
pub(super) fn processors() -> i64 {
    std::thread::available_parallelism().map_or(1, |count| count.get().try_into().unwrap_or(1))
}

/// Bytes of memory.
pub(crate) fn memory() -> i64 {
    fs::read_to_string("/proc/meminfo").map_or(0, |text| parse_memory(&text))
}

fn parse_memory(meminfo: &str) -> i64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok());
    kilobytes.unwrap_or(0) << 10
}

/// Docker's name for the file system that holds the data root.
pub(super) fn file_system(path: &Path) -> String {
    rustix::fs::statfs(path).map_or_else(|_| "unknown".to_owned(), |stat| magic_name(&stat))
}

fn magic_name(stat: &StatFs) -> String {
    // statfs(2) lists the numbers.
    #[expect(clippy::cast_possible_truncation, reason = "magic numbers have 32 bits")]
    let name = match stat.f_type as u32 {
        0xef53 => "extfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x794c_7630 => "overlayfs",
        0x6969 => "nfs",
        0xca45_1a4e => "bcachefs",
        other => return format!("<unknown> ({other:#x})"),
    };
    name.to_owned()
}

/// Which limits the kernel can set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `1` or `2`; 0 when there are no control groups.
    pub(crate) version: u8,
    pub(crate) memory: bool,
    pub(crate) swap: bool,
    pub(crate) swappiness: bool,
    pub(crate) oom_kill_disable: bool,
    pub(crate) cpu_shares: bool,
    pub(crate) cpu_quota: bool,
    pub(crate) cpu_realtime: bool,
    pub(crate) cpuset: bool,
    pub(crate) pids: bool,
    pub(crate) io_weight: bool,
    pub(crate) io_weight_device: bool,
    pub(crate) io_throttle: bool,
}

#[cfg(test)]
impl Limits {
    /// Of a kernel that limits everything.
    pub(crate) const ALL: Limits = Limits {
        version: 1,
        memory: true,
        swap: true,
        swappiness: true,
        oom_kill_disable: true,
        cpu_shares: true,
        cpu_quota: true,
        cpu_realtime: true,
        cpuset: true,
        pids: true,
        io_weight: true,
        io_weight_device: true,
        io_throttle: true,
    };
}

/// Looks at the mounted control groups.
pub(crate) fn limits() -> Limits {
    let Ok(layout) = cgroup::host_layout() else { return Limits::default() };
    if layout.mode == LayoutMode::Unified {
        let root = layout.unified.clone().unwrap_or_default();
        let text = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        return unified_limits(&text, swap_is_counted(layout.unified_own.as_deref()));
    }
    let mount = |controller| layout.hierarchy(controller).map(|found| found.mount_point.as_path());
    let has = |controller, file: &str| {
        mount(controller).is_some_and(|mount: &Path| mount.join(file).exists())
    };
    Limits {
        version: 1,
        memory: mount(Controller::Memory).is_some(),
        swap: has(Controller::Memory, "memory.memsw.limit_in_bytes"),
        swappiness: has(Controller::Memory, "memory.swappiness"),
        oom_kill_disable: has(Controller::Memory, "memory.oom_control"),
        cpu_shares: has(Controller::Cpu, "cpu.shares"),
        cpu_quota: has(Controller::Cpu, "cpu.cfs_quota_us"),
        cpu_realtime: has(Controller::Cpu, "cpu.rt_period_us"),
        cpuset: mount(Controller::Cpuset).is_some(),
        pids: mount(Controller::Pids).is_some(),
        io_weight: has(Controller::Blkio, "blkio.weight")
            || has(Controller::Blkio, "blkio.bfq.weight"),
        io_weight_device: has(Controller::Blkio, "blkio.weight_device")
            || has(Controller::Blkio, "blkio.bfq.weight_device"),
        io_throttle: has(Controller::Blkio, "blkio.throttle.read_bps_device"),
    }
}

/// The processors (`cpus`) or memory nodes (`mems`) that containers may be bound to.
pub(crate) fn cpuset(which: &str) -> String {
    let Ok(layout) = cgroup::host_layout() else { return String::new() };
    let path = if layout.mode == LayoutMode::Unified {
        layout.unified.clone().map(|root| root.join(format!("cpuset.{which}.effective")))
    } else {
        let found = layout.hierarchy(Controller::Cpuset);
        found.map(|found| found.mount_point.join(format!("cpuset.{which}")))
    };
    let text = path.and_then(|path| fs::read_to_string(path).ok());
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The root has no limit files, so the group we are in shows whether swap is accounted for.
fn swap_is_counted(own: Option<&Path>) -> bool {
    own.is_none_or(|own| own.join("memory.swap.max").exists() || !own.join("memory.max").exists())
}

fn unified_limits(controllers: &str, swap: bool) -> Limits {
    let has = |name: &str| controllers.split_ascii_whitespace().any(|found| found == name);
    Limits {
        version: 2,
        memory: has("memory"),
        swap: has("memory") && swap,
        swappiness: false,
        oom_kill_disable: false,
        cpu_shares: has("cpu"),
        cpu_quota: has("cpu"),
        cpu_realtime: false,
        cpuset: has("cpuset"),
        pids: has("pids"),
        io_weight: has("io"),
        io_weight_device: has("io"),
        io_throttle: has("io"),
    }
}

/// Whether packets are forwarded between interfaces.
pub(super) fn forwards_ipv4() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1")
}

/// Whether AppArmor confines processes.
pub(super) fn has_apparmor() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.trim() == "Y")
        && Path::new("/sys/kernel/security/apparmor").exists()
}

/// Whether the kernel filters system calls.
pub(super) fn has_seccomp() -> bool {
    Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
}

/// Descriptors open in this process.
pub(super) fn open_descriptors() -> i64 {
    // One of them is the directory being read.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1) as i64)
}

/// Docker's word for the processor, which is `uname -m`'s.
pub(super) fn machine() -> String {
    rustix::system::uname().machine().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_named() {
        for (text, name, version) in [
            (
                "NAME=\"X\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\n",
                "Debian GNU/Linux 12 (bookworm)",
                "12",
            ),
            ("NAME=Arch\n", "Arch", ""),
            ("PRETTY_NAME='A B'\n", "A B", ""),
            ("", "Linux", ""),
        ] {
            let found = parse_os_release(text);
            assert_eq!((&*found.name, &*found.version), (name, version), "{text:?}");
        }
    }

    #[test]
    fn memory_is_in_bytes() {
        assert_eq!(parse_memory("MemFree: 1 kB\nMemTotal:       2048 kB\n"), 2 << 20);
        assert_eq!(parse_memory(""), 0);
    }

    #[test]
    fn a_unified_host_limits_what_its_controllers_do() {
        let found = unified_limits("cpuset cpu io memory pids\n", true);
        assert!(
            found.memory && found.swap && found.cpu_quota && found.pids && !found.oom_kill_disable
        );
        assert_eq!(unified_limits("", true), Limits { version: 2, ..Limits::default() });
    }

    #[test]
    fn this_host_has_facts() {
        assert!(memory() > 0 && processors() > 0 && open_descriptors() > 0);
        assert!(!kernel_version().is_empty() && limits().version > 0);
    }
}
