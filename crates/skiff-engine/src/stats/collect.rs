//! One reading: from a control group's numbers to Docker's form of them.

use std::fs;

use jiff::Timestamp;
use skiff_api::stats::{
    BlkioStatEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats,
    ThrottlingData,
};
use skiff_api::{ContainerStats, List, Map, ZERO_TIME};
use skiff_runtime::cgroup::{BlkioEntry, Stats};

use crate::container::registry::View;
use crate::{Error, Result, container};

/// Processor time of the whole host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct HostCpu {
    nanoseconds: u64,
    online: u32,
}

/// A reading of a container that does not run: names and nothing else.
pub(super) fn empty(view: &View) -> ContainerStats {
    ContainerStats {
        id: view.record.id.clone(),
        name: format!("/{}", view.record.name),
        os_type: "linux".to_owned(),
        read: ZERO_TIME.to_owned(),
        preread: ZERO_TIME.to_owned(),
        ..ContainerStats::default()
    }
}

/// A reading now of the container whose init is `pid`.
pub(super) fn read(view: &View, pid: i32) -> Result<ContainerStats> {
    let stats = container::cgroup::of(&view.record, pid)?.stats().map_err(|error| {
        Error::failed(format!("read usage of container {}", view.record.id), error)
    })?;
    let host = fs::read_to_string("/proc/stat")
        .map(|text| parse_host_cpu(&text))
        .map_err(|error| Error::failed("read /proc/stat", error))?;
    let memory = crate::system::host::memory().cast_unsigned();
    let mut answer = render(&stats, host, memory);
    answer.networks = networks(view, pid);
    Ok(ContainerStats { read: Timestamp::now().to_string(), ..merge(empty(view), answer) })
}

/// Puts the one before into a reading.
pub(super) fn with_previous(mut now: ContainerStats, before: &ContainerStats) -> ContainerStats {
    now.preread.clone_from(&before.read);
    now.precpu_stats = before.cpu_stats.clone();
    now
}

fn merge(named: ContainerStats, numbers: ContainerStats) -> ContainerStats {
    ContainerStats {
        id: named.id,
        name: named.name,
        os_type: named.os_type,
        preread: named.preread,
        ..numbers
    }
}

fn render(stats: &Stats, host: HostCpu, host_memory: u64) -> ContainerStats {
    let unified = stats.unified;
    // Docker leaves these out on v2, where older kernels do not have them.
    let only_v1 = |value: u64| if unified { 0 } else { value };
    ContainerStats {
        cpu_stats: CpuStats {
            cpu_usage: CpuUsage {
                total_usage: stats.cpu.usage_ns,
                percpu_usage: stats.cpu.per_cpu_ns.clone().into(),
                usage_in_kernelmode: stats.cpu.system_ns,
                usage_in_usermode: stats.cpu.user_ns,
            },
            system_cpu_usage: host.nanoseconds,
            online_cpus: host.online,
            throttling_data: ThrottlingData {
                periods: stats.cpu.periods,
                throttled_periods: stats.cpu.throttled_periods,
                throttled_time: stats.cpu.throttled_ns,
            },
        },
        memory_stats: MemoryStats {
            usage: stats.memory.usage,
            max_usage: only_v1(stats.memory.max_usage),
            stats: stats.memory.stat.iter().cloned().collect(),
            failcnt: only_v1(stats.memory.failcnt),
            limit: stats.memory.limit.min(host_memory),
        },
        pids_stats: PidsStats {
            current: stats.pids.current,
            limit: match stats.pids.limit {
                u64::MAX if !unified => 0,
                limit => limit,
            },
        },
        blkio_stats: blkio(stats),
        ..ContainerStats::default()
    }
}

fn blkio(stats: &Stats) -> BlkioStats {
    let entries = |entries: &[BlkioEntry]| {
        entries
            .iter()
            .map(|entry| BlkioStatEntry {
                major: entry.major,
                minor: entry.minor,
                op: entry.op.clone(),
                value: entry.value,
            })
            .collect::<Vec<_>>()
    };
    let service_bytes = entries(&stats.blkio.service_bytes);
    let serviced = entries(&stats.blkio.serviced);
    if stats.unified {
        let list =
            |entries: Vec<_>| if entries.is_empty() { List::default() } else { entries.into() };
        return BlkioStats {
            io_service_bytes_recursive: list(service_bytes),
            io_serviced_recursive: list(serviced),
            ..BlkioStats::default()
        };
    }
    BlkioStats {
        io_service_bytes_recursive: service_bytes.into(),
        io_serviced_recursive: serviced.into(),
        io_queue_recursive: List::empty(),
        io_service_time_recursive: List::empty(),
        io_wait_time_recursive: List::empty(),
        io_merged_recursive: List::empty(),
        io_time_recursive: List::empty(),
        sectors_recursive: List::empty(),
    }
}

