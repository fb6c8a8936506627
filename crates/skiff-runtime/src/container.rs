//! The parent's half of starting a container and of joining one.

use std::os::fd::{BorrowedFd, OwnedFd};

use skiff_model::oci::ConsoleSize;

use crate::cgroup;
use crate::launch::{ExecLaunch, Launch, LaunchError, LaunchErrorKind};

/// What a process gets as descriptors 0, 1 and 2.
#[derive(Debug)]
pub enum Stdio<'a> {
    /// These three.
    Fds { stdin: BorrowedFd<'a>, stdout: BorrowedFd<'a>, stderr: BorrowedFd<'a> },
    /// A new pseudo-terminal of the container's own devpts; its master is handed back.
    Terminal { size: Option<ConsoleSize> },
}

/// When the program is executed.
#[derive(Debug)]
pub enum Gate {
    /// At once; [`launch`] returns when the kernel accepted the program.
    Open,
    /// When [`Container::start`] is called.
    Wait,
}

/// A started container. Dropping it neither stops the container nor removes its control group.
#[derive(Debug)]
pub struct Container {
    /// Of process 1, in the caller's pid namespace. It is the caller's child.
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Master side of the terminal, for [`Stdio::Terminal`].
    pub console: Option<OwnedFd>,
    pub cgroup: cgroup::Cgroup,
}

/// A process that was started inside a running container. It is the caller's child.
#[derive(Debug)]
pub struct Joined {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub console: Option<OwnedFd>,
}

/// Starts a container and returns when its program runs (or waits, see [`Gate`]).
///
/// On an error nothing is left behind: no process, mount or control group.
pub fn launch(launch: &Launch, stdio: Stdio<'_>, gate: Gate) -> Result<Container, LaunchError> {
    let _ = (stdio, gate);
    Err(LaunchError { kind: LaunchErrorKind::Failed, message: format!("launch {}", launch.id) })
}

impl Container {
    /// Lets a container launched with [`Gate::Wait`] execute its program.
    pub fn start(&mut self) -> Result<(), LaunchError> {
        Ok(())
    }

    /// Starts a further process in the container.
    pub fn exec(&self, exec: &ExecLaunch, stdio: Stdio<'_>) -> Result<Joined, LaunchError> {
        let _ = (exec, stdio);
        Err(LaunchError { kind: LaunchErrorKind::Failed, message: "exec".into() })
    }

    /// Runs the `poststop` hooks; called once, after process 1 has ended. Failures are returned to
    /// be logged, since the specification wants the rest of the removal to go on.
    pub fn run_poststop_hooks(&self) -> Vec<LaunchError> {
        Vec::new()
    }
}
