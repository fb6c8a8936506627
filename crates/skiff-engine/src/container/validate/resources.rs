//! What limits and devices a request may name.

use std::collections::BTreeSet;

use skiff_api::{DeviceRequest, Resources};
use skiff_model::shortform::ULIMIT_NAMES;

use super::Host;
use crate::container::spec::devices;
use crate::error::{Error, Result};

const MINIMUM_MEMORY: i64 = 6 << 20;

/// Where limits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) enum Asked {
    /// All there are.
    Create,
    /// Some, for a container that has others.
    Update,
}

/// Checks limits.
pub(in crate::container) fn resources(
    resources: &Resources,
    facts: &Host,
    asked: Asked,
) -> Result<()> {
    memory(resources, asked)?;
    cpu(resources, facts)?;
    real_time(resources, facts)?;
    block_io(resources)?;
    for limit in resources.ulimits.iter() {
        ulimit(&limit.name, limit.soft, limit.hard)?;
    }
    for text in resources.device_cgroup_rules.iter() {
        devices::parse_rule(text)?;
    }
    for mapping in resources.devices.iter() {
        let access = &mapping.cgroup_permissions;
        if access.is_empty() || access.chars().any(|mode| !"rwm".contains(mode)) {
            return Err(Error::invalid(format!("invalid device mode: {access}")));
        }
    }
    if let Some(request) = resources.device_requests.first() {
        return Err(no_driver(request));
    }
    if facts.systemd
        && !resources.cgroup_parent.is_empty()
        && !resources.cgroup_parent.ends_with(".slice")
    {
        return Err(Error::invalid(
            "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"",
        ));
    }
    if resources.cgroup_parent.split('/').any(|part| part == "..") {
        return Err(Error::invalid(format!(
            "invalid cgroup-parent: {:?}",
            resources.cgroup_parent
        )));
    }
    Ok(())
}

/// There are no drivers for devices (GPUs, CDI); the words have Go's form of a list.
fn no_driver(request: &DeviceRequest) -> Error {
    let sets = request.capabilities.iter().map(|set| format!("[{}]", set.join(" ")));
    let capabilities = sets.collect::<Vec<_>>().join(" ");
    let driver = &request.driver;
    Error::invalid(format!(
        "could not select device driver {driver:?} with capabilities: [{capabilities}]"
    ))
}

/// Checks the limits of memory against each other.
pub(in crate::container) fn memory(resources: &Resources, asked: Asked) -> Result<()> {
    let Resources { memory, memory_swap, memory_reservation, .. } = *resources;
    if memory != 0 && memory < MINIMUM_MEMORY {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if memory > 0 && memory_swap > 0 && memory_swap < memory {
        return Err(Error::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if memory == 0 && memory_swap > 0 && asked == Asked::Create {
        return Err(Error::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if let Some(swappiness) = resources.memory_swappiness
        && !(-1..=100).contains(&swappiness)
    {
        return Err(Error::invalid(format!(
            "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )));
    }
    if memory_reservation > 0 && memory_reservation < MINIMUM_MEMORY {
        return Err(Error::invalid("Minimum memory reservation allowed is 6MB"));
    }
    if memory > 0 && memory_reservation > 0 && memory < memory_reservation {
        return Err(Error::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    if resources.kernel_memory > 0 && resources.kernel_memory < MINIMUM_MEMORY {
        return Err(Error::invalid("Minimum kernel memory limit allowed is 6MB"));
    }
    Ok(())
}

fn cpu(resources: &Resources, facts: &Host) -> Result<()> {
    let Resources { nano_cpus, cpu_period, cpu_quota, cpu_shares, .. } = *resources;
    if nano_cpus > 0 && cpu_period > 0 {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ));
    }
    if nano_cpus > 0 && cpu_quota > 0 {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ));
    }
    if nano_cpus < 0 || nano_cpus > i64::from(facts.cpus) * 1_000_000_000 {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {}.00, as there are only {} CPUs available",
            facts.cpus, facts.cpus
        )));
    }
    if cpu_shares < 0 {
        return Err(Error::invalid(format!(
            "invalid CPU shares ({cpu_shares}): value must be a positive integer"
        )));
    }
    if cpu_period != 0 && !(1000..=1_000_000).contains(&cpu_period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if cpu_quota > 0 && cpu_quota < 1000 {
        return Err(Error::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    for (which, what, list, available) in [
        ("cpus", "CPUs", &resources.cpuset_cpus, &facts.cpuset_cpus),
        ("mems", "memory nodes", &resources.cpuset_mems, &facts.cpuset_mems),
    ] {
        let wanted = cpuset(which, list)?;
        let here = cpuset(which, available)?;
        if !here.is_empty() && !wanted.is_subset(&here) {
            return Err(Error::invalid(format!(
                "Requested {what} are not available - requested {list}, available: {available}"
            )));
        }
    }
    Ok(())
}

fn real_time(resources: &Resources, facts: &Host) -> Result<()> {
    let Resources { cpu_realtime_period: period, cpu_realtime_runtime: runtime, .. } = *resources;
    if (period > 0 || runtime > 0) && !facts.limits.cpu_realtime {
        return Err(Error::invalid("Your kernel does not support CPU real-time scheduler"));
    }
    if period != 0 && runtime != 0 && runtime > period {
        return Err(Error::invalid(
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ));
    }
    Ok(())
}

/// Largest number in a set: longer ones are an attack on who parses them.
const MAXIMUM_CPU: u32 = 8192;

/// The numbers of a list as `0-2,5`.
fn cpuset(which: &str, list: &str) -> Result<BTreeSet<u32>> {
    let mut numbers = BTreeSet::new();
    if list.is_empty() {
        return Ok(numbers);
    }
    let bad =
        |why: String| Error::invalid(format!("Invalid value {list} for cpuset {which}: {why}"));
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number =
            |text: &str| text.parse::<u32>().map_err(|_| bad(format!("invalid format: {list}")));
        let (first, last) = (number(first)?, number(last)?);
        if last > MAXIMUM_CPU {
            return Err(bad(format!("value of out range, maximum is {MAXIMUM_CPU}")));
        }
        if first > last {
            return Err(bad(format!("invalid format: {list}")));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

fn block_io(resources: &Resources) -> Result<()> {
    let range = 10..=1000;
    if resources.blkio_weight != 0 && !range.contains(&resources.blkio_weight) {
        return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
    }
    for device in resources.blkio_weight_device.iter() {
        if device.weight != 0 && !range.contains(&device.weight) {
            return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
        }
    }
    for (value, what) in
        [(resources.io_maximum_bandwidth, "bandwidth"), (resources.io_maximum_iops, "IOPs")]
    {
        if value != 0 {
            return Err(Error::invalid(format!(
                "Invalid QoS settings: linux does not support configuration of maximum {what}"
            )));
        }
    }
    Ok(())
}

/// Checks one resource limit.
fn ulimit(name: &str, soft: i64, hard: i64) -> Result<()> {
    if !ULIMIT_NAMES.contains(&name) {
        return Err(Error::invalid(format!("invalid ulimit type: {name}")));
    }
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(())
}
