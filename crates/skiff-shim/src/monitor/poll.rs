//! What a monitor waits for: an epoll set whose entries are named by [`Source`].
//!
//! Invariant: numbers in sources are never used twice in a monitor's life, so an event that was
//! fetched before its source went away finds nothing and is dropped.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub(super) use rustix::event::epoll::EventFlags as Interest;
use rustix::event::epoll::{self, CreateFlags, Event, EventData};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::log::Channel;

/// A thing that can become ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The monitor's own socket.
    Listener,
    /// SIGCHLD.
    Children,
    /// The control group's notification of memory running out.
    Oom,
    /// A daemon's connection.
    Connection(u32),
    /// Output of a task.
    Output(u32, Channel),
    /// Room in a task's input.
    Input(u32),
    /// An attached client of a task.
    Client { task: u32, client: u32 },
}

impl Source {
    fn pack(self) -> u64 {
        let (kind, task, id) = match self {
            Source::Listener => (0, 0, 0),
            Source::Children => (1, 0, 0),
            Source::Oom => (2, 0, 0),
            Source::Connection(id) => (3, 0, id),
            Source::Output(task, Channel::Stdout) => (4, task, 0),
            Source::Output(task, Channel::Stderr) => (5, task, 0),
            Source::Input(task) => (6, task, 0),
            Source::Client { task, client } => (7, task, client),
        };
        debug_assert!(task < 1 << 28);
        kind << 60 | u64::from(task) << 32 | u64::from(id)
    }

    fn unpack(data: u64) -> Option<Source> {
        let task = u32::try_from(data >> 32 & 0x0fff_ffff).ok()?;
        let id = u32::try_from(data & 0xffff_ffff).ok()?;
        Some(match data >> 60 {
            0 => Source::Listener,
            1 => Source::Children,
            2 => Source::Oom,
            3 => Source::Connection(id),
            4 => Source::Output(task, Channel::Stdout),
            5 => Source::Output(task, Channel::Stderr),
            6 => Source::Input(task),
            7 => Source::Client { task, client: id },
            _ => return None,
        })
    }
}

/// The set.
#[derive(Debug)]
pub(super) struct Poll(OwnedFd);

impl Poll {
    pub(super) fn new() -> Result<Poll, Errno> {
        epoll::create(CreateFlags::CLOEXEC).map(Poll)
    }

    pub(super) fn add(&self, fd: impl AsFd, source: Source, interest: Interest) -> bool {
        epoll::add(&self.0, fd, EventData::new_u64(source.pack()), interest).is_ok()
    }

    pub(super) fn change(&self, fd: impl AsFd, source: Source, interest: Interest) -> bool {
        epoll::modify(&self.0, fd, EventData::new_u64(source.pack()), interest).is_ok()
    }

    /// Takes a descriptor out. Needed even for one that is about to be closed: other processes may
    /// hold copies, and then closing does not take it out.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // It fails only for what is not in the set.
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits for events; none when the time is over or a signal came.
    pub(super) fn wait(&self, events: &mut [Event; BATCH], timeout: Option<Duration>) -> usize {
        let timeout = timeout.map(|duration| Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        });
        epoll::wait(&self.0, &mut events[..], timeout.as_ref()).unwrap_or(0)
    }
}

/// Events fetched at once.
pub(super) const BATCH: usize = 32;

/// An empty batch.
pub(super) fn no_events() -> [Event; BATCH] {
    [Event { flags: Interest::empty(), data: EventData::new_u64(0) }; BATCH]
}

/// What an event is about.
pub(super) fn source_of(event: &Event) -> Option<(Source, Interest)> {
    let data = event.data;
    Some((Source::unpack(data.u64())?, event.flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_being_packed() {
        let sources = [
            Source::Listener,
            Source::Children,
            Source::Oom,
            Source::Connection(u32::MAX),
            Source::Output(7, Channel::Stdout),
            Source::Output(7, Channel::Stderr),
            Source::Input(0x0fff_ffff),
            Source::Client { task: 0x0fff_ffff, client: u32::MAX },
        ];
        for source in sources {
            assert_eq!(Source::unpack(source.pack()), Some(source));
        }
    }
}
