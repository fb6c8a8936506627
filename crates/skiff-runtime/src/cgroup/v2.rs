//! cgroup v2: the settings that the resources of a specification come to, and making the group.

use std::path::Path;

use rustix::io::Errno;
use skiff_model::oci::{BlockIo, Cpu, Memory, Resources};

use super::devices::DevicePolicy;
use super::error::{CgroupError, Result};
use super::layout::Layout;
use super::setting::{Setting, Stage, write_all};
use super::{device_bpf, file};

/// A v2 controller's name, which file names start with.
type V2Setting = Setting<&'static str>;

/// Controllers that containers use; those the kernel lacks are left out.
const CONTROLLERS: [&str; 7] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma"];

/// Makes the directory, with the controllers delegated down to it, and writes the limits.
pub(super) fn create(layout: &Layout, dir: &Path, resources: &Resources) -> Result<()> {
    let is_new = file::make_dir(dir, &mut |_| Ok(()))?;
    if let Some(root) = &layout.unified {
        enable_controllers(root, dir)?;
    }
    apply(dir, resources, Stage::of_new(is_new))
}

/// Writes the limits. The directory is the only place where files can be, so a missing controller
/// shows as a missing file.
pub(super) fn apply(dir: &Path, resources: &Resources, stage: Stage) -> Result<()> {
    if stage == Stage::Running {
        check_memory_usage(dir, resources)?;
    }
    let list = settings(resources, stage)?;
    write_all(&list, |_| Some(dir), |controller| controller)
        .map_err(|error| name_controller(dir, error))?;
    for (name, value) in &resources.unified {
        write_unified(dir, name, value)?;
    }
    if !resources.devices.is_empty() {
        let policy = DevicePolicy::from_rules(&resources.devices)?;
        if !(stage == Stage::Fresh && policy.allows_all()) {
            device_bpf::install(dir, &policy)?;
        }
    }
    Ok(())
}

/// Makes sure that the controllers of the root reach the directory. One read when they do, which
/// is always but for the first container.
fn enable_controllers(root: &Path, dir: &Path) -> Result<()> {
    let available = file::read(root, "cgroup.controllers")?;
    let wanted: Vec<&str> =
        available.split_whitespace().filter(|name| CONTROLLERS.contains(name)).collect();
    let here = file::read(dir, "cgroup.controllers")?;
    let has_all = |text: &str| wanted.iter().all(|c| text.split_whitespace().any(|h| h == *c));
    if wanted.is_empty() || has_all(&here) {
        return Ok(());
    }
    let Ok(inside) = dir.strip_prefix(root) else { return Ok(()) };
    let mut above = root.to_owned();
    for name in inside.iter() {
        if !has_all(&file::read(&above, "cgroup.subtree_control")?) {
            delegate(&above, &wanted)?;
        }
        above.push(name);
    }
    Ok(())
}

/// Adds controllers to `cgroup.subtree_control`: all at once, or each for itself when one of them
/// is refused (no-internal-process rule, real-time tasks with `cpu`). A refusal is no error yet: a
/// limit that then has no file is.
fn delegate(dir: &Path, wanted: &[&str]) -> Result<()> {
    let all: Vec<String> = wanted.iter().map(|name| format!("+{name}")).collect();
    let Err(error) = file::write(dir, "cgroup.subtree_control", &all.join(" ")) else {
        return Ok(());
    };
    if matches!(error.errno(), Some(Errno::ROFS | Errno::ACCESS | Errno::PERM)) {
        return Err(error);
    }
    for one in &all {
        // Refused ones are found out when a limit needs them, see above.
        drop(file::write(dir, "cgroup.subtree_control", one));
    }
    Ok(())
}

/// Turns "no such file" into the controller that is not there.
fn name_controller(dir: &Path, error: CgroupError) -> CgroupError {
    match &error {
        CgroupError::Open { path, .. } if error.is_missing_file() && dir.is_dir() => {
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let controller = file.split('.').next().unwrap_or_default().to_owned();
            CgroupError::MissingController { setting: file.to_owned(), controller }
        }
        _ => error,
    }
}

/// Lists what to write, in order.
pub(super) fn settings(resources: &Resources, stage: Stage) -> Result<Vec<V2Setting>> {
    let mut list = Vec::new();
    if let Some(pids) = &resources.pids {
        if pids.limit > 0 {
            list.push(Setting::new("pids", "pids.max", pids.limit));
        } else if stage == Stage::Running {
            list.push(Setting::new("pids", "pids.max", "max"));
        }
    }
    if let Some(memory) = &resources.memory {
        memory_settings(memory, &mut list)?;
    }
    if let Some(block_io) = &resources.block_io {
        block_io_settings(block_io, &mut list);
    }
    if let Some(cpu) = &resources.cpu {
        cpu_settings(cpu, &mut list);
    }
    for limit in &resources.hugepage_limits {
        let file = format!("hugetlb.{}.max", limit.page_size);
        list.push(Setting::new("hugetlb", file, limit.limit));
    }
    for (device, limits) in &resources.rdma {
        list.push(Setting::new("rdma", "rdma.max", super::v1::rdma_line(device, limits)));
    }
    // `network` has no files in v2; the specification says such settings are ignored.
    Ok(list)
}

