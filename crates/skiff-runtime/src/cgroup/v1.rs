//! cgroup v1: the settings that the resources of a specification come to, and making the groups.

use std::path::Path;

use skiff_model::oci::{BlockIo, Cpu, Memory, Resources};

use super::devices::DevicePolicy;
use super::error::{CgroupError, Result};
use super::layout::{Controller, Layout};
use super::setting::{Setting, Stage, write_all};
use super::{CgroupPaths, file};

type V1Setting = Setting<Controller>;

/// Makes the directory in each hierarchy and writes the limits.
pub(super) fn create(layout: &Layout, paths: &CgroupPaths, resources: &Resources) -> Result<()> {
    let mut is_new = true;
    for dir in &paths.v1 {
        let cpuset = dir.controllers.contains(&Controller::Cpuset);
        is_new &= file::make_dir(&dir.dir, &mut |parent| {
            if cpuset { prepare_cpuset_parent(parent) } else { Ok(()) }
        })?;
        if cpuset {
            let root = layout.hierarchy(Controller::Cpuset).map(|h| h.mount_point.as_path());
            inherit_cpuset(&dir.dir, root.unwrap_or(&dir.dir))?;
        }
    }
    apply(paths, resources, Stage::of_new(is_new))
}

/// Writes the limits.
pub(super) fn apply(paths: &CgroupPaths, resources: &Resources, stage: Stage) -> Result<()> {
    let mut list = settings(resources, stage)?;
    if stage == Stage::Running {
        order_memory(&mut list, paths)?;
    }
    write_all(&list, |controller| paths.v1_dir(controller), Controller::name)?;
    apply_devices(paths, resources, stage)
}

/// A parent that we made: fills it, and lets the kernel copy it to each group made in it from now
/// on, which saves every container two reads and two writes.
fn prepare_cpuset_parent(dir: &Path) -> Result<()> {
    if let Some(above) = dir.parent() {
        copy_cpuset(above, dir)?;
    }
    file::write(dir, "cgroup.clone_children", "1")
}

/// A v1 cpuset starts empty and accepts no process until it has processors and memory nodes.
fn inherit_cpuset(dir: &Path, root: &Path) -> Result<()> {
    if !file::read(dir, "cpuset.mems")?.trim().is_empty() {
        return Ok(());
    }
    // Somebody else made the parents, and may have left them empty too.
    let Ok(inside) = dir.strip_prefix(root) else { return Ok(()) };
    let mut above = root.to_owned();
    for name in inside.iter() {
        let below = above.join(name);
        copy_cpuset(&above, &below)?;
        above = below;
    }
    Ok(())
}

fn copy_cpuset(from: &Path, to: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        if file::read(to, name)?.trim().is_empty() {
            file::write(to, name, file::read(from, name)?.trim())?;
        }
    }
    Ok(())
}

/// Lists what to write, in order.
pub(super) fn settings(resources: &Resources, stage: Stage) -> Result<Vec<V1Setting>> {
    if !resources.unified.is_empty() {
        return Err(CgroupError::InvalidResource {
            setting: "configuration".into(),
            reason: "cannot use unified on cgroup v1".into(),
        });
    }
    let mut list = Vec::new();
    if let Some(memory) = &resources.memory {
        memory_settings(memory, &mut list)?;
    }
    if let Some(cpu) = &resources.cpu {
        cpu_settings(cpu, &mut list)?;
    }
    if let Some(pids) = &resources.pids {
        pids_setting(pids.limit, stage, &mut list);
    }
    if let Some(block_io) = &resources.block_io {
        block_io_settings(block_io, &mut list);
    }
    for limit in &resources.hugepage_limits {
        let file = format!("hugetlb.{}.limit_in_bytes", limit.page_size);
        list.push(Setting::new(Controller::Hugetlb, file, limit.limit));
    }
    if let Some(network) = &resources.network {
        if let Some(class) = network.class_id.filter(|class| *class != 0) {
            list.push(Setting::new(Controller::NetCls, "net_cls.classid", class));
        }
        for entry in &network.priorities {
            let value = format!("{} {}", entry.name, entry.priority);
            list.push(Setting::new(Controller::NetPrio, "net_prio.ifpriomap", value));
        }
    }
    for (device, limits) in &resources.rdma {
        list.push(Setting::new(Controller::Rdma, "rdma.max", rdma_line(device, limits)));
    }
    Ok(list)
}

