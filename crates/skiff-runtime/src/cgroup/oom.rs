//! Out-of-memory kills: counting them, and being told.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{EventfdFlags, PollFlags};
use rustix::fs::{Mode, OFlags};

use super::error::{CgroupError, Result};
use super::layout::Controller;
use super::{CgroupPaths, file};

/// Returns the kernel's count of processes killed for want of memory.
pub(super) fn kill_count(paths: &CgroupPaths) -> u64 {
    let text = match &paths.unified {
        Some(dir) => file::read(dir, "memory.events"),
        None => match paths.v1_dir(Controller::Memory) {
            Some(dir) => file::read(dir, "memory.oom_control"),
            None => return 0,
        },
    };
    // The group may be gone, or memory not be accounted: nothing was killed that we know of.
    text.ok().and_then(|text| file::value_of(&text, "oom_kill")).unwrap_or(0)
}

/// A descriptor to wait on for memory running out.
#[derive(Debug)]
pub struct OomEvents {
    fd: OwnedFd,
    interest: PollFlags,
    /// v1 reports through this file as long as it is open.
    _control: Option<OwnedFd>,
}

impl OomEvents {
    /// What to ask `poll` or `epoll` for: IN on v1, PRI on v2 (the flags have the same values).
    pub fn interest(&self) -> PollFlags {
        self.interest
    }

    /// Takes the event, so that the descriptor becomes quiet again. The removal of the group counts
    /// as an event: look at [`super::Cgroup::oom_kill_count`] after each.
    pub fn drain(&self) {
        let mut buffer = [0_u8; 512];
        if self.interest == PollFlags::PRI {
            // Reading from the start re-arms a kernfs file.
            let _ = rustix::io::pread(&self.fd, &mut buffer, 0);
        } else {
            let _ = rustix::io::read(&self.fd, &mut buffer[..8]);
        }
    }
}

impl AsFd for OomEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens the notification of a group.
pub(super) fn events(paths: &CgroupPaths) -> Result<OomEvents> {
    if let Some(dir) = &paths.unified {
        let events = OomEvents {
            fd: open_read(&dir.join("memory.events"))?,
            interest: PollFlags::PRI,
            _control: None,
        };
        events.drain();
        return Ok(events);
    }
    let dir = paths.v1_dir(Controller::Memory).ok_or_else(|| CgroupError::MissingController {
        setting: "memory.oom_control".into(),
        controller: "memory".into(),
    })?;
    let control = open_read(&dir.join("memory.oom_control"))?;
    let fd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
        .map_err(|error| CgroupError::Open { path: "eventfd".into(), source: error.into() })?;
    register(dir, &fd, &control)?;
    Ok(OomEvents { fd, interest: PollFlags::IN, _control: Some(control) })
}

/// Asks the kernel to signal an eventfd (cgroup-v1/memory.rst, "OOM Control").
fn register(dir: &Path, event: &OwnedFd, control: &OwnedFd) -> Result<()> {
    use std::os::fd::AsRawFd;
    let request = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    file::write(dir, "cgroup.event_control", &request)
}

fn open_read(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| CgroupError::Open { path: path.into(), source: error.into() })
}
