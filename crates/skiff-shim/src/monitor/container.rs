//! The container as its monitor sees it. (Seam until skiff-runtime lands: a plain process.)

use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;

use skiff_runtime::cgroup::OomEvents;
use skiff_runtime::launch::{ExecLaunch, Launch, LaunchError, LaunchErrorKind};
use skiff_runtime::{Joined, Stdio};

#[derive(Debug)]
pub(super) struct Container {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) console: Option<OwnedFd>,
}

fn spawn(process: &skiff_model::oci::Process, stdio: Stdio<'_>) -> Result<Joined, LaunchError> {
    let mut command = Command::new(&process.args[0]);
    command.args(&process.args[1..]);
    let copy = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().expect("dup");
    let mut console = None;
    match stdio {
        Stdio::Fds { stdin, stdout, stderr } => {
            command.stdin(copy(stdin)).stdout(copy(stdout)).stderr(copy(stderr));
        }
        Stdio::Terminal { .. } => {
            use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
            let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
                .expect("openpt");
            grantpt(&master).expect("grantpt");
            unlockpt(&master).expect("unlockpt");
            let name = ptsname(&master, Vec::new()).expect("ptsname");
            let slave = std::fs::File::options()
                .read(true)
                .write(true)
                .open(name.to_str().expect("utf8"))
                .expect("slave");
            command.stdin(copy(slave.as_fd())).stdout(copy(slave.as_fd())).stderr(slave);
            console = Some(master);
        }
    }
    let child = command.spawn().map_err(|error| LaunchError {
        kind: LaunchErrorKind::NotFound,
        message: format!("exec: {error}"),
    })?;
    let pid = i32::try_from(child.id()).expect("pid");
    let pidfd = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(pid).expect("pid"),
        rustix::process::PidfdFlags::empty(),
    )
    .expect("pidfd");
    Ok(Joined { pid, pidfd, console })
}

impl Container {
    pub(super) fn launch(launch: &Launch, stdio: Stdio<'_>) -> Result<Container, LaunchError> {
        let joined = spawn(launch.spec.process.as_ref().expect("process"), stdio)?;
        Ok(Container { pid: joined.pid, pidfd: joined.pidfd, console: joined.console })
    }
    pub(super) fn exec(&self, exec: &ExecLaunch, stdio: Stdio<'_>) -> Result<Joined, LaunchError> {
        spawn(&exec.process, stdio)
    }
    pub(super) fn kill_all(&self) {}
    pub(super) fn oom_kill_count(&self) -> u64 {
        0
    }
    pub(super) fn oom_events(&self) -> Option<OomEvents> {
        None
    }
    pub(super) fn release(&mut self) {}
}
