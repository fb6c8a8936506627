//! `stats`: what containers use, once or as a live view.
//!
//! Each container's numbers are a stream of their own. All streams are polled from one thread; the
//! screen is drawn twice a second from the last reading of each.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use skiff_api::{ContainerStats, ContainerSummary, List};
use skiff_model::size::{binary_size, human_size_with_precision};

use super::path;
use crate::client::{Client, ClientError, Pending, Query, Request, Response};
use crate::command::{Arity, Command};
use crate::commands::format::FORMAT_HELP;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{Listing, print_text, short_id};
use crate::template::{Object, Value};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show stopped ones too").short('a'),
    Flag::text("format", FORMAT_HELP),
    Flag::switch("no-stream", "Print once and end"),
    Flag::switch("no-trunc", "Do not shorten"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container stats", "stats"],
    usage: "[OPTIONS] [CONTAINER...]",
    summary: "Watch what containers use of CPU, memory, network and disks",
    arity: Arity::Any,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Once, for a script", "stats --no-stream --format '{{.Name}} {{.MemUsage}}'")],
    run,
};

const LISTING: Listing = Listing {
    table: "{{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t{{.MemPerc}}\\t{{.NetIO}}\\t\
            {{.BlockIO}}\\t{{.PIDs}}",
    heads: &[
        ("Container", "CONTAINER"),
        ("ID", "CONTAINER ID"),
        ("Name", "NAME"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
};

const FRAME: Duration = Duration::from_millis(500);

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let whole = flags.on("no-trunc");
    let format = flags.text("format").to_owned();
    let client = context.client()?;
    let follows_all = flags.args.is_empty();
    let names = if follows_all { list(client, flags.on("all"))? } else { flags.args.clone() };
    if flags.on("no-stream") {
        return once(client, names, &format, whole);
    }
    let mut view = View { streams: Vec::new(), whole };
    for name in names {
        view.watch(client, name)?;
    }
    live(client, view, &format, follows_all.then(|| flags.on("all")))
}

fn list(client: &mut Client, all: bool) -> Result<Vec<String>, ClientError> {
    let query = Query::new("/containers/json").add_switch("all", all);
    let containers: List<ContainerSummary> = client.get_json(query)?;
    Ok(containers.into_vec().into_iter().map(|container| container.id).collect())
}

fn request(name: &str, stream: bool) -> Request {
    let stream = if stream { "1" } else { "0" };
    Request::new("GET", Query::new(path(name, "/stats")).add("stream", stream))
}

/// All are asked before any answers, because each takes the daemon a second to measure.
fn once(client: &mut Client, names: Vec<String>, format: &str, whole: bool) -> Result<(), Failure> {
    let mut pending: Vec<(String, Pending)> = Vec::new();
    for name in names {
        let sent = client.send(request(&name, false))?;
        pending.push((name, sent));
    }
    let mut rows: Vec<Rc<dyn Object>> = Vec::new();
    let mut errors = Vec::new();
    for (name, sent) in pending {
        match sent.answer().and_then(|answer| answer.json::<ContainerStats>()) {
            Ok(stats) => rows.push(Rc::new(Row { asked: name, stats: Some(stats), whole })),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() {
        LISTING.print(format, rows)?;
    }
    Failure::join(errors)
}

struct Stream {
    name: String,
    lines: BufReader<Response>,
    last: Option<ContainerStats>,
}

struct View {
    streams: Vec<Stream>,
    whole: bool,
}

impl View {
    fn watch(&mut self, client: &mut Client, name: String) -> Result<(), ClientError> {
        let response = client.call(request(&name, true))?;
        self.streams.push(Stream { name, lines: BufReader::new(response), last: None });
        Ok(())
    }

    /// Reads what has arrived until the next frame is due. Streams that end leave the view.
    fn read_until(&mut self, due: Instant) -> io::Result<()> {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let timeout =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
            let waiting = |stream: &Stream| {
                !stream.lines.buffer().is_empty() || stream.lines.get_ref().has_buffered_input()
            };
            let mut ready: Vec<bool> = self.streams.iter().map(waiting).collect();
            if !ready.contains(&true) {
                let mut fds: Vec<PollFd> = self
                    .streams
                    .iter()
                    .map(|s| PollFd::from_borrowed_fd(s.lines.get_ref().as_fd(), PollFlags::IN))
                    .collect();
                if poll(&mut fds, Some(&timeout))? == 0 {
                    return Ok(());
                }
                ready = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            }
            let mut index = 0;
            self.streams.retain_mut(|stream| {
                index += 1;
                !ready[index - 1] || read_one(stream)
            });
            if Instant::now() >= due {
                return Ok(());
            }
        }
    }

    fn render(&self, format: &str) -> Result<String, Failure> {
        let rows = self.streams.iter().map(|stream| {
            Rc::new(Row {
                asked: stream.name.clone(),
                stats: stream.last.clone(),
                whole: self.whole,
            }) as Rc<dyn Object>
        });
        LISTING.render(format, rows.collect())
    }
}

/// Reads one message; false when the stream has ended.
fn read_one(stream: &mut Stream) -> bool {
    let mut line = Vec::new();
    match stream.lines.read_until(b'\n', &mut line) {
        Ok(count) if count > 0 => {
            if let Ok(stats) = serde_json::from_slice(&line) {
                stream.last = Some(stats);
            }
            true
        }
        _ => false,
    }
}

fn live(
    client: &mut Client,
    mut view: View,
    format: &str,
    follow: Option<bool>,
) -> Result<(), Failure> {
    // The first picture shows what is watched, before anything was measured.
    loop {
        let text = view.render(format)?;
        // Home, the text with the rest of each line cleared, and everything below cleared.
        print_text(&format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")))?;
        io::stdout().flush()?;
        if view.streams.is_empty() && follow.is_none() {
            return Ok(());
        }
        view.read_until(Instant::now() + FRAME)?;
        if let Some(all) = follow {
            let known: HashSet<String> = view.streams.iter().map(|s| s.name.clone()).collect();
            for id in list(client, all)?.into_iter().filter(|id| !known.contains(id)) {
                // It may be gone before we ask.
                match view.watch(client, id) {
                    Err(error) if !error.is_not_found() => return Err(error.into()),
                    _ => {}
                }
            }
        }
    }
}

struct Row {
    asked: String,
    stats: Option<ContainerStats>,
    whole: bool,
}

impl Object for Row {
    fn field(&self, name: &str, _: &[Value]) -> Option<Value> {
        let unknown = || Some(Value::text("--"));
        if name == "Container" {
            return Some(Value::Text(self.asked.clone()));
        }
        let Some(stats) = &self.stats else {
            return match name {
                "ID" if !self.whole => Some(Value::Text(short_id(&self.asked))),
                "MemUsage" | "NetIO" | "BlockIO" => Some(Value::text("-- / --")),
                _ => unknown(),
            };
        };
        let pair = |(a, b): (u64, u64)| {
            let text = |bytes: u64| human_size_with_precision(bytes as f64, 3);
            format!("{} / {}", text(a), text(b))
        };
        Some(Value::Text(match name {
            "ID" if self.whole => stats.id.clone(),
            "ID" => short_id(&stats.id),
            "Name" => stats.name.trim_start_matches('/').to_owned(),
            "CPUPerc" => format!("{:.2}%", cpu_percent(stats)),
            "MemUsage" => {
                let size = |bytes: u64| binary_size(bytes as f64);
                format!("{} / {}", size(memory_used(stats)), size(stats.memory_stats.limit))
            }
            "MemPerc" => format!("{:.2}%", memory_percent(stats)),
            "NetIO" => pair(network(stats)),
            "BlockIO" => pair(blocks(stats)),
            "PIDs" => stats.pids_stats.current.to_string(),
            _ => return None,
        }))
    }

    fn fields(&self) -> &'static [&'static str] {
        &["BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"]
    }

    fn type_name(&self) -> &'static str {
        "*container.statsContext"
    }
}

fn cpu_percent(stats: &ContainerStats) -> f64 {
    let (now, before) = (&stats.cpu_stats, &stats.precpu_stats);
    let used = now.cpu_usage.total_usage as f64 - before.cpu_usage.total_usage as f64;
    let passed = now.system_cpu_usage as f64 - before.system_cpu_usage as f64;
    let cpus = match now.online_cpus {
        0 => now.cpu_usage.percpu_usage.len() as f64,
        cpus => f64::from(cpus),
    };
    if used > 0.0 && passed > 0.0 { used / passed * cpus * 100.0 } else { 0.0 }
}

/// Without the file cache that the kernel would give back at once.
fn memory_used(stats: &ContainerStats) -> u64 {
    let memory = &stats.memory_stats;
    let cache = memory.stats.get("total_inactive_file").or(memory.stats.get("inactive_file"));
    match cache {
        Some(cache) if *cache < memory.usage => memory.usage - cache,
        _ => memory.usage,
    }
}

fn memory_percent(stats: &ContainerStats) -> f64 {
    match stats.memory_stats.limit {
        0 => 0.0,
        limit => memory_used(stats) as f64 / limit as f64 * 100.0,
    }
}

fn network(stats: &ContainerStats) -> (u64, u64) {
    stats.networks.values().fold((0, 0), |(rx, tx), n| (rx + n.rx_bytes, tx + n.tx_bytes))
}

fn blocks(stats: &ContainerStats) -> (u64, u64) {
    stats.blkio_stats.io_service_bytes_recursive.iter().fold((0, 0), |(read, write), entry| {
        match entry.op.bytes().next() {
            Some(b'r' | b'R') => (read + entry.value, write),
            Some(b'w' | b'W') => (read, write + entry.value),
            _ => (read, write),
        }
    })
}
