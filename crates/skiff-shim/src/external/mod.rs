//! A container that is run by another program with runc's command line (runc, crun, runsc).
//!
//! Engine and monitor know only this: [`External::launch`] makes the bundle and has the runtime
//! create and start the container with the caller's streams. What comes of it is the caller's
//! child, as the caller is the subreaper of what runtimes leave behind. Ending it is the caller's
//! affair, and [`External::release`] lets go of everything.
//!
//! Invariants: an invocation has an end, by a time limit if need be; on failure nothing is left
//! behind; and whoever finds the bundle of a monitor that died can clear it away ([`discard`]).

mod adapt;
mod bundle;
mod command;
mod console;
mod words;

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use skiff_model::oci::ConsoleSize;
use skiff_runtime::cgroup::{Cgroup, CgroupPaths, host_layout};
use skiff_runtime::launch::{ExecLaunch, Launch, LaunchError, LaunchErrorKind};
use skiff_runtime::{Joined, Stdio};
use skiff_sys::process::{send_signal, wait};

use self::bundle::Bundle;
use self::command::{Invocation, Streams};
use self::console::Console;
use crate::protocol::ExternalRuntime;

/// How long a runtime may take to create or start a container, which may be a virtual machine.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(90);
/// How long it may take for anything else.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest that a container's release waits for its runtime: to delete it.
pub const RELEASE_LIMIT: Duration = PATIENCE;
/// The longest that a launch waits for runtimes: to delete what was left, to create and to start, and
/// to delete what failed.
pub const LAUNCH_LIMIT: Duration = PATIENCE
    .saturating_add(LAUNCH_PATIENCE)
    .saturating_add(LAUNCH_PATIENCE)
    .saturating_add(PATIENCE);

const KILL: i32 = Signal::KILL.as_raw();

/// A started container.
#[derive(Debug)]
pub(crate) struct External {
    runtime: ExternalRuntime,
    id: String,
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    /// Master side of the terminal, if it has one.
    pub(crate) console: Option<OwnedFd>,
    /// Without directories if the runtime made none that carry the container's id.
    pub(crate) cgroup: Cgroup,
    bundle: Bundle,
    /// Number of the last exec, for its files' names.
    execs: u32,
}

impl External {
    /// Has the container created and started.
    pub(crate) fn launch(
        runtime: &ExternalRuntime,
        launch: &Launch,
        stdio: Stdio<'_>,
    ) -> Result<External, LaunchError> {
        discard(&runtime.bundle);
        let bundle = Bundle::new(&runtime.bundle);
        let started = Starting { runtime, launch, bundle: &bundle }.run(stdio);
        if started.is_err() {
            // The first error is what the user must see.
            let _ = clear(runtime, &launch.id, &bundle);
        }
        let (pid, pidfd, console) = started?;
        Ok(External {
            runtime: runtime.clone(),
            id: launch.id.clone(),
            pid,
            pidfd,
            console,
            cgroup: cgroup_of(pid, &launch.id),
            bundle,
            execs: 0,
        })
    }

    /// Starts a further process. The runtime applies the container's own system call filter.
    pub(crate) fn exec(
        &mut self,
        exec: &ExecLaunch,
        stdio: Stdio<'_>,
    ) -> Result<Joined, LaunchError> {
        self.execs += 1;
        let files = self.bundle.exec_files(self.execs);
        let joined = self.exec_by(&files, exec, stdio);
        files.remove();
        joined
    }

    fn exec_by(
        &self,
        files: &bundle::ExecFiles,
        exec: &ExecLaunch,
        stdio: Stdio<'_>,
    ) -> Result<Joined, LaunchError> {
        let mut process = exec.process.clone();
        adapt::identify(&mut process, exec.user.as_ref(), &self.bundle.rootfs())?;
        bundle::write_json(&files.process, &process)?;
        let console = Console::of(&stdio, &self.bundle)?;
        let mut words: Vec<&OsStr> = vec!["exec".as_ref(), "--detach".as_ref()];
        words.extend(["--process".as_ref(), files.process.as_os_str()]);
        words.extend(["--pid-file".as_ref(), files.pid.as_os_str()]);
        if let Some(console) = &console {
            words.extend(["--console-socket".as_ref(), console.path()]);
        }
        words.push(self.id.as_ref());
        let invocation = Invocation::new(&self.runtime, &self.bundle);
        invocation.start(&words, Streams::of(&stdio))?.finish("exec", PATIENCE)?;
        let (pid, pidfd) = child_of(&files.pid)?;
        match console.map(Console::master).transpose() {
            Ok(console) => Ok(Joined { pid, pidfd, console }),
            Err(error) => {
                // Nobody would own it. It is reaped as any child.
                let _ = send_signal(pidfd.as_fd(), KILL);
                Err(error)
            }
        }
    }

    /// Sends a signal to the container's program, wherever the runtime keeps that: process 1 may
    /// be in a virtual machine.
    pub(crate) fn signal(&self, signal: i32) -> std::io::Result<()> {
        let number = signal.to_string();
        let words: [&OsStr; 3] = ["kill".as_ref(), self.id.as_ref(), number.as_ref()];
        let asked = Invocation::new(&self.runtime, &self.bundle).run("kill", &words);
        // A runtime that is gone or confused must not keep anybody from ending its container.
        if asked.is_err() { send_signal(self.pidfd.as_fd(), signal) } else { Ok(()) }
    }