/// The first line of `/proc/stat` up to softirq (what comes after is contained in user time, or
/// was not the host's), and the number of processors.
fn parse_host_cpu(stat: &str) -> HostCpu {
    const COUNTED: usize = 7;
    let ticks: u64 = stat
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))
        .into_iter()
        .flat_map(|line| line.split_ascii_whitespace().take(COUNTED))
        .filter_map(|value| value.parse::<u64>().ok())
        .sum();
    let online = stat
        .lines()
        .filter_map(|line| line.strip_prefix("cpu"))
        .filter(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()))
        .count();
    HostCpu {
        nanoseconds: ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1)),
        online: online.try_into().unwrap_or(u32::MAX),
    }
}

/// Interfaces of a container that has a network of its own.
fn networks(view: &View, pid: i32) -> Map<NetworkStats> {
    let mode = view.record.host_config.network_mode.as_str();
    if mode == "host" || mode.starts_with("container:") {
        return Map::default();
    }
    // Gone means ended meanwhile.
    let text = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let found = parse_interfaces(&text);
    if found.is_empty() { Map::default() } else { found }
}

/// `/proc/<pid>/net/dev` without the loopback interface (proc_pid_net(5)).
fn parse_interfaces(text: &str) -> Map<NetworkStats> {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> =
            numbers.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        let name = name.trim();
        if name == "lo" || numbers.len() < 12 {
            return None;
        }
        let stats = NetworkStats {
            rx_bytes: numbers[0],
            rx_packets: numbers[1],
            rx_errors: numbers[2],
            rx_dropped: numbers[3],
            tx_bytes: numbers[8],
            tx_packets: numbers[9],
            tx_errors: numbers[10],
            tx_dropped: numbers[11],
        };
        Some((name.to_owned(), stats))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use skiff_runtime::cgroup::{MemoryStats as Memory, PidsStats as Pids};

    use super::*;

    #[test]
    fn the_hosts_time_is_counted_up_to_softirq() {
        let text = "cpu  10 1 2 100 5 0 2 99 7 7\ncpu0 5 0 1 50 2 0 1 50 3 3\ncpu1 5 1 1 50 3 0 1 49 4 4\n\
                    intr 1 2 3\n";
        let expect = HostCpu { nanoseconds: 120 * 10_000_000, online: 2 };
        assert_eq!(parse_host_cpu(text), expect);
    }

    fn sample(unified: bool) -> ContainerStats {
        let stats = Stats {
            memory: Memory {
                usage: 5,
                max_usage: 9,
                limit: u64::MAX,
                failcnt: 3,
                ..Memory::default()
            },
            pids: Pids { current: 1, limit: u64::MAX },
            unified,
            ..Stats::default()
        };
        render(&stats, HostCpu::default(), 1000)
    }

    #[test]
    fn both_kinds_of_control_groups_look_as_dockers() {
        let v1 = serde_json::to_value(sample(false)).unwrap();
        assert_eq!(v1["memory_stats"]["limit"], 1000);
        assert_eq!(v1["memory_stats"]["max_usage"], 9);
        assert_eq!(v1["pids_stats"], serde_json::json!({"current": 1}));
        assert_eq!(v1["blkio_stats"]["sectors_recursive"], serde_json::json!([]));
        let v2 = serde_json::to_value(sample(true)).unwrap();
        assert_eq!(v2["memory_stats"]["max_usage"], serde_json::Value::Null);
        assert_eq!(v2["pids_stats"]["limit"], u64::MAX);
        assert_eq!(v2["blkio_stats"]["io_service_bytes_recursive"], serde_json::Value::Null);
    }

    #[test]
    fn interfaces_are_read_without_loopback() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n\
                    \x20   lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n\
                    \x20 eth0: 100 2 3 4 0 0 0 0 200 5 6 7 0 0 0 0\n";
        let found = parse_interfaces(text);
        assert_eq!(found.len(), 1);
        assert_eq!((found["eth0"].rx_dropped, found["eth0"].tx_bytes), (4, 200));
    }
}
