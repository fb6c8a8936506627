//! The container as its monitor holds it: what is asked of the runtime, and what has to be let go
//! when it has ended.
//!
//! Invariant: nothing of this is given up before the daemon has been told of the end. The mount
//! namespace most of all: if it went with the container's last process, unmounting its root (with
//! a sync of the whole disk, for an overlay) would come before the process counts as ended.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use skiff_runtime::cgroup::OomEvents;
use skiff_runtime::launch::{ExecLaunch, Launch, LaunchError};
use skiff_runtime::{Gate, Joined, Options, Stdio};

#[derive(Debug)]
pub(super) struct Container {
    inner: skiff_runtime::Container,
    /// `None` if it had ended before we came to it.
    mounts: Option<OwnedFd>,
}

impl Container {
    /// With `fresh_network`, the container gets the network namespace that this process is in.
    pub(super) fn launch(
        launch: &Launch,
        stdio: Stdio<'_>,
        fresh_network: bool,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Container, LaunchError> {
        let options = Options { fresh_network, ..Options::default() };
        let inner = skiff_runtime::launch_meanwhile(launch, stdio, Gate::Open, options, meanwhile)?;
        let mounts = format!("/proc/{}/ns/mnt", inner.pid);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mounts = rustix::fs::open(mounts, flags, Mode::empty()).ok();
        Ok(Container { inner, mounts })
    }

    pub(super) fn pid(&self) -> i32 {
        self.inner.pid
    }

    pub(super) fn pidfd(&self) -> std::io::Result<OwnedFd> {
        self.inner.pidfd.as_fd().try_clone_to_owned()
    }

    /// The terminal's master side; can be taken once.
    pub(super) fn take_console(&mut self) -> Option<OwnedFd> {
        self.inner.console.take()
    }

    pub(super) fn exec(&self, exec: &ExecLaunch, stdio: Stdio<'_>) -> Result<Joined, LaunchError> {
        self.inner.exec(exec, stdio)
    }

    /// Kills what lives on after init, which is nothing in a pid namespace of its own.
    pub(super) fn kill_all(&self) {
        // Failing, there is nothing better to do; that the group stays will be seen.
        let _ = self.inner.cgroup.kill_all();
    }

    pub(super) fn oom_kill_count(&self) -> u64 {
        self.inner.cgroup.oom_kill_count()
    }

    pub(super) fn oom_events(&self) -> Option<OomEvents> {
        self.inner.cgroup.oom_events().ok()
    }

    /// Ends a container that nobody will own, and waits for that.
    pub(super) fn abandon(&mut self) {
        let pidfd = self.inner.pidfd.as_fd();
        let _ = skiff_sys::process::send_signal(pidfd, rustix::process::Signal::KILL.as_raw());
        let _ = skiff_sys::process::wait(pidfd, true);
        self.kill_all();
        let _ = self.release();
    }

    /// Lets go of everything, after init has ended and that was told. Returns what went wrong.
    pub(super) fn release(&mut self) -> Vec<String> {
        // Closing the last reference unmounts, and returns when that is done.
        self.mounts = None;
        let mut failures = Vec::new();
        if let Err(error) = self.inner.cgroup.remove() {
            failures.push(format!("remove the control group: {error}"));
        }
        let hooks = self.inner.run_poststop_hooks();
        failures.extend(hooks.into_iter().map(|error| error.message));
        failures
    }
}