/// The line for `rdma.max`, the same in both versions.
pub(super) fn rdma_line(device: &str, limits: &skiff_model::oci::Rdma) -> String {
    let mut line = device.to_owned();
    if let Some(handles) = limits.hca_handles {
        line += &format!(" hca_handle={handles}");
    }
    if let Some(objects) = limits.hca_objects {
        line += &format!(" hca_object={objects}");
    }
    line
}

fn pids_setting(limit: i64, stage: Stage, list: &mut Vec<V1Setting>) {
    if limit > 0 {
        list.push(Setting::new(Controller::Pids, "pids.max", limit));
    } else if stage == Stage::Running {
        list.push(Setting::new(Controller::Pids, "pids.max", "max"));
    }
}

fn memory_settings(memory: &Memory, list: &mut Vec<V1Setting>) -> Result<()> {
    let set = |value: Option<i64>| value.filter(|value| *value != 0);
    let limit = set(memory.limit);
    let mut swap = Setting::new(Controller::Memory, "memory.memsw.limit_in_bytes", -1);
    let mut has_swap = true;
    match set(memory.swap) {
        Some(value) => swap.value = value.to_string(),
        // No limit of memory is also none of memory and swap together, where those are counted.
        None if limit == Some(-1) => swap = swap.skip_if_missing(),
        None => has_swap = false,
    }
    if let Some(limit) = limit {
        list.push(Setting::new(Controller::Memory, "memory.limit_in_bytes", limit));
    }
    if has_swap {
        list.push(swap);
    }
    if let Some(reservation) = set(memory.reservation) {
        list.push(Setting::new(Controller::Memory, "memory.soft_limit_in_bytes", reservation));
    }
    if let Some(tcp) = set(memory.kernel_tcp) {
        list.push(Setting::new(Controller::Memory, "memory.kmem.tcp.limit_in_bytes", tcp));
    }
    // `kernel` is accepted and ignored, as by runc since 1.1: the kernel removed the limit.
    if memory.disable_oom_killer == Some(true) {
        list.push(Setting::new(Controller::Memory, "memory.oom_control", 1));
    }
    match memory.swappiness {
        None | Some(u64::MAX) => {}
        Some(value @ 0..=100) => {
            list.push(Setting::new(Controller::Memory, "memory.swappiness", value));
        }
        Some(value) => {
            return Err(CgroupError::InvalidResource {
                setting: format!("memory swappiness value: {value}"),
                reason: "valid range is 0-100".into(),
            });
        }
    }
    Ok(())
}

/// The kernel keeps `limit <= memsw` at each step, so when raising both, memsw goes first.
fn order_memory(list: &mut [V1Setting], paths: &CgroupPaths) -> Result<()> {
    let position = |name: &str| list.iter().position(|setting| setting.file == name);
    let (Some(limit), Some(swap)) =
        (position("memory.limit_in_bytes"), position("memory.memsw.limit_in_bytes"))
    else {
        return Ok(());
    };
    let Some(dir) = paths.v1_dir(Controller::Memory) else { return Ok(()) };
    let raises = match list[swap].value.parse::<u64>() {
        Ok(wanted) => {
            file::read_number(dir, "memory.limit_in_bytes")?.is_none_or(|now| now < wanted)
        }
        Err(_) => true,
    };
    if raises {
        list.swap(limit, swap);
    }
    Ok(())
}