    /// Lets go of everything, after init has ended. Returns what went wrong.
    pub(crate) fn release(&mut self) -> Vec<String> {
        let mut failures = clear(&self.runtime, &self.id, &self.bundle);
        if let Err(error) = self.cgroup.remove() {
            failures.push(format!("remove the control group: {error}"));
        }
        failures
    }
}

/// A start under way.
struct Starting<'a> {
    runtime: &'a ExternalRuntime,
    launch: &'a Launch,
    bundle: &'a Bundle,
}

impl Starting<'_> {
    fn run(&self, stdio: Stdio<'_>) -> Result<(i32, OwnedFd, Option<OwnedFd>), LaunchError> {
        self.bundle.make(self.runtime, self.launch)?;
        let console = Console::of(&stdio, self.bundle)?;
        let pid_file = self.bundle.pid_file();
        let mut words: Vec<&OsStr> = vec!["create".as_ref()];
        words.extend(["--bundle".as_ref(), self.bundle.path().as_os_str()]);
        words.extend(["--pid-file".as_ref(), pid_file.as_os_str()]);
        if let Some(console) = &console {
            words.extend(["--console-socket".as_ref(), console.path()]);
        }
        words.push(self.launch.id.as_ref());
        let invocation = Invocation::new(self.runtime, self.bundle);
        invocation.start(&words, Streams::of(&stdio))?.finish("create", LAUNCH_PATIENCE)?;
        let (pid, pidfd) = child_of(&pid_file)?;
        let started = self.start(&invocation, console, stdio);
        if started.is_err() {
            let _ = send_signal(pidfd.as_fd(), KILL);
            let _ = wait(pidfd.as_fd(), true);
        }
        Ok((pid, pidfd, started?))
    }

    fn start(
        &self,
        invocation: &Invocation<'_>,
        console: Option<Console>,
        stdio: Stdio<'_>,
    ) -> Result<Option<OwnedFd>, LaunchError> {
        let master = console.map(Console::master).transpose()?;
        if let (Some(master), Stdio::Terminal { size: Some(size) }) = (&master, stdio) {
            set_size(master, size);
        }
        let words: [&OsStr; 2] = ["start".as_ref(), self.launch.id.as_ref()];
        invocation.start(&words, Streams::null())?.finish("start", LAUNCH_PATIENCE)?;
        Ok(master)
    }
}

fn set_size(master: &OwnedFd, size: ConsoleSize) {
    let size = rustix::termios::Winsize {
        ws_row: size.height,
        ws_col: size.width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // As good as an unknown size.
    let _ = rustix::termios::tcsetwinsize(master, size);
}

/// Clears away what a monitor that died has left of a container: the processes, the runtime's
/// state, the mount, the bundle. Without a bundle it does nothing.
pub fn discard(bundle: &Path) {
    let bundle = Bundle::new(bundle);
    if let Some((runtime, id)) = bundle.owner() {
        for failure in clear(&runtime, &id, &bundle) {
            crate::keeper::complain(&format!("{}: {failure}", bundle.path().display()));
        }
    } else if bundle.path().exists() {
        let _ = bundle.remove();
    }
}

/// Has the runtime forget the container, and removes the bundle. Returns what went wrong.
fn clear(runtime: &ExternalRuntime, id: &str, bundle: &Bundle) -> Vec<String> {
    let mut failures = Vec::new();
    let words: [&OsStr; 3] = ["delete".as_ref(), "--force".as_ref(), id.as_ref()];
    if let Err(error) = Invocation::new(runtime, bundle).run("delete", &words) {
        // What it cannot delete it must not find again: the id will be created anew.
        let _ = std::fs::remove_dir_all(runtime.root.join(id));
        failures.push(error.message);
    }
    if let Err(error) = bundle.remove() {
        failures.push(error.message);
    }
    failures
}

/// The process that a runtime has left to us, by the file it wrote.
fn child_of(pid_file: &Path) -> Result<(i32, OwnedFd), LaunchError> {
    let text = std::fs::read_to_string(pid_file).map_err(words::file("read", pid_file))?;
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| {
        failed(format!("the runtime wrote {:?} for a process into its pid file", text.trim()))
    })?;
    // It cannot be somebody else's: what has ended is reaped by us, and not yet.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())
        .map_err(|errno| failed(format!("open process {pid}: {}", words::reason(&errno.into()))))?;
    Ok((pid.as_raw_nonzero().get(), pidfd))
}

/// The groups that the runtime put the container into.
fn cgroup_of(pid: i32, id: &str) -> Cgroup {
    let table = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let paths = host_layout().map(|layout| CgroupPaths::of_process(layout, &table, id));
    Cgroup::open(paths.unwrap_or_default())
}

fn failed(message: String) -> LaunchError {
    LaunchError { kind: LaunchErrorKind::Failed, message }
}
