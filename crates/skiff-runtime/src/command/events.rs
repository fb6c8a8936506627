//! `events`: usage now (`--stats`), or at intervals and with out-of-memory events until the end.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::args::{Flag, Parsed};
use super::{CommandError, Global, Result, Verb, print};
use crate::cgroup::{BlkioEntry, Stats};

pub(super) static VERB: Verb = Verb {
    name: "events",
    about: "display container events such as OOM notifications, cpu, memory, and IO usage \
            statistics",
    usage: "[command options] <container-id>",
    flags: &[Flag::value("interval"), Flag::switch("stats")],
    flags_anywhere: true,
    arguments: (1, 1),
    run: events,
};

fn events(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let container = global.store.load(parsed.id())?;
    let interval = match parsed.get("interval") {
        Some(text) => parse_interval(text)?,
        None => Duration::from_secs(5),
    };
    let Some(process) = container.process() else {
        return Err(CommandError::new("container not running"));
    };
    let (id, cgroup) = (parsed.id(), container.cgroup());
    if parsed.has("stats") {
        return line(id, "stats", Some(Data::from(&cgroup.stats()?)));
    }
    let oom = cgroup.oom_events()?;
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let pidfd = process.pidfd();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN), PollFd::new(&oom, oom.interest())];
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            other => drop(other.map_err(|error| CommandError::io("wait for events", error))?),
        }
        let ready = fds.map(|fd| !fd.revents().is_empty());
        if ready[1] {
            oom.drain();
            line(id, "oom", None)?;
        }
        if ready[0] {
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() >= next {
            line(id, "stats", Some(Data::from(&cgroup.stats()?)))?;
            next += interval;
        }
    }
}

/// Reads `5s`, `500ms` and `1m`.
fn parse_interval(text: &str) -> Result<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().unwrap_or(0);
    let interval = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => Duration::ZERO,
    };
    if interval.is_zero() {
        return Err(CommandError::new("duration interval must be greater than 0"));
    }
    Ok(interval)
}

fn line(id: &str, kind: &str, data: Option<Data>) -> Result<ExitCode> {
    let event = Event { kind, id, data };
    let text = serde_json::to_string(&event).map_err(|e| CommandError::new(e.to_string()))?;
    print(&(text + "\n"))
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

/// runc's form of the numbers.
#[derive(Serialize)]
struct Data {
    cpu: Cpu,
    memory: Memory,
    pids: Pids,
    blkio: Blkio,
    hugetlb: BTreeMap<String, Usage>,
}

#[derive(Serialize)]
struct Cpu {
    usage: CpuUsage,
    throttling: Throttling,
}

#[derive(Serialize)]
struct CpuUsage {
    total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu: Vec<u64>,
    kernel: u64,
    user: u64,
}

#[derive(Serialize)]
struct Throttling {
    periods: u64,
    #[serde(rename = "throttledPeriods")]
    throttled_periods: u64,
    #[serde(rename = "throttledTime")]
    throttled_time: u64,
}

#[derive(Serialize)]
struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    usage: u64,
    max: u64,
    failcnt: u64,
}

#[derive(Serialize)]
struct Memory {
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<u64>,
    usage: Usage,
    swap: Usage,
    raw: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Pids {
    current: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<Entry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    major: u64,
    minor: u64,
    op: String,
    value: u64,
}

fn limited(limit: u64) -> Option<u64> {
    (limit != u64::MAX).then_some(limit)
}

impl From<&Stats> for Data {
    fn from(stats: &Stats) -> Self {
        let entry = |entry: &BlkioEntry| Entry {
            major: entry.major,
            minor: entry.minor,
            op: entry.op.clone(),
            value: entry.value,
        };
        let memory = &stats.memory;
        let raw: BTreeMap<String, u64> = memory.stat.iter().cloned().collect();
        Self {
            cpu: Cpu {
                usage: CpuUsage {
                    total: stats.cpu.usage_ns,
                    percpu: stats.cpu.per_cpu_ns.clone(),
                    kernel: stats.cpu.system_ns,
                    user: stats.cpu.user_ns,
                },
                throttling: Throttling {
                    periods: stats.cpu.periods,
                    throttled_periods: stats.cpu.throttled_periods,
                    throttled_time: stats.cpu.throttled_ns,
                },
            },
            memory: Memory {
                cache: raw.get("cache").or_else(|| raw.get("file")).copied(),
                usage: Usage {
                    limit: limited(memory.limit),
                    usage: memory.usage,
                    max: memory.max_usage,
                    failcnt: memory.failcnt,
                },
                swap: Usage {
                    limit: limited(memory.swap_limit),
                    usage: memory.swap_usage,
                    max: 0,
                    failcnt: 0,
                },
                raw,
            },
            pids: Pids { current: stats.pids.current, limit: limited(stats.pids.limit) },
            blkio: Blkio {
                io_service_bytes_recursive: stats.blkio.service_bytes.iter().map(entry).collect(),
                io_serviced_recursive: stats.blkio.serviced.iter().map(entry).collect(),
            },
            hugetlb: stats
                .hugetlb
                .iter()
                .map(|pages| {
                    let (usage, max, failcnt) = (pages.usage, pages.max_usage, pages.failcnt);
                    (pages.page_size.clone(), Usage { limit: None, usage, max, failcnt })
                })
                .collect(),
        }
    }
}