/// -1 is spelled "max".
fn limit_text(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

fn memory_settings(memory: &Memory, list: &mut Vec<V2Setting>) -> Result<()> {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    // Swap first: lowering memory below what is in use may have to swap.
    if let Some(swap) = swap_limit(set(memory.limit), set(memory.swap))? {
        let setting = Setting::new("memory", "memory.swap.max", limit_text(swap));
        // Without swap in the kernel there is no file, and "none" and "any amount" are the same.
        list.push(if swap <= 0 { setting.skip_if_missing() } else { setting });
    }
    if let Some(limit) = set(memory.limit) {
        list.push(Setting::new("memory", "memory.max", limit_text(limit)));
    }
    if let Some(reservation) = set(memory.reservation) {
        list.push(Setting::new("memory", "memory.low", limit_text(reservation)));
    }
    // Swappiness, the kernel limits and switching off the OOM killer do not exist in v2 and are
    // passed over, as by runc.
    Ok(())
}

/// Converts v1's "memory and swap together" to v2's "swap": 0 is none, -1 any amount.
fn swap_limit(memory: Option<i64>, both: Option<i64>) -> Result<Option<i64>> {
    let invalid = |reason: &str| CgroupError::InvalidResource {
        setting: "memory swap".into(),
        reason: reason.into(),
    };
    match (memory, both) {
        (Some(-1), None) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (_, Some(both)) if both < 0 => Ok(Some(-1)),
        (None | Some(-1), _) => Err(invalid("unable to set swap limit without memory limit")),
        (Some(memory), Some(both)) if memory < 0 || both < memory => {
            Err(invalid("memory+swap limit should be >= memory limit"))
        }
        (Some(memory), Some(both)) => Ok(Some(both - memory)),
    }
}

/// The kernel would kill processes to get below a new limit; who asks for the check wants an error.
fn check_memory_usage(dir: &Path, resources: &Resources) -> Result<()> {
    let Some(memory) = &resources.memory else { return Ok(()) };
    let (Some(true), Some(limit)) = (memory.check_before_update, memory.limit) else {
        return Ok(());
    };
    let Ok(wanted @ 1..) = u64::try_from(limit) else { return Ok(()) };
    let usage = file::read_number(dir, "memory.current")?.unwrap_or(0);
    if usage <= wanted {
        return Ok(());
    }
    let peak = file::read_number(dir, "memory.peak")?.unwrap_or(usage);
    Err(CgroupError::MemoryInUse { limit, usage, peak, source: Errno::BUSY.into() })
}

fn cpu_settings(cpu: &Cpu, list: &mut Vec<V2Setting>) {
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        list.push(Setting::new("cpu", "cpu.weight", weight_of_shares(shares)));
    }
    if let Some(idle) = cpu.idle {
        list.push(Setting::new("cpu", "cpu.idle", idle));
    }
    if let Some(burst) = cpu.burst {
        list.push(Setting::new("cpu", "cpu.max.burst", burst).with_retry());
    }
    let quota = cpu.quota.filter(|quota| *quota != 0);
    let period = cpu.period.filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let quota = quota.filter(|quota| *quota > 0).map_or("max".into(), |q| q.to_string());
        let value = format!("{quota} {}", period.unwrap_or(100_000));
        list.push(Setting::new("cpu", "cpu.max", value).with_retry());
    }
    for (file, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if !value.is_empty() {
            list.push(Setting::new("cpuset", file, value));
        }
    }
}

/// Maps v1 shares (2 to 262144, default 1024) to a v2 weight (1 to 10000, default 100) so that both
/// ends and the default meet: the exponent is a parabola through those three points in log space.
/// runc 1.3.2 and crun 1.23 use this curve; the straight line before gave the default a weight of
/// 39, which starved containers beside other services.
pub(super) fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = f64::from(u32::try_from(shares).unwrap_or(262_144)).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            // The result is between 1 and 10000.
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

