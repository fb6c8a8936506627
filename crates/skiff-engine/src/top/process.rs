//! One process as `/proc` describes it.

use std::fs;
use std::io;

/// The numbers of `/proc/<pid>/stat` that `ps` shows, and the texts beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) comm: String,
    pub(super) state: char,
    pub(super) ppid: i32,
    pub(super) pgrp: i32,
    pub(super) session: i32,
    pub(super) tty: i32,
    pub(super) foreground: i32,
    pub(super) flags: u64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    /// User and system time in clock ticks.
    pub(super) ticks: u64,
    pub(super) priority: i64,
    pub(super) nice: i64,
    pub(super) threads: i64,
    /// Ticks after boot.
    pub(super) started: u64,
    /// Bytes.
    pub(super) virtual_size: u64,
    /// Pages.
    pub(super) resident: u64,
    pub(super) processor: i32,
    /// `SCHED_*`.
    pub(super) policy: i32,
    /// Real and effective.
    pub(super) uids: [u32; 2],
    pub(super) gids: [u32; 2],
    /// kB of locked memory.
    pub(super) locked: u64,
    pub(super) wchan: String,
    /// Arguments with spaces between them; the name in brackets when there are none.
    pub(super) args: String,
}

impl Process {
    /// Reads a process; `None` when it is gone.
    pub(super) fn read(pid: i32) -> io::Result<Option<Process>> {
        let Some(stat) = read(pid, "stat")? else { return Ok(None) };
        let Some(mut process) = parse_stat(&stat) else {
            return Err(io::Error::other(format!("unexpected content of /proc/{pid}/stat")));
        };
        let Some(status) = read(pid, "status")? else { return Ok(None) };
        process.take_status(&status);
        process.args = match read(pid, "cmdline")? {
            Some(cmdline) if !cmdline.is_empty() => printable(cmdline.trim_end_matches('\0')),
            _ => format!("[{}]", process.comm),
        };
        // Not readable without privilege, and not worth an error.
        process.wchan = read(pid, "wchan").ok().flatten().unwrap_or_default();
        Ok(Some(process))
    }

    fn take_status(&mut self, status: &str) {
        for line in status.lines() {
            let Some((name, values)) = line.split_once(':') else { continue };
            let mut numbers = values.split_ascii_whitespace().map(|value| value.parse().ok());
            let mut next = || numbers.next().flatten().unwrap_or_default();
            match name {
                "Uid" => self.uids = [next(), next()],
                "Gid" => self.gids = [next(), next()],
                "VmLck" => self.locked = u64::from(next()),
                _ => {}
            }
        }
    }
}

/// The text of a file of a process; `None` when the process is gone. Names and arguments are
/// bytes; what is not UTF-8 in them is shown as `?`.
fn read(pid: i32, file: &str) -> io::Result<Option<String>> {
    match fs::read(format!("/proc/{pid}/{file}")) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).replace('\u{fffd}', "?"))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Arguments are separated by NUL; other control characters would break the table.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\0' => ' ',
            letter if letter.is_control() => '?',
            letter => letter,
        })
        .collect()
}

/// Takes `/proc/<pid>/stat` apart (proc_pid_stat(5)). The name may hold anything, also `)`.
fn parse_stat(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (comm, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Numbered as in the manual, where the state is field 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let signed = |number| field(number)?.parse::<i64>().ok();
    let unsigned = |number| field(number)?.parse::<u64>().ok();
    let int = |number| field(number)?.parse::<i32>().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        comm: printable(comm),
        state: field(3)?.chars().next()?,
        ppid: int(4)?,
        pgrp: int(5)?,
        session: int(6)?,
        tty: int(7)?,
        foreground: int(8)?,
        flags: unsigned(9)?,
        minor_faults: unsigned(10)?,
        major_faults: unsigned(12)?,
        ticks: unsigned(14)? + unsigned(15)?,
        priority: signed(18)?,
        nice: signed(19)?,
        threads: signed(20)?,
        started: unsigned(22)?,
        virtual_size: unsigned(23)?,
        resident: unsigned(24)?,
        processor: int(39)?,
        policy: int(41)?,
        ..Process::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_parentheses_and_spaces() {
        let stat = "42 (a) (b c) S 1 42 42 34816 42 4194560 100 0 7 0 3 4 0 0 20 -5 2 0 900 4096000 25 \
                    18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0";
        let found = parse_stat(stat).unwrap();
        assert_eq!((found.pid, &*found.comm, found.state, found.ppid), (42, "a) (b c", 'S', 1));
        assert_eq!((found.ticks, found.nice, found.threads, found.started), (7, -5, 2, 900));
        assert_eq!((found.major_faults, found.resident, found.processor), (7, 25, 1));
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let found = Process::read(pid).unwrap().unwrap();
        assert_eq!(found.pid, pid);
        assert!(found.args.contains("skiff_engine"), "{}", found.args);
        assert_eq!(Process::read(i32::MAX).unwrap(), None);
    }

    #[test]
    fn control_characters_do_not_break_the_table() {
        assert_eq!(printable("sh\0-c\0a\nb\x1b"), "sh -c a?b?");
    }
}
