//! Usage of a control group, in one form for v1 and v2.
//!
//! Missing files are zeros: which of them exist depends on the kernel's configuration, and a
//! container that just ended has none.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::layout::Controller;
use super::{CgroupPaths, file};

/// What a container uses at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    pub cpu: CpuStats,
    pub memory: MemoryStats,
    pub pids: PidsStats,
    pub blkio: BlkioStats,
    /// One entry for each page size.
    pub hugetlb: Vec<HugetlbStats>,
    /// Whether the numbers come from cgroup v2, where Docker leaves some fields out.
    pub unified: bool,
}

/// Processor time in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    pub usage_ns: u64,
    pub user_ns: u64,
    pub system_ns: u64,
    /// v1 only: one for each possible processor.
    pub per_cpu_ns: Vec<u64>,
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled_ns: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    pub usage: u64,
    /// v1 only in Docker's answers; on v2 `memory.peak` (5.19), or 0.
    pub max_usage: u64,
    /// `u64::MAX` is no limit; v1 has a huge number instead, which is turned into it.
    pub limit: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
    pub swap_usage: u64,
    pub swap_limit: u64,
    /// Processes killed for want of memory.
    pub oom_kill: u64,
    /// `memory.stat` as the kernel writes it.
    pub stat: Vec<(String, u64)>,
}

/// Tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    pub current: u64,
    /// `u64::MAX` is no limit.
    pub limit: u64,
}

/// One counter of a block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    pub major: u64,
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard`, `Total`; v2 in small letters, as from runc.
    pub op: String,
    pub value: u64,
}

/// Block device traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    pub service_bytes: Vec<BlkioEntry>,
    pub serviced: Vec<BlkioEntry>,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HugetlbStats {
    pub page_size: String,
    pub usage: u64,
    pub max_usage: u64,
    pub failcnt: u64,
}

/// Reads everything.
pub(super) fn read(paths: &CgroupPaths) -> Result<Stats> {
    match &paths.unified {
        Some(dir) => read_v2(dir),
        None => read_v1(paths),
    }
}

fn number(dir: &Path, name: &str) -> Result<u64> {
    Ok(file::read_number(dir, name)?.unwrap_or(0))
}

fn text(dir: &Path, name: &str) -> Result<String> {
    Ok(file::read_if_there(dir, name)?.unwrap_or_default())
}

fn stat_pairs(text: &str) -> Vec<(String, u64)> {
    file::pairs(text).map(|(key, value)| (key.to_owned(), value)).collect()
}

fn read_v1(paths: &CgroupPaths) -> Result<Stats> {
    let mut stats = Stats::default();
    if let Some(dir) = paths.v1_dir(Controller::Cpuacct) {
        read_v1_cpuacct(dir, &mut stats.cpu)?;
    }
    if let Some(dir) = paths.v1_dir(Controller::Cpu) {
        let text = text(dir, "cpu.stat")?;
        let value = |key| file::value_of(&text, key).unwrap_or(0);
        stats.cpu.periods = value("nr_periods");
        stats.cpu.throttled_periods = value("nr_throttled");
        stats.cpu.throttled_ns = value("throttled_time");
    }
    if let Some(dir) = paths.v1_dir(Controller::Memory) {
        let control = text(dir, "memory.oom_control")?;
        stats.memory = MemoryStats {
            usage: number(dir, "memory.usage_in_bytes")?,
            max_usage: number(dir, "memory.max_usage_in_bytes")?,
            limit: no_limit(number(dir, "memory.limit_in_bytes")?),
            failcnt: number(dir, "memory.failcnt")?,
            swap_usage: number(dir, "memory.memsw.usage_in_bytes")?,
            swap_limit: no_limit(number(dir, "memory.memsw.limit_in_bytes")?),
            oom_kill: file::value_of(&control, "oom_kill").unwrap_or(0),
            stat: stat_pairs(&text(dir, "memory.stat")?),
        };
    }
    if let Some(dir) = paths.v1_dir(Controller::Pids) {
        stats.pids =
            PidsStats { current: number(dir, "pids.current")?, limit: number(dir, "pids.max")? };
    }
    if let Some(dir) = paths.v1_dir(Controller::Blkio) {
        let read = |bfq: &str, throttle: &str| -> Result<Vec<BlkioEntry>> {
            // BFQ's file is empty unless BFQ is a disk's scheduler.
            let entries = parse_blkio(&text(dir, bfq)?);
            if entries.is_empty() { Ok(parse_blkio(&text(dir, throttle)?)) } else { Ok(entries) }
        };
        stats.blkio.service_bytes = read(
            "blkio.bfq.io_service_bytes_recursive",
            "blkio.throttle.io_service_bytes_recursive",
        )?;
        stats.blkio.serviced =
            read("blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive")?;
    }
    if let Some(dir) = paths.v1_dir(Controller::Hugetlb) {
        stats.hugetlb = read_hugetlb(dir, ".limit_in_bytes", &|size| {
            Ok(HugetlbStats {
                usage: number(dir, &format!("hugetlb.{size}.usage_in_bytes"))?,
                max_usage: number(dir, &format!("hugetlb.{size}.max_usage_in_bytes"))?,
                failcnt: number(dir, &format!("hugetlb.{size}.failcnt"))?,
                page_size: size.to_owned(),
            })
        })?;
    }
    Ok(stats)
}

fn read_v1_cpuacct(dir: &Path, cpu: &mut CpuStats) -> Result<()> {
    cpu.usage_ns = number(dir, "cpuacct.usage")?;
    let per_cpu = text(dir, "cpuacct.usage_percpu")?;
    cpu.per_cpu_ns = per_cpu.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let split = text(dir, "cpuacct.stat")?;
    // The kernel gives USER_HZ ticks, which are 1/100 s on every architecture we run on.
    const TICK_NS: u64 = 10_000_000;
    let ticks = |key| file::value_of(&split, key).unwrap_or(0).saturating_mul(TICK_NS);
    cpu.user_ns = ticks("user");
    cpu.system_ns = ticks("system");
    Ok(())
}

/// v1 writes the largest multiple of a page below `i64::MAX`.
fn no_limit(value: u64) -> u64 {
    if value >= (i64::MAX as u64) >> 12 << 12 { u64::MAX } else { value }
}

/// Parses lines like `8:0 Read 4096`; the closing `Total 4096` belongs to no device.
fn parse_blkio(text: &str) -> Vec<BlkioEntry> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (major, minor) = fields.next()?.split_once(':')?;
            Some(BlkioEntry {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
                op: fields.next()?.to_owned(),
                value: fields.next()?.parse().ok()?,
            })
        })
        .collect()
}

fn read_v2(dir: &Path) -> Result<Stats> {
    let mut stats = Stats { unified: true, ..Stats::default() };
    let cpu = text(dir, "cpu.stat")?;
    let value = |key| file::value_of(&cpu, key).unwrap_or(0);
    stats.cpu = CpuStats {
        usage_ns: value("usage_usec").saturating_mul(1000),
        user_ns: value("user_usec").saturating_mul(1000),
        system_ns: value("system_usec").saturating_mul(1000),
        per_cpu_ns: Vec::new(),
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_ns: value("throttled_usec").saturating_mul(1000),
    };
    let events = text(dir, "memory.events")?;
    let event = |key| file::value_of(&events, key).unwrap_or(0);
    stats.memory = MemoryStats {
        usage: number(dir, "memory.current")?,
        max_usage: number(dir, "memory.peak")?,
        limit: number(dir, "memory.max")?,
        failcnt: event("max"),
        swap_usage: number(dir, "memory.swap.current")?,
        swap_limit: number(dir, "memory.swap.max")?,
        oom_kill: event("oom_kill"),
        stat: stat_pairs(&text(dir, "memory.stat")?),
    };
    stats.pids =
        PidsStats { current: number(dir, "pids.current")?, limit: number(dir, "pids.max")? };
    stats.blkio = parse_io_stat(&text(dir, "io.stat")?);
    stats.hugetlb = read_hugetlb(dir, ".max", &|size| {
        let events = text(dir, &format!("hugetlb.{size}.events"))?;
        Ok(HugetlbStats {
            usage: number(dir, &format!("hugetlb.{size}.current"))?,
            max_usage: 0,
            failcnt: file::value_of(&events, "max").unwrap_or(0),
            page_size: size.to_owned(),
        })
    })?;
    Ok(stats)
}

/// Parses lines like `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
fn parse_io_stat(text: &str) -> BlkioStats {
    let mut stats = BlkioStats::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let device = fields.next().and_then(|d| d.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        for (key, value) in fields.filter_map(|field| field.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut stats.service_bytes, "read"),
                "wbytes" => (&mut stats.service_bytes, "write"),
                "rios" => (&mut stats.serviced, "read"),
                "wios" => (&mut stats.serviced, "write"),
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                list.push(BlkioEntry { major, minor, op: op.into(), value });
            }
        }
    }
    stats
}

