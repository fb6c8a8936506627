//! The columns of `ps` by name, and how each shows a process.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::process::Process;
use super::users::Names;

/// Kernel flags of a process that `F` shows: forked and not exec'd, used super-user privileges.
const SHOWN_FLAGS_SHIFT: u64 = 6;
const SHOWN_FLAGS: u64 = 7;

/// One column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    show: fn(&Process, &Host) -> String,
}

/// What the values of some columns are relative to.
pub(super) struct Host {
    pub(super) names: Names,
    pub(super) now: Timestamp,
    pub(super) zone: TimeZone,
    /// Unix seconds.
    pub(super) booted: i64,
    pub(super) ticks_per_second: u64,
    pub(super) page_size: u64,
    /// Bytes.
    pub(super) memory: u64,
}

impl Column {
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    pub(super) fn is_pid(&self) -> bool {
        self.title == "PID"
    }

    pub(super) fn show(&self, process: &Process, host: &Host) -> String {
        (self.show)(process, host)
    }
}

type Show = fn(&Process, &Host) -> String;

/// Names as in ps(1) "STANDARD FORMAT SPECIFIERS", with aliases, and titles.
const COLUMNS: &[(&[&str], &str, Show)] = &[
    (&["uid_name"], "UID", |p, h| h.names.user(p.uids[1])),
    (&["uid"], "UID", |p, _| p.uids[1].to_string()),
    (&["euid"], "EUID", |p, _| p.uids[1].to_string()),
    (&["user", "uname"], "USER", |p, h| h.names.user(p.uids[1])),
    (&["euser"], "EUSER", |p, h| h.names.user(p.uids[1])),
    (&["ruser"], "RUSER", |p, h| h.names.user(p.uids[0])),
    (&["ruid"], "RUID", |p, _| p.uids[0].to_string()),
    (&["gid"], "GID", |p, _| p.gids[1].to_string()),
    (&["egid"], "EGID", |p, _| p.gids[1].to_string()),
    (&["group"], "GROUP", |p, h| h.names.group(p.gids[1])),
    (&["egroup"], "EGROUP", |p, h| h.names.group(p.gids[1])),
    (&["rgroup"], "RGROUP", |p, h| h.names.group(p.gids[0])),
    (&["rgid"], "RGID", |p, _| p.gids[0].to_string()),
    (&["pid"], "PID", |p, _| p.pid.to_string()),
    (&["tgid"], "TGID", |p, _| p.pid.to_string()),
    (&["ppid"], "PPID", |p, _| p.ppid.to_string()),
    (&["pgid"], "PGID", |p, _| p.pgrp.to_string()),
    (&["pgrp"], "PGRP", |p, _| p.pgrp.to_string()),
    (&["sid"], "SID", |p, _| p.session.to_string()),
    (&["sess", "session"], "SESS", |p, _| p.session.to_string()),
    (&["tpgid"], "TPGID", |p, _| p.foreground.to_string()),
    (&["c"], "C", |p, h| (per_mille(p, h) / 10).min(99).to_string()),
    (&["%cpu", "pcpu"], "%CPU", |p, h| tenths(per_mille(p, h))),
    (&["%mem", "pmem"], "%MEM", |p, h| tenths((resident(p, h) * 1000 / h.memory.max(1)).min(999))),
    (&["vsz", "vsize"], "VSZ", |p, _| (p.virtual_size >> 10).to_string()),
    (&["rss", "rssize"], "RSS", |p, h| (resident(p, h) >> 10).to_string()),
    (&["sz"], "SZ", |p, h| (p.virtual_size / h.page_size.max(1)).to_string()),
    (&["min_flt"], "MINFL", |p, _| p.minor_faults.to_string()),
    (&["maj_flt"], "MAJFL", |p, _| p.major_faults.to_string()),
    (&["tname"], "TTY", |p, _| tty(p.tty)),
    (&["tty", "tt"], "TT", |p, _| tty(p.tty)),
    (&["stat"], "STAT", |p, _| stat(p)),
    (&["s", "state"], "S", |p, _| p.state.to_string()),
    (&["f", "flag", "flags"], "F", |p, _| {
        ((p.flags >> SHOWN_FLAGS_SHIFT) & SHOWN_FLAGS).to_string()
    }),
    (&["stime"], "STIME", start),
    (&["start_time", "bsdstart"], "START", start),
    (&["etime"], "ELAPSED", |p, h| clock(elapsed(p, h), false)),
    (&["etimes"], "ELAPSED", |p, h| elapsed(p, h).to_string()),
    (&["time", "cputime"], "TIME", |p, h| clock(cpu_seconds(p, h), true)),
    (&["bsdtime"], "TIME", |p, h| minutes(cpu_seconds(p, h))),
    (&["pri"], "PRI", |p, _| (39 - p.priority).to_string()),
    (&["ni", "nice"], "NI", |p, _| nice(p)),
    (&["nlwp"], "NLWP", |p, _| p.threads.to_string()),
    (&["psr"], "PSR", |p, _| p.processor.to_string()),
    (&["addr"], "ADDR", |_, _| "-".to_owned()),
    (&["wchan"], "WCHAN", |p, _| wait_channel(&p.wchan)),
    (&["cmd"], "CMD", |p, _| p.args.clone()),
    (&["args", "command"], "COMMAND", |p, _| p.args.clone()),
    (&["comm", "ucomm"], "COMMAND", |p, _| p.comm.clone()),
    (&["ucmd"], "CMD", |p, _| p.comm.clone()),
];

/// The column of this name.
pub(super) fn by_name(name: &str) -> Option<Column> {
    COLUMNS
        .iter()
        .find(|(names, ..)| names.contains(&name))
        .map(|&(_, title, show)| Column { title, show })
}

