//! The child's half: carries a [`Plan`](crate::plan::Plan) out, from the clone to the execution.
//!
//! The child is a copy of a single-threaded process, so it runs ordinary code. It works by file
//! descriptor: the container's root is opened once, every path below it is resolved once
//! (`skiff_sys::resolve`), mounts are made detached and moved onto descriptors. Nothing here
//! decides anything that could have been decided before.

mod cgroups;
mod console;
mod device;
mod file_system;
mod idmap;
mod mask;
mod mount;
mod process;
mod program;
mod root;
mod source;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use skiff_model::oci::State;
use skiff_sys::{keyring, namespace as ns, network, resolve};

pub(crate) use cgroups::hierarchies_directory;
pub(crate) use console::{install_stdio, open as open_terminal};
pub(crate) use file_system::{empty_directory, make_context};
pub(crate) use process::{ChildGate, Entry, become_program, become_root, raise_limits};
pub(crate) use root::{Place, change as change_root, mount_at_place, remove_shared};
pub(crate) use source::{Sources, open_sources};

use crate::cgroup::{CgroupPaths, Placement};
use crate::failure::{Context, failed};
use crate::hooks;
use crate::launch::LaunchError;
pub(crate) use crate::plan::ProcessPlan;
use crate::plan::{Op, Plan, Propagation, Sysctl};
use crate::report::{self, Reporter};

/// Three descriptors for 0, 1 and 2; `None` waits for a terminal.
pub(crate) type StdioFds<'a> = Option<[BorrowedFd<'a>; 3]>;

/// Everything the child is born with.
pub(crate) struct Child<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) reporter: &'a Reporter,
    pub(crate) stdio: StdioFds<'a>,
    pub(crate) group: Group<'a>,
    pub(crate) cgroup: &'a CgroupPaths,
    /// Opened by the parent, for containers whose root may not open them.
    pub(crate) sources: Sources,
    /// What hooks are told; the pid is filled in here.
    pub(crate) state: State,
    pub(crate) entry: Entry,
}

/// How the child gets into its control group.
#[derive(Clone, Copy)]
pub(crate) enum Group<'a> {
    Made(&'a Placement),
    /// The parent makes it meanwhile and sends what it is entered by.
    Awaited,
}

/// What the operations share.
struct Setup<'a> {
    plan: &'a Plan,
    reporter: &'a Reporter,
    cgroup: &'a CgroupPaths,
    /// The control group is still to be entered.
    awaits_group: bool,
    state: &'a State,
    sources: Sources,
    /// The container's root.
    root: OwnedFd,
    /// `/dev` inside it, once it is looked at.
    dev: Option<OwnedFd>,
    /// A procfs that nothing in the container can have prepared: a private one, or the one just
    /// mounted on its `/proc`.
    procfs: Option<OwnedFd>,
    /// A null device, verified.
    null: Option<mask::Null>,
    /// The first masking directory; others are copies.
    empty: Option<OwnedFd>,
    console: Option<OwnedFd>,
}