fn cpu_settings(cpu: &Cpu, list: &mut Vec<V1Setting>) -> Result<()> {
    match cpu.shares {
        None | Some(0) => {}
        Some(shares @ 2..=262_144) => {
            list.push(Setting::new(Controller::Cpu, "cpu.shares", shares));
        }
        Some(shares) => {
            let reason = if shares < 2 {
                "the minimum allowed cpu-shares is 2"
            } else {
                "the maximum allowed cpu-shares is 262144"
            };
            return Err(CgroupError::InvalidResource {
                setting: "cpu shares".into(),
                reason: reason.into(),
            });
        }
    }
    let mut linked = |file: &'static str, value: Option<i64>| {
        if let Some(value) = value.filter(|value| *value != 0) {
            list.push(Setting::new(Controller::Cpu, file, value).with_retry());
        }
    };
    let signed = |value: Option<u64>| value.map(|value| i64::try_from(value).unwrap_or(i64::MAX));
    linked("cpu.cfs_period_us", signed(cpu.period));
    linked("cpu.cfs_quota_us", cpu.quota);
    linked("cpu.rt_period_us", signed(cpu.realtime_period));
    linked("cpu.rt_runtime_us", cpu.realtime_runtime);
    if let Some(burst) = cpu.burst {
        list.push(Setting::new(Controller::Cpu, "cpu.cfs_burst_us", burst).with_retry());
    }
    if let Some(idle) = cpu.idle {
        list.push(Setting::new(Controller::Cpu, "cpu.idle", idle));
    }
    for (file, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if !value.is_empty() {
            list.push(Setting::new(Controller::Cpuset, file, value));
        }
    }
    Ok(())
}

fn block_io_settings(block_io: &BlockIo, list: &mut Vec<V1Setting>) {
    let blkio = Controller::Blkio;
    // CFQ's files went with it in Linux 5.0; BFQ has its own.
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        list.push(Setting::new(blkio, "blkio.weight", weight).or_file("blkio.bfq.weight", weight));
    }
    if let Some(weight) = block_io.leaf_weight.filter(|weight| *weight != 0) {
        list.push(Setting::new(blkio, "blkio.leaf_weight", weight));
    }
    for device in &block_io.weight_device {
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            list.push(
                Setting::new(blkio, "blkio.weight_device", line(weight))
                    .or_file("blkio.bfq.weight_device", line(weight)),
            );
        }
        if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
            list.push(Setting::new(blkio, "blkio.leaf_weight_device", line(weight)));
        }
    }
    let throttles = [
        ("blkio.throttle.read_bps_device", &block_io.throttle_read_bps_device),
        ("blkio.throttle.write_bps_device", &block_io.throttle_write_bps_device),
        ("blkio.throttle.read_iops_device", &block_io.throttle_read_iops_device),
        ("blkio.throttle.write_iops_device", &block_io.throttle_write_iops_device),
    ];
    for (file, devices) in throttles {
        for device in devices {
            let line = format!("{}:{} {}", device.major, device.minor, device.rate);
            list.push(Setting::new(blkio, file, line));
        }
    }
}

