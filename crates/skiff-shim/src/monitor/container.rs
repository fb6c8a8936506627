//! The container as its monitor holds it, whoever runs it: what is asked of the runtime, and what has to be let go
//! when it has ended.
//!
//! Invariant: nothing of this is given up before the daemon has been told of the end. The mount
//! namespace most of all: if it went with the container's last process, unmounting its root (with
//! a sync of the whole disk, for an overlay) would come before the process counts as ended.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use skiff_runtime::cgroup::{Cgroup, OomEvents};
use skiff_runtime::launch::{ExecLaunch, Launch, LaunchError};
use skiff_runtime::{Gate, Joined, Options, Prepared, Stdio};

use crate::external::External;
use crate::protocol::ExternalRuntime;

/// By whom the container is run.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one, and the large one is the usual one")]
enum Runtime {
    BuiltIn {
        container: skiff_runtime::Container,
        /// `None` if it had ended before we came to it.
        mounts: Option<OwnedFd>,
    },
    External(Box<External>),
}

#[derive(Debug)]
pub(super) struct Container {
    runtime: Runtime,
}

impl Container {
    pub(super) fn launch(
        launch: &Launch,
        stdio: Stdio<'_>,
        prepared: Prepared,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Container, LaunchError> {
        let options = Options::default();
        let container = skiff_runtime::launch_meanwhile(
            launch,
            stdio,
            Gate::Open,
            options,
            prepared,
            meanwhile,
        )?;
        let mounts = format!("/proc/{}/ns/mnt", container.pid);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mounts = rustix::fs::open(mounts, flags, Mode::empty()).ok();
        Ok(Container { runtime: Runtime::BuiltIn { container, mounts } })
    }

    /// Has another program run the container.
    pub(super) fn launch_by(
        runtime: &ExternalRuntime,
        launch: &Launch,
        stdio: Stdio<'_>,
    ) -> Result<Container, LaunchError> {
        let external = External::launch(runtime, launch, stdio)?;
        Ok(Container { runtime: Runtime::External(Box::new(external)) })
    }

    pub(super) fn pid(&self) -> i32 {
        match &self.runtime {
            Runtime::BuiltIn { container, .. } => container.pid,
            Runtime::External(external) => external.pid,
        }
    }

    fn own_pidfd(&self) -> BorrowedFd<'_> {
        match &self.runtime {
            Runtime::BuiltIn { container, .. } => container.pidfd.as_fd(),
            Runtime::External(external) => external.pidfd.as_fd(),
        }
    }

    fn cgroup(&self) -> &Cgroup {
        match &self.runtime {
            Runtime::BuiltIn { container, .. } => &container.cgroup,
            Runtime::External(external) => &external.cgroup,
        }
    }

    pub(super) fn pidfd(&self) -> std::io::Result<OwnedFd> {
        self.own_pidfd().try_clone_to_owned()
    }

    /// The terminal's master side; can be taken once.
    pub(super) fn take_console(&mut self) -> Option<OwnedFd> {
        match &mut self.runtime {
            Runtime::BuiltIn { container, .. } => container.console.take(),
            Runtime::External(external) => external.console.take(),
        }
    }

    pub(super) fn exec(
        &mut self,
        exec: &ExecLaunch,
        stdio: Stdio<'_>,
    ) -> Result<Joined, LaunchError> {
        match &mut self.runtime {
            Runtime::BuiltIn { container, .. } => container.exec(exec, stdio),
            Runtime::External(external) => external.exec(exec, stdio),
        }
    }

    /// Sends a signal to init.
    pub(super) fn signal(&self, signal: i32) -> std::io::Result<()> {
        match &self.runtime {
            Runtime::BuiltIn { container, .. } => {
                skiff_sys::process::send_signal(container.pidfd.as_fd(), signal)
            }
            Runtime::External(external) => external.signal(signal),
        }
    }

    /// Kills what lives on after init, which is nothing in a pid namespace of its own.
    pub(super) fn kill_all(&self) {
        // Failing, there is nothing better to do; that the group stays will be seen.
        let _ = self.cgroup().kill_all();
    }

    pub(super) fn oom_kill_count(&self) -> u64 {
        self.cgroup().oom_kill_count()
    }

    pub(super) fn oom_events(&self) -> Option<OomEvents> {
        self.cgroup().oom_events().ok()
    }

    /// Ends a container that nobody will own, and waits for that.
    pub(super) fn abandon(&mut self) {
        let pidfd = self.own_pidfd();
        let _ = skiff_sys::process::send_signal(pidfd, rustix::process::Signal::KILL.as_raw());
        let _ = skiff_sys::process::wait(pidfd, true);
        self.kill_all();
        let _ = self.release();
    }

    /// Lets go of everything, after init has ended and that was told. Returns what went wrong.
    pub(super) fn release(&mut self) -> Vec<String> {
        let (container, mounts) = match &mut self.runtime {
            Runtime::BuiltIn { container, mounts } => (container, mounts),
            Runtime::External(external) => return external.release(),
        };
        // Closing the last reference unmounts, and returns when that is done.
        *mounts = None;
        let mut failures = Vec::new();
        if let Err(error) = container.cgroup.remove() {
            failures.push(format!("remove the control group: {error}"));
        }
        let hooks = container.run_poststop_hooks();
        failures.extend(hooks.into_iter().map(|error| error.message));
        failures
    }
}