fn block_io_settings(block_io: &BlockIo, list: &mut Vec<V2Setting>) {
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        let scaled = 1 + (u64::from(weight).max(10) - 10) * 9999 / 990;
        list.push(Setting::new("io", "io.bfq.weight", weight).or_file("io.weight", scaled));
    }
    for device in &block_io.weight_device {
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let line = format!("{}:{} {weight}", device.major, device.minor);
            list.push(Setting::new("io", "io.bfq.weight", line));
        }
    }
    let throttles = [
        ("rbps", &block_io.throttle_read_bps_device),
        ("wbps", &block_io.throttle_write_bps_device),
        ("riops", &block_io.throttle_read_iops_device),
        ("wiops", &block_io.throttle_write_iops_device),
    ];
    for (key, devices) in throttles {
        for device in devices {
            let line = format!("{}:{} {key}={}", device.major, device.minor, device.rate);
            list.push(Setting::new("io", "io.max", line));
        }
    }
}

/// Writes a file of the `unified` map; the name is the user's.
fn write_unified(dir: &Path, name: &str, value: &str) -> Result<()> {
    let invalid = |reason: String| CgroupError::InvalidResource {
        setting: format!("unified resource {name:?}"),
        reason,
    };
    if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(invalid("must be a file name (no slashes)".into()));
    }
    match file::write(dir, name, value) {
        Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::PERM | Errno::ACCESS)) => {
            let controller = name.split('.').next().unwrap_or_default();
            let here = file::read(dir, "cgroup.controllers")?;
            if controller == "cgroup" || here.split_whitespace().any(|c| c == controller) {
                return Err(error);
            }
            Err(invalid(format!("can't be set: controller {controller:?} not available")))
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use skiff_model::oci::{Pids, ThrottleDevice};

    use super::*;

    fn lines(resources: &Resources, stage: Stage) -> Vec<String> {
        settings(resources, stage)
            .unwrap()
            .into_iter()
            .map(|s| format!("{}={}", s.file, s.value))
            .collect()
    }

    #[test]
    fn shares_meet_weights_at_both_ends_and_at_the_default() {
        for (shares, weight) in [(0, 1), (2, 1), (1024, 100), (262_144, 10_000), (u64::MAX, 10_000)]
        {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
        let mut last = 0;
        for shares in 2..20_000 {
            let weight = weight_of_shares(shares);
            assert!(weight >= last && (1..=10_000).contains(&weight));
            last = weight;
        }
    }

    #[test]
    fn swap_is_what_exceeds_memory() {
        let ok = |memory, both| swap_limit(memory, both).unwrap();
        assert_eq!(ok(None, None), None);
        assert_eq!(ok(Some(10), None), None);
        assert_eq!(ok(Some(10), Some(10)), Some(0));
        assert_eq!(ok(Some(10), Some(30)), Some(20));
        assert_eq!(ok(Some(10), Some(-1)), Some(-1));
        assert_eq!(ok(None, Some(-1)), Some(-1));
        assert_eq!(ok(Some(-1), None), Some(-1));
        assert!(swap_limit(None, Some(10)).is_err());
        assert!(swap_limit(Some(-1), Some(10)).is_err());
        assert!(swap_limit(Some(10), Some(9)).is_err());
    }

    #[test]
    fn files_follow_the_specification() {
        let device = || vec![ThrottleDevice { major: 8, minor: 1, rate: 7 }];
        let resources = Resources {
            memory: Some(Memory {
                limit: Some(100),
                swap: Some(150),
                reservation: Some(50),
                swappiness: Some(5),
                disable_oom_killer: Some(true),
                ..Memory::default()
            }),
            cpu: Some(Cpu {
                shares: Some(1024),
                quota: Some(50_000),
                burst: Some(10),
                cpus: "0".into(),
                ..Cpu::default()
            }),
            pids: Some(Pids { limit: 7 }),
            block_io: Some(BlockIo {
                weight: Some(1000),
                throttle_write_bps_device: device(),
                throttle_read_iops_device: device(),
                ..BlockIo::default()
            }),
            ..Resources::default()
        };
        assert_eq!(
            lines(&resources, Stage::Fresh),
            [
                "pids.max=7",
                "memory.swap.max=50",
                "memory.max=100",
                "memory.low=50",
                "io.bfq.weight=1000",
                "io.max=8:1 wbps=7",
                "io.max=8:1 riops=7",
                "cpu.weight=100",
                "cpu.max.burst=10",
                "cpu.max=50000 100000",
                "cpuset.cpus=0",
            ]
        );
    }

    #[test]
    fn a_period_alone_keeps_the_quota_unlimited() {
        let cpu = Some(Cpu { period: Some(20_000), ..Cpu::default() });
        let resources = Resources { cpu, ..Resources::default() };
        assert_eq!(lines(&resources, Stage::Fresh), ["cpu.max=max 20000"]);
    }
}
