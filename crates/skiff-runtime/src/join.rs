//! Starting a further process in a running container: one clone that enters the container's
//! control group and, through the pidfd of its first process, all of its namespaces.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use skiff_sys::clone::{self, CloneRequest};
use skiff_sys::{keyring, namespace as ns, process};

use crate::apply::{self, Entry, ProcessPlan};
use crate::cgroup::Placement;
use crate::container::{Joined, PidNamespace, Stdio, died, end, not_dumpable, take_terminal};
use crate::facts;
use crate::failure::{Context, failed};
use crate::launch::{ExecLaunch, LaunchError};
use crate::plan::{self, SeccompPlan};
use crate::report::{self, Reporter, Word};

/// The container to join, by its first process.
#[derive(Debug, Clone, Copy)]
pub struct Host<'a> {
    pub id: &'a str,
    pub pid: i32,
    pub pidfd: BorrowedFd<'a>,
    /// Kinds (`CLONE_NEW*`) of namespaces to join.
    pub namespaces: u64,
}

/// What to start in it.
#[derive(Debug)]
pub struct Request<'a> {
    pub launch: &'a ExecLaunch,
    /// A filter with more to it than [`ExecLaunch::seccomp`] can say.
    pub seccomp: Option<SeccompPlan>,
    /// So many descriptors from 3 on stay open.
    pub preserve_fds: i32,
}

/// Starts a process in a container.
pub fn exec(
    host: &Host<'_>,
    placement: &Placement,
    request: Request<'_>,
    stdio: Stdio<'_>,
) -> Result<Joined, LaunchError> {
    let mut plan = plan::plan_exec(request.launch, facts::host())?;
    if request.seccomp.is_some() {
        plan.seccomp = request.seccomp;
    }
    let preserve_fds = request.preserve_fds;
    take_terminal(&mut plan, &stdio);
    let (listener, reporter) = report::channel().context(|| "make a socket pair")?;
    not_dumpable()?;
    let pid_namespace = if host.namespaces & ns::PID == 0 {
        None
    } else {
        let entered = PidNamespace::enter(host.pidfd, ns::PID);
        Some(entered.context(|| "join the container's pid namespace")?)
    };
    let request = CloneRequest { flags: 0, cgroup: placement.clone_into() };
    let spawned = clone::spawn(request, || {
        let joiner = Joiner { host, plan: &plan, placement, reporter: &reporter };
        reporter.fail(&joiner.run(stdio, preserve_fds));
        1
    });
    if let Some(pid_namespace) = pid_namespace {
        pid_namespace.leave()?;
    }
    let child = spawned.context(|| "clone a process into the container")?;
    drop(reporter);
    let mut console = None;
    let mut ready = false;
    loop {
        let word = listener.next().context(|| "listen to the new process");
        match word {
            Ok(Word::Console(master)) => console = Some(master),
            Ok(Word::End) if ready => {
                return Ok(Joined { pid: child.pid, pidfd: child.pidfd, console });
            }
            Ok(Word::Ready) => ready = true,
            Ok(Word::End) => return Err(died(&child)),
            Ok(Word::Failed(error)) | Err(error) => {
                end(&child);
                return Err(error);
            }
            Ok(_) => {}
        }
    }
}

/// The child's half.
struct Joiner<'a> {
    host: &'a Host<'a>,
    plan: &'a ProcessPlan,
    placement: &'a Placement,
    reporter: &'a Reporter,
}

impl Joiner<'_> {
    fn run(&self, stdio: Stdio<'_>, preserve_fds: i32) -> LaunchError {
        let entry = Entry { preserve_fds, ..Entry::default() };
        match self.join(stdio, entry) {
            Err(error) => error,
            Ok(never) => match never {},
        }
    }

    fn join(
        &self,
        stdio: Stdio<'_>,
        mut entry: Entry,
    ) -> Result<std::convert::Infallible, LaunchError> {
        self.placement.enter_self().context(|| "join the container's control group")?;
        self.use_outer_rights()?;
        let root = self.shared_root()?;
        enter(self.host)?;
        if let Some(root) = root {
            apply::change_root(root.as_fd())?;
        }
        if self.host.namespaces & ns::USER != 0 {
            apply::become_root()?;
        }
        rustix::process::setsid().context(|| "setsid")?;
        rustix::process::umask(Mode::empty());
        let name = std::ffi::CString::new(format!("_ses.{}", self.host.id)).unwrap_or_default();
        match keyring::join_session(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => {
                return Err(failed("join the container's session keyring", error));
            }
            _ => {}
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).context(|| "open /")?;
        match stdio {
            Stdio::Fds { stdin, stdout, stderr } => {
                apply::install_stdio(Some([stdin, stdout, stderr]))?;
            }
            Stdio::Terminal { .. } => {
                let size = self.plan.console_size;
                entry.console = Some(apply::open_terminal(root.as_fd(), size, self.reporter)?);
            }
        }
        apply::become_program(self.plan, root, entry, self.reporter)
    }

    /// The root of a container that shares the caller's mounts, which no namespace leads to.
    fn shared_root(&self) -> Result<Option<OwnedFd>, LaunchError> {
        if self.host.namespaces & ns::MOUNT != 0 {
            return Ok(None);
        }
        let path = format!("/proc/{}/root", self.host.pid);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty());
        let root = root.context(|| format!("open {path}"))?;
        // The number is the process's as long as that has not been reaped.
        process::send_signal(self.host.pidfd, 0).context(|| "look at the first process")?;
        Ok(Some(root))
    }

    /// Does what the rights of the container's own user namespace would not do.
    fn use_outer_rights(&self) -> Result<(), LaunchError> {
        if let Some(value) = self.plan.oom_score_adj {
            apply::write_file("/proc/self/oom_score_adj", &value.to_string())?;
        }
        if self.host.namespaces & ns::USER != 0 {
            apply::raise_limits(self.plan, 0)?;
        }
        Ok(())
    }
}

/// Enters all namespaces but that of pids, into which the caller was born.
fn enter(host: &Host<'_>) -> Result<(), LaunchError> {
    let kinds = host.namespaces & !ns::PID;
    match ns::join(host.pidfd, kinds) {
        // Before Linux 5.8 a pidfd stands for no namespaces.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => enter_by_files(host),
        other => other.context(|| "join the container's namespaces"),
    }
}

fn enter_by_files(host: &Host<'_>) -> Result<(), LaunchError> {
    // All are opened before any is joined: the mount namespace takes this procfs away.
    let names = [
        (ns::USER, "user"),
        (ns::CGROUP, "cgroup"),
        (ns::IPC, "ipc"),
        (ns::UTS, "uts"),
        (ns::NETWORK, "net"),
        (ns::TIME, "time"),
        (ns::MOUNT, "mnt"),
    ];
    let mut files = Vec::new();
    for (kind, name) in names.into_iter().filter(|(kind, _)| host.namespaces & kind != 0) {
        let path = format!("/proc/{}/ns/{name}", host.pid);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::empty());
        files.push((kind, name, file.context(|| format!("open {path}"))?));
    }
    // The number could have been reused meanwhile, were the process reaped: it is asked last.
    process::send_signal(host.pidfd, 0).context(|| "look at the container's first process")?;
    for (kind, name, file) in files {
        ns::join(file.as_fd(), kind)
            .context(|| format!("join the container's {name} namespace"))?;
    }
    Ok(())
}
