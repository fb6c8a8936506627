//! Processes of other people's children, named so that a reused pid is never mistaken for them.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process that was seen to be the one that is meant, after its pidfd was opened.
pub(super) struct Handle {
    pidfd: OwnedFd,
}

impl Handle {
    /// Opens the process with this pid if it started at this time and has not ended.
    pub(super) fn open(pid: i32, start_time: u64) -> Option<Self> {
        let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let (state, started) = stat(pid)?;
        let same = started == start_time && !matches!(state, 'Z' | 'X' | 'x');
        same.then_some(Self { pidfd })
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(super) fn signal(&self, signal: i32) -> std::io::Result<()> {
        skiff_sys::process::send_signal(self.pidfd(), signal)
    }

    /// Waits until it has ended. Says whether it did in time.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let timeout = Timespec::try_from(limit).ok();
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut fds, timeout.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

/// When a process started, in clock ticks since the machine's start.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    stat(pid).map(|(_, start)| start)
}

/// State letter and start time from `/proc/<pid>/stat` (fields 3 and 22).
fn stat(pid: i32) -> Option<(char, u64)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(stat: &str) -> Option<(char, u64)> {
    // The name in field 2 may hold anything, even parentheses and spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_shift_the_fields() {
        let stat = "7 (a) R (b) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        assert_eq!(parse(stat), Some(('S', 4242)));
    }

    #[test]
    fn another_start_time_is_another_process() {
        let own = std::process::id().cast_signed();
        let started = start_time(own).unwrap();
        assert!(Handle::open(own, started).is_some());
        assert!(Handle::open(own, started + 1).is_none());
    }
}