/// Runs the child up to the execution of its program; returns only on failure.
pub(crate) fn run(child: Child<'_>) -> LaunchError {
    match set_up(child) {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn set_up(child: Child<'_>) -> Result<std::convert::Infallible, LaunchError> {
    let Child { plan, reporter, stdio, group, cgroup, sources, state, mut entry } = child;
    // Should who sets us up die now, nobody would ever know of the container.
    let kill = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(kill).context(|| "ask for a signal")?;
    // The container's root may have no right to walk there, but this process still is the host's.
    let place = sources.root.as_ref().map(|_| root::find_place(&plan.root)).transpose()?.flatten();
    enter_namespaces(plan, group, reporter)?;
    rustix::process::setsid().context(|| "setsid")?;
    console::install_stdio(stdio)?;
    rustix::process::umask(Mode::empty());
    let mut sources = sources;
    let root = root::attach(&plan.root, sources.root.take(), place)?;
    let state = State { pid: Some(rustix::process::getpid().as_raw_pid()), ..state };
    let mut setup = Setup {
        plan,
        reporter,
        cgroup,
        awaits_group: matches!(group, Group::Awaited),
        state: &state,
        sources,
        root,
        dev: None,
        procfs: None,
        null: None,
        empty: None,
        console: None,
    };
    if plan.needs_private_procfs() {
        setup.open_procfs()?;
    }
    for (index, op) in plan.ops.iter().enumerate() {
        setup.apply(index, op)?;
    }
    let Setup { root, procfs, console, .. } = setup;
    entry.console = console;
    entry.procfs = procfs;
    entry.start_hooks.clone_from(&plan.hooks.start_container);
    entry.state = state;
    become_program(&plan.process, root, entry, reporter)
}

/// Joins and makes the namespaces that the clone did not, and takes root's identity in them.
fn enter_namespaces(plan: &Plan, group: Group<'_>, reporter: &Reporter) -> Result<(), LaunchError> {
    let namespaces = &plan.namespaces;
    if !namespaces.needs_helper() {
        join_namespaces(plan)?;
    }
    if let Group::Made(placement) = group {
        placement.enter_self().context(ENTER_GROUP)?;
    }
    let in_user_namespace = namespaces.has_own(ns::USER);
    if in_user_namespace {
        reporter.ask(report::NEEDS_PARENT).context(|| "wait for id mappings")?;
        process::become_root()?;
        process::not_dumpable()?;
    } else if let Some(value) = plan.process.oom_score_adj {
        write_file("/proc/self/oom_score_adj", &value.to_string())?;
    }
    if let Group::Made(_) = group {
        make_cgroup_namespace(plan)?;
    }
    if namespaces.create & ns::TIME != 0 {
        enter_time_namespace(&namespaces.time_offsets)?;
    }
    Ok(())
}

const ENTER_GROUP: fn() -> &'static str = || "join the container's control group";

/// Only in the group: a cgroup namespace is rooted where its maker is.
fn make_cgroup_namespace(plan: &Plan) -> Result<(), LaunchError> {
    if plan.namespaces.create & ns::CGROUP == 0 {
        return Ok(());
    }
    ns::leave(ns::CGROUP).context(|| "make a cgroup namespace")
}

/// Joins the namespaces of others, except that of pids, which is joined by being cloned into it.
pub(crate) fn join_namespaces(plan: &Plan) -> Result<(), LaunchError> {
    for join in plan.namespaces.join.iter().filter(|join| join.kind != ns::PID) {
        let path = join.path.display();
        let file = open_path(&join.path, OFlags::RDONLY)?;
        ns::join(file.as_fd(), join.kind).context(|| format!("join namespace {path}"))?;
    }
    Ok(())
}

/// Offsets can be set only while nobody is in the namespace, and a clone would be at once.
fn enter_time_namespace(offsets: &str) -> Result<(), LaunchError> {
    ns::leave(ns::TIME).context(|| "make a time namespace")?;
    if !offsets.is_empty() {
        write_file("/proc/self/timens_offsets", offsets)?;
    }
    let file = open_path(Path::new("/proc/self/ns/time_for_children"), OFlags::RDONLY)?;
    ns::join(file.as_fd(), ns::TIME).context(|| "join the time namespace")
}

/// Writes a file of the host's procfs.
pub(crate) fn write_file(path: &str, text: &str) -> Result<(), LaunchError> {
    let file = open_path(Path::new(path), OFlags::WRONLY)?;
    rustix::io::write(&file, text.as_bytes()).context(|| format!("write {path}")).map(drop)
}

/// Opens a path of the host.
fn open_path(path: &Path, flags: OFlags) -> Result<OwnedFd, LaunchError> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
        .context(|| format!("open {}", path.display()))
}

impl Setup<'_> {
    fn apply(&mut self, index: usize, op: &Op) -> Result<(), LaunchError> {
        if self.awaits_group && op.needs_group() {
            self.enter_group()?;
        }
        match op {
            Op::Keyring(name) => join_keyring(name),
            Op::LoopbackUp => network::loopback_up().context(|| "set the loopback interface up"),
            Op::Mount(plan) => self.mount(index, plan),
            Op::MountCgroups(plan) => self.mount_cgroups(index, plan),
            Op::Device(plan) => self.make_device(index, plan),
            Op::DevLink { path, target } => self.link(path, target),
            Op::Ptmx => self.link_ptmx(),
            Op::RuntimeHooks => {
                self.reporter.ask(report::RUNTIME_HOOKS).context(|| "wait for hooks")
            }
            Op::ContainerHooks(list) => hooks::run("createContainer", list, self.state),
            Op::PivotRoot { propagation, by_moving } => self.pivot(*propagation, *by_moving),
            Op::LateReadonly(path) => self.make_readonly(path),
            Op::RootReadonly => mount::set_readonly(self.root.as_fd())
                .context(|| "make the root file system read-only"),
            Op::Console => self.open_console(),
            Op::Hostname(name) => {
                rustix::system::sethostname(name.as_bytes()).context(|| "set the host name")
            }
            Op::Domainname(name) => {
                rustix::system::setdomainname(name.as_bytes()).context(|| "set the domain name")
            }
            Op::Sysctl(sysctl) => self.write_sysctl(sysctl),
            Op::ReadonlyPath(path) => self.make_readonly_path(path),
            Op::MaskedPath(path) => self.mask(path),
        }
    }

    /// Enters the control group that the parent has made meanwhile.
    fn enter_group(&mut self) -> Result<(), LaunchError> {
        self.awaits_group = false;
        let files = self.reporter.wait_for_group().context(|| "wait for the control group")?;
        Placement::of_files(files).enter_self().context(ENTER_GROUP)?;
        make_cgroup_namespace(self.plan)
    }

    fn pivot(
        &mut self,
        propagation: Option<Propagation>,
        by_moving: bool,
    ) -> Result<(), LaunchError> {
        if self.plan.ops.iter().any(|op| matches!(op, Op::MaskedPath(_))) {
            self.find_null()?;
        }
        let root = self.root.as_fd();
        if self.plan.root.shares_mounts {
            root::change(root)?;
        } else if by_moving {
            root::take_place(root)?;
        } else {
            root::pivot(root, self.plan.root.host_propagation)?;
        }
        match propagation {
            Some(propagation) => mount::set_propagation(root, propagation)
                .context(|| "change the propagation of the root file system"),
            None => Ok(()),
        }
    }

    /// Makes the private procfs, or opens the host's where the kernel refuses another one.
    fn open_procfs(&mut self) -> Result<(), LaunchError> {
        if self.procfs.is_none() {
            let made = file_system::private_procfs();
            self.procfs = Some(made.or_else(|_| file_system::host_procfs())?);
        }
        Ok(())
    }

    fn write_sysctl(&mut self, sysctl: &Sysctl) -> Result<(), LaunchError> {
        self.open_procfs()?;
        let path = sysctl.path.display();
        let Some(procfs) = &self.procfs else { return Ok(()) };
        let file = resolve::open_beneath(procfs.as_fd(), &sysctl.path, OFlags::WRONLY)
            .context(|| format!("open sysctl {path}"))?;
        rustix::io::write(&file, sysctl.value.as_bytes())
            .context(|| format!("write sysctl {path}"))
            .map(drop)
    }
}

/// Some sandboxes and small kernels have no keyrings; then there is nothing to be shut off from.
fn join_keyring(name: &std::ffi::CStr) -> Result<(), LaunchError> {
    match keyring::join_session(name) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::Unsupported) => Ok(()),
        Err(error) => Err(failed("join a session keyring", error)),
    }
}