/// Brings the device list from what it is to what the rules say. A running container's rules are
/// changed one by one, so that it never loses a device it keeps.
fn apply_devices(paths: &CgroupPaths, resources: &Resources, stage: Stage) -> Result<()> {
    if resources.devices.is_empty() {
        return Ok(());
    }
    let wanted = DevicePolicy::from_rules(&resources.devices)?;
    let Some(dir) = paths.v1_dir(Controller::Devices) else {
        if wanted.allows_all() {
            return Ok(());
        }
        return Err(CgroupError::MissingController {
            setting: "devices".into(),
            controller: "devices".into(),
        });
    };
    let current = match stage {
        Stage::Fresh => DevicePolicy::allow_all(),
        Stage::Running => DevicePolicy::from_v1_list(&file::read(dir, "devices.list")?)?,
    };
    let (mut allow, mut deny) = (None, None);
    for change in current.changes_to(&wanted) {
        let (slot, name) =
            if change.allow { (&mut allow, "devices.allow") } else { (&mut deny, "devices.deny") };
        let path = dir.join(name);
        if slot.is_none() {
            *slot = Some(file::open_write(&path)?);
        }
        if let Some(fd) = slot {
            file::write_fd(fd, &path, &change.line())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use skiff_model::oci::{NetworkCgroup, Pids, ThrottleDevice, WeightDevice};

    use super::*;

    fn lines(resources: &Resources, stage: Stage) -> Vec<String> {
        settings(resources, stage)
            .unwrap()
            .into_iter()
            .map(|s| format!("{}={}", s.file, s.value))
            .collect()
    }

    fn with_memory(memory: Memory) -> Resources {
        Resources { memory: Some(memory), ..Resources::default() }
    }

    #[test]
    fn nothing_is_written_for_unset_limits() {
        let resources = Resources {
            memory: Some(Memory { limit: Some(0), swap: Some(0), ..Memory::default() }),
            cpu: Some(Cpu { shares: Some(0), quota: Some(0), ..Cpu::default() }),
            pids: Some(Pids { limit: 0 }),
            block_io: Some(BlockIo { weight: Some(0), ..BlockIo::default() }),
            network: Some(NetworkCgroup::default()),
            ..Resources::default()
        };
        assert!(lines(&resources, Stage::Fresh).is_empty());
    }

    #[test]
    fn memory_without_limit_lifts_the_limit_of_swap_too() {
        let list =
            settings(&with_memory(Memory { limit: Some(-1), ..Memory::default() }), Stage::Running)
                .unwrap();
        assert_eq!(list[1].file, "memory.memsw.limit_in_bytes");
        assert_eq!(list[1].value, "-1");
        assert_eq!(list[1].if_missing, super::super::setting::IfMissing::Skip);
    }

    #[test]
    fn memory_files_follow_the_specification() {
        let memory = Memory {
            limit: Some(1 << 20),
            swap: Some(2 << 20),
            reservation: Some(4096),
            kernel: Some(5),
            kernel_tcp: Some(6),
            swappiness: Some(0),
            disable_oom_killer: Some(true),
            ..Memory::default()
        };
        assert_eq!(
            lines(&with_memory(memory), Stage::Fresh),
            [
                "memory.limit_in_bytes=1048576",
                "memory.memsw.limit_in_bytes=2097152",
                "memory.soft_limit_in_bytes=4096",
                "memory.kmem.tcp.limit_in_bytes=6",
                "memory.oom_control=1",
                "memory.swappiness=0",
            ]
        );
        let bad = Memory { swappiness: Some(101), ..Memory::default() };
        let error = settings(&with_memory(bad), Stage::Fresh).unwrap_err();
        assert_eq!(error.to_string(), "invalid memory swappiness value: 101: valid range is 0-100");
    }

    #[test]
    fn cpu_and_block_io_files_follow_the_specification() {
        let device = || vec![ThrottleDevice { major: 8, minor: 1, rate: 7 }];
        let resources = Resources {
            cpu: Some(Cpu {
                shares: Some(512),
                quota: Some(-1),
                period: Some(50_000),
                burst: Some(0),
                idle: Some(1),
                cpus: "0-1".into(),
                mems: "0".into(),
                ..Cpu::default()
            }),
            block_io: Some(BlockIo {
                weight: Some(500),
                weight_device: vec![WeightDevice {
                    major: 8,
                    minor: 0,
                    weight: Some(9),
                    leaf_weight: None,
                }],
                throttle_read_bps_device: device(),
                throttle_write_iops_device: device(),
                ..BlockIo::default()
            }),
            pids: Some(Pids { limit: -1 }),
            ..Resources::default()
        };
        assert_eq!(
            lines(&resources, Stage::Running),
            [
                "cpu.shares=512",
                "cpu.cfs_period_us=50000",
                "cpu.cfs_quota_us=-1",
                "cpu.cfs_burst_us=0",
                "cpu.idle=1",
                "cpuset.cpus=0-1",
                "cpuset.mems=0",
                "pids.max=max",
                "blkio.weight=500",
                "blkio.weight_device=8:0 9",
                "blkio.throttle.read_bps_device=8:1 7",
                "blkio.throttle.write_iops_device=8:1 7",
            ]
        );
    }

    #[test]
    fn shares_outside_the_kernels_range_are_refused() {
        for shares in [1, 262_145] {
            let cpu = Some(Cpu { shares: Some(shares), ..Cpu::default() });
            let resources = Resources { cpu, ..Resources::default() };
            assert!(settings(&resources, Stage::Fresh).is_err());
        }
    }

    #[test]
    fn unified_settings_are_refused() {
        let mut resources = Resources::default();
        resources.unified.insert("memory.high".into(), "1".into());
        let error = settings(&resources, Stage::Fresh).unwrap_err();
        assert_eq!(error.to_string(), "invalid configuration: cannot use unified on cgroup v1");
    }
}
