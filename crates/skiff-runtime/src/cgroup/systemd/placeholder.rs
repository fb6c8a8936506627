//! A process that does nothing, in place of a container's first one.

use std::os::fd::AsFd;

use rustix::process::{Signal, set_parent_process_death_signal};
use skiff_sys::clone::{Child, CloneRequest, spawn};
use skiff_sys::process;

use super::super::error::{CgroupError, Result};

/// A process that sleeps until this value is dropped, or its parent dies.
#[derive(Debug)]
pub(in super::super) struct Placeholder {
    child: Child,
    /// The value is copied into the container's process by the clone; only here it counts.
    parent: i32,
}

impl Placeholder {
    /// Starts the process; as every clone, for single-threaded callers.
    pub(super) fn start() -> Result<Placeholder> {
        let parent = rustix::process::getpid();
        let child = spawn(CloneRequest::default(), || {
            if set_parent_process_death_signal(Some(Signal::KILL)).is_err()
                || rustix::process::getppid() != Some(parent)
            {
                return 1;
            }
            loop {
                rustix::event::pause();
            }
        })
        .map_err(|source| CgroupError::Bus { action: "start a placeholder".into(), source })?;
        Ok(Placeholder { child, parent: parent.as_raw_nonzero().get() })
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.pid.unsigned_abs()
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        if rustix::process::getpid().as_raw_nonzero().get() != self.parent {
            return;
        }
        // It cannot be gone before: nobody else waits for it. If it is, there is nothing to do.
        let _ = process::send_signal(self.child.pidfd.as_fd(), Signal::KILL.as_raw());
        let _ = process::wait(self.child.pidfd.as_fd(), true);
    }
}