fn resident(process: &Process, host: &Host) -> u64 {
    process.resident * host.page_size
}

fn elapsed(process: &Process, host: &Host) -> u64 {
    let started = host.booted + (process.started / host.ticks_per_second.max(1)).cast_signed();
    u64::try_from(host.now.as_second() - started).unwrap_or(0)
}

fn cpu_seconds(process: &Process, host: &Host) -> u64 {
    process.ticks / host.ticks_per_second.max(1)
}

/// Processor time in thousandths of the time since the start.
fn per_mille(process: &Process, host: &Host) -> u64 {
    match elapsed(process, host) {
        0 => 0,
        seconds => process.ticks * 1000 / host.ticks_per_second.max(1) / seconds,
    }
}

fn tenths(value: u64) -> String {
    format!("{}.{}", value / 10, value % 10)
}

/// Time of day when it started today, else the day, else the year.
fn start(process: &Process, host: &Host) -> String {
    let seconds = host.booted + (process.started / host.ticks_per_second.max(1)).cast_signed();
    let Ok(started) = Timestamp::from_second(seconds) else { return "?".to_owned() };
    let (started, now) = (host.zone.to_datetime(started), host.zone.to_datetime(host.now));
    let format = if started.year() != now.year() {
        "%Y"
    } else if started.day_of_year() != now.day_of_year() {
        "%b%d"
    } else {
        "%H:%M"
    };
    started.strftime(format).to_string()
}

/// `[days-]hours:minutes:seconds`; without `hours_always` hours are left out when there are none.
fn clock(seconds: u64, hours_always: bool) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) if !hours_always => format!("{minutes:02}:{seconds:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn minutes(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Name of a terminal by its device number (bits as in the kernel's `new_encode_dev`).
fn tty(device: i32) -> String {
    let device = device.cast_unsigned();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match (major, minor) {
        (0, 0) => "?".to_owned(),
        (4, 0..=63) => format!("tty{minor}"),
        (4, _) => format!("ttyS{}", minor - 64),
        (5, 1) => "console".to_owned(),
        (136..=143, _) => format!("pts/{}", minor + ((major - 136) << 8)),
        _ => "?".to_owned(),
    }
}

fn stat(process: &Process) -> String {
    let mut text = process.state.to_string();
    if process.nice < 0 {
        text.push('<');
    }
    if process.nice > 0 {
        text.push('N');
    }
    if process.locked > 0 {
        text.push('L');
    }
    if process.session == process.pid {
        text.push('s');
    }
    if process.threads > 1 {
        text.push('l');
    }
    if process.foreground >= 0 && process.foreground == process.pgrp {
        text.push('+');
    }
    text
}

/// Only processes of the policies OTHER (0) and BATCH (3) have a nice value.
fn nice(process: &Process) -> String {
    if matches!(process.policy, 0 | 3) { process.nice.to_string() } else { "-".to_owned() }
}

/// The kernel function it sleeps in, six letters of it; `-` when it runs.
fn wait_channel(name: &str) -> String {
    match name {
        "" | "0" => "-".to_owned(),
        name => name.chars().take(6).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host {
            names: Names::of_host(),
            now: "2026-11-24T12:00:00Z".parse().unwrap(),
            zone: TimeZone::UTC,
            booted: "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap().as_second(),
            ticks_per_second: 100,
            page_size: 4096,
            memory: 1 << 30,
        }
    }

    fn check(process: &Process, name: &str, expect: &str) {
        assert_eq!(by_name(name).unwrap().show(process, &host()), expect, "{name}");
    }

    #[test]
    fn values_are_shown_as_ps_does() {
        let process = Process {
            pid: 7,
            session: 7,
            pgrp: 7,
            foreground: 7,
            state: 'S',
            nice: -10,
            priority: 10,
            threads: 3,
            tty: 0x8801,
            ticks: 400 * 100,
            // 02:00 into the boot.
            started: 7200 * 100,
            resident: 5120,
            virtual_size: 50 << 20,
            comm: "sh".to_owned(),
            args: "sh -c x".to_owned(),
            wchan: "do_wait_thing".to_owned(),
            ..Process::default()
        };
        for (name, expect) in [
            ("tname", "pts/1"),
            ("stat", "S<sl+"),
            ("stime", "Nov23"),
            ("time", "00:06:40"),
            ("bsdtime", "6:40"),
            ("etime", "1-00:00:00"),
            ("etimes", "86400"),
            ("c", "0"),
            ("%cpu", "0.4"),
            ("%mem", "1.9"),
            ("rss", "20480"),
            ("vsz", "51200"),
            ("sz", "12800"),
            ("pri", "29"),
            ("ni", "-10"),
            ("wchan", "do_wai"),
            ("cmd", "sh -c x"),
            ("comm", "sh"),
            ("uid_name", "root"),
        ] {
            check(&process, name, expect);
        }
        check(
            &Process { started: 100 * 86_400 + 100 * 3600, ..process.clone() },
            "start_time",
            "11:00",
        );
        check(&Process { tty: 0, ..process.clone() }, "tname", "?");
        for (policy, expect) in [(3, "-10"), (1, "-"), (5, "-")] {
            check(&Process { policy, ..process.clone() }, "ni", expect);
        }
        check(&Process { tty: 0x8901, ..process }, "tname", "pts/257");
    }

    #[test]
    fn elapsed_times_leave_out_empty_hours() {
        assert_eq!(clock(59, false), "00:59");
        assert_eq!(clock(3661, false), "01:01:01");
        assert_eq!(clock(90_061, true), "1-01:01:01");
    }
}
