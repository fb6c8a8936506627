//! Limits: Docker's resources as control group settings.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use skiff_api::{Resources as Request, ThrottleDevice as Throttle};
use skiff_model::oci::{BlockIo, Cpu, Memory, Pids, Resources, Spec, ThrottleDevice, WeightDevice};
use skiff_runtime::launch::CgroupDriver;

use super::{Facts, Input, linux_of};
use crate::error::{Error, Result};

/// The control group and its limits.
pub(super) fn control_group(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    let linux = linux_of(spec);
    linux.cgroups_path = path(input.facts, &host.resources.cgroup_parent, &input.record.id);
    linux.resources = Some(limits(&host.resources)?);
    Ok(())
}

/// Where containers' groups are made by default with the `cgroupfs` driver.
pub(crate) const DEFAULT_PARENT: &str = "/skiff";

/// `linux.cgroupsPath` in the form the driver wants.
pub(crate) fn path(facts: &Facts, parent: &str, id: &str) -> String {
    let parent = if parent.is_empty() { facts.cgroup_parent.as_str() } else { parent };
    match facts.cgroup_driver {
        CgroupDriver::Cgroupfs => {
            let parent = if parent.is_empty() { DEFAULT_PARENT } else { parent };
            format!("/{}/{id}", parent.trim_matches('/'))
        }
        CgroupDriver::Systemd => {
            let slice = if parent.is_empty() { "system.slice" } else { parent };
            format!("{slice}:skiff:{id}")
        }
    }
}

/// Limits without device rules; `docker update` uses the same.
pub(crate) fn limits(request: &Request) -> Result<Resources> {
    Ok(Resources {
        memory: memory(request),
        cpu: cpu(request),
        pids: request.pids_limit.filter(|limit| *limit != 0).map(|limit| Pids { limit }),
        block_io: block_io(request)?,
        ..Resources::default()
    })
}

fn some_unless_zero(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

fn memory(request: &Request) -> Option<Memory> {
    let memory = Memory {
        limit: some_unless_zero(request.memory),
        reservation: some_unless_zero(request.memory_reservation),
        // Docker: with a limit and no word on swap, as much swap again as memory.
        swap: match (request.memory, request.memory_swap) {
            (limit, 0) if limit > 0 => limit.checked_mul(2),
            (_, 0) => None,
            // Any negative number was always taken for unlimited.
            (_, swap) => Some(swap.max(-1)),
        },
        kernel: some_unless_zero(request.kernel_memory),
        kernel_tcp: some_unless_zero(request.kernel_memory_tcp),
        swappiness: request.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: request.oom_kill_disable.filter(|disable| *disable),
        ..Memory::default()
    };
    (memory != Memory::default()).then_some(memory)
}

/// Length of the period in which `--cpus` is counted, in microseconds.
const PERIOD: i64 = 100_000;

fn cpu(request: &Request) -> Option<Cpu> {
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let mut cpu = Cpu {
        shares: unsigned(request.cpu_shares),
        quota: some_unless_zero(request.cpu_quota),
        period: unsigned(request.cpu_period),
        realtime_runtime: some_unless_zero(request.cpu_realtime_runtime),
        realtime_period: unsigned(request.cpu_realtime_period),
        cpus: request.cpuset_cpus.clone(),
        mems: request.cpuset_mems.clone(),
        ..Cpu::default()
    };
    if request.nano_cpus > 0 {
        cpu.period = unsigned(PERIOD);
        cpu.quota = Some(request.nano_cpus / (1_000_000_000 / PERIOD));
    }
    (cpu != Cpu::default()).then_some(cpu)
}

fn block_io(request: &Request) -> Result<Option<BlockIo>> {
    let throttles = |list: &[Throttle]| -> Result<Vec<ThrottleDevice>> {
        list.iter()
            .map(|item| {
                let (major, minor) = block_device(&item.path)?;
                Ok(ThrottleDevice { major, minor, rate: item.rate })
            })
            .collect()
    };
    let weight_device = request
        .blkio_weight_device
        .iter()
        .map(|item| {
            let (major, minor) = block_device(&item.path)?;
            Ok(WeightDevice { major, minor, weight: Some(item.weight), leaf_weight: None })
        })
        .collect::<Result<_>>()?;
    let block_io = BlockIo {
        weight: (request.blkio_weight != 0).then_some(request.blkio_weight),
        weight_device,
        throttle_read_bps_device: throttles(&request.blkio_device_read_bps)?,
        throttle_write_bps_device: throttles(&request.blkio_device_write_bps)?,
        throttle_read_iops_device: throttles(&request.blkio_device_read_iops)?,
        throttle_write_iops_device: throttles(&request.blkio_device_write_iops)?,
        ..BlockIo::default()
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

fn block_device(path: &str) -> Result<(i64, i64)> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Error::internal(format!("stat {path}: no such file or directory"));
        }
        Error::failed(format!("find block device {path}"), error)
    })?;
    if !metadata.file_type().is_block_device() {
        return Err(Error::invalid(format!("{path} is no block device")));
    }
    Ok(super::devices::numbers(metadata.rdev()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_limits_sets_none() {
        assert_eq!(limits(&Request::default()).unwrap(), Resources::default());
    }

    #[test]
    fn memory_and_swap_follow_dockers_rules() {
        for (limit, swap, expected) in [
            (0, 0, None),
            (100, 0, Some(200)),
            (100, 150, Some(150)),
            (100, -1, Some(-1)),
            (0, -1, Some(-1)),
            (100, -2, Some(-1)),
        ] {
            let request = Request { memory: limit, memory_swap: swap, ..Request::default() };
            assert_eq!(memory(&request).and_then(|memory| memory.swap), expected);
        }
    }

    #[test]
    fn cpus_become_a_quota() {
        let request = Request { nano_cpus: 1_500_000_000, ..Request::default() };
        let cpu = cpu(&request).unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
    }

    #[test]
    fn the_control_group_is_named_in_its_drivers_form() {
        let mut facts = crate::container::spec::tests::facts();
        for (driver, parent, expected) in [
            (CgroupDriver::Cgroupfs, "", "/skiff/c1"),
            (CgroupDriver::Cgroupfs, "/a/b", "/a/b/c1"),
            (CgroupDriver::Cgroupfs, "a", "/a/c1"),
            (CgroupDriver::Systemd, "", "system.slice:skiff:c1"),
            (CgroupDriver::Systemd, "x.slice", "x.slice:skiff:c1"),
        ] {
            facts.cgroup_driver = driver;
            assert_eq!(path(&facts, parent, "c1"), expected);
        }
    }
}