/// Finds the page sizes by the files there are; most hosts have the controller and none in use, so
/// this is the only listing of a directory.
fn read_hugetlb(
    dir: &Path,
    suffix: &str,
    read: &dyn Fn(&str) -> Result<HugetlbStats>,
) -> Result<Vec<HugetlbStats>> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Ok(Vec::new()) };
    let mut sizes: Vec<u64> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
        })
        .collect();
    sizes.sort_unstable();
    sizes
        .into_iter()
        .map(page_size_name)
        .filter(|size| dir.join(format!("hugetlb.{size}{suffix}")).exists())
        .map(|size| read(&size))
        .collect()
}

/// Names a page size as the controller's files do.
fn page_size_name(kilobytes: u64) -> String {
    match kilobytes {
        kb if kb >= 1 << 20 => format!("{}GB", kb >> 20),
        kb if kb >= 1 << 10 => format!("{}MB", kb >> 10),
        kb => format!("{kb}KB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blkio_lines_are_parsed_and_the_total_is_not_a_device() {
        let entries = parse_blkio("8:0 Read 10\n8:0 Total 10\nTotal 10\nnonsense\n");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0], BlkioEntry { major: 8, minor: 0, op: "Read".into(), value: 10 });
    }

    #[test]
    fn io_stat_lines_are_parsed() {
        let stats = parse_io_stat(
            "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n(unknown) x=1\n7:1\n",
        );
        assert_eq!(stats.service_bytes.len(), 2);
        assert_eq!(stats.serviced[1].value, 4);
        assert_eq!(stats.serviced[1].op, "write");
    }

    #[test]
    fn the_huge_number_of_v1_is_no_limit() {
        assert_eq!(no_limit(9_223_372_036_854_771_712), u64::MAX);
        assert_eq!(no_limit(1 << 40), 1 << 40);
    }

    #[test]
    fn page_sizes_are_named_as_by_the_kernel() {
        assert_eq!(page_size_name(64), "64KB");
        assert_eq!(page_size_name(2048), "2MB");
        assert_eq!(page_size_name(1 << 20), "1GB");
    }
}
