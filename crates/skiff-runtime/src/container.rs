//! The parent's half of starting a container and of joining one: control group, clone, id maps,
//! the runtime's hooks, and the report of success or of the step that failed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;

use rustix::fs::OFlags;
use skiff_model::oci::{ConsoleSize, Resources, State};
use skiff_sys::clone::{self, CLONE_PARENT, CloneRequest};
use skiff_sys::{namespace as ns, process};

use crate::apply::{self, Child, ChildGate, Entry, Sources};
use crate::cgroup::{self, Cgroup, CgroupConfig, CgroupPaths, Placement};
use crate::facts;
use crate::failure::{Context, of_kind, with_causes};
use crate::hooks;
use crate::join::{self, Host, Request};
use crate::launch::{ExecLaunch, Launch, LaunchError, LaunchErrorKind};
use crate::notify;
use crate::plan::{self, HookPlan, Plan};
use crate::prepared::Prepared;
use crate::report::{self, Listener, Reporter, Word};

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
    /// When somebody connects to this socket, sends a byte and reads to the end: what comes is
    /// the error ([`start_over`] does that). For creators that go away.
    Socket(UnixListener),
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
    /// For processes to come.
    placement: Placement,
    /// Kinds (`CLONE_NEW*`) of namespaces that are not the caller's.
    pub namespaces: u64,
    hooks: HookPlan,
    state: State,
    /// Kept while the program waits to be started.
    waiting: Option<Listener>,
}

/// A process that was started inside a running container. It is the caller's child.
#[derive(Debug)]
pub struct Joined {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub console: Option<OwnedFd>,
}

/// What the caller brings along or asks for beyond the specification.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// So many descriptors from 3 on stay open in the container.
    pub preserve_fds: i32,
    /// Do not use `pivot_root(2)`: it cannot leave a root that is the kernel's first ramdisk.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
}

/// Starts a container and returns when its program runs (or waits, see [`Gate`]).
///
/// On an error nothing is left behind: no process, mount or control group.
pub fn launch(launch: &Launch, stdio: Stdio<'_>, gate: Gate) -> Result<Container, LaunchError> {
    launch_with(launch, stdio, gate, Options::default())
}

/// As [`launch`], with options.
pub fn launch_with(
    launch: &Launch,
    stdio: Stdio<'_>,
    gate: Gate,
    options: Options,
) -> Result<Container, LaunchError> {
    launch_meanwhile(launch, stdio, gate, options, Prepared::default(), &mut || {})
}

/// As [`launch_with`], with what the caller has ready for the container; `meanwhile` is called once while the child prepares itself, which takes it
/// longer than anything the caller has to do. It may be called for a start that fails.
pub fn launch_meanwhile(
    launch: &Launch,
    stdio: Stdio<'_>,
    gate: Gate,
    options: Options,
    mut prepared: Prepared,
    meanwhile: &mut dyn FnMut(),
) -> Result<Container, LaunchError> {
    let mut plan = plan::plan(launch, facts::host())?;
    plan.apply_options(options);
    prepared.offer(&mut plan)?;
    take_terminal(&mut plan.process, &stdio);
    let mut group = Group::begin(&plan)?;
    let place = apply::Place::before(&plan.root);
    let sources = apply::open_sources(&plan, &mut prepared);
    let started = sources.and_then(|sources| {
        Starting::new(launch, &plan, &mut group).run(stdio, gate, sources, meanwhile)
    });
    match started {
        Ok(started) => Ok(Container {
            pid: started.child.pid,
            pidfd: started.child.pidfd,
            console: started.console,
            cgroup: group.cgroup,
            placement: started.placement,
            namespaces: own_kinds(&plan),
            hooks: plan.hooks,
            state: started.state,
            waiting: started.waiting,
        }),
        Err(error) => {
            // The first error is what the user must see.
            if group.made {
                let _ = group.cgroup.remove();
            }
            if let Some(place) = place {
                place.clear();
            }
            Err(error)
        }
    }
}

/// The control group of a container that is being started.
struct Group {
    cgroup: Cgroup,
    made: bool,
}

impl Group {
    /// Makes the group, or says where it will be: making it takes as long as the child needs for
    /// its mounts, so where that is possible both are done at once.
    fn begin(plan: &Plan) -> Result<Group, LaunchError> {
        // A user namespace would deny the child to enter, and an unprivileged caller may end up
        // in another group.
        let simple = !plan.namespaces.has_own(ns::USER) && rustix::process::geteuid().is_root();
        if simple
            && let Some(cgroup) = Cgroup::made_meanwhile(&plan.cgroup).map_err(cgroup_error)?
        {
            return Ok(Group { cgroup, made: false });
        }
        Ok(Group { cgroup: make_cgroup(&plan.cgroup)?, made: true })
    }
}

/// Has a new child run on another processor than ours. The scheduler often leaves it on ours, to
/// begin when we wait for it, although another one is idle: it cannot know that we go on.
fn run_beside(child: i32) {
    use rustix::thread::{sched_getaffinity, sched_getcpu, sched_setaffinity};
    let child = rustix::process::Pid::from_raw(child);
    let Ok(allowed) = sched_getaffinity(child) else { return };
    let mut others = allowed;
    others.unset(sched_getcpu());
    // It moves at once; where it may run later stays as it was.
    if sched_setaffinity(child, &others).is_ok() {
        let _ = sched_setaffinity(child, &allowed);
    }
}

/// Makes the control group. An unprivileged user may have no right to one; without limits to keep
/// the container then stays in the caller's.
fn make_cgroup(config: &CgroupConfig) -> Result<Cgroup, LaunchError> {
    match Cgroup::create(config) {
        Err(_)
            if !rustix::process::geteuid().is_root()
                && config.resources == Resources::default() =>
        {
            Ok(Cgroup::open(CgroupPaths::default()))
        }
        other => other.map_err(cgroup_error),
    }
}

/// Opens what a process needs to get into the group, on this kernel.
pub(crate) fn placement(cgroup: &Cgroup) -> Result<Placement, LaunchError> {
    let placement = cgroup.placement();
    let placement = if facts::host().clone_into_cgroup {
        placement
    } else {
        placement.and_then(Placement::without_clone_into)
    };
    placement.map_err(cgroup_error)
}

/// Kinds of namespaces that the container does not share with the caller.
fn own_kinds(plan: &Plan) -> u64 {
    plan.namespaces.join.iter().fold(plan.namespaces.create, |kinds, join| kinds | join.kind)
}

fn cgroup_error(error: cgroup::CgroupError) -> LaunchError {
    of_kind(LaunchErrorKind::Failed, with_causes(&error))
}

/// The terminal is made or not as the caller serves it, whatever the specification says.
pub(crate) fn take_terminal(process: &mut plan::ProcessPlan, stdio: &Stdio<'_>) {
    process.terminal = matches!(stdio, Stdio::Terminal { .. });
    if let Stdio::Terminal { size: Some(size) } = stdio {
        process.console_size = Some(*size);
    }
}

/// A container between its control group and its first instruction.
struct Starting<'a> {
    plan: &'a Plan,
    group: &'a mut Group,
    state: State,
}

/// What came of it.
struct Started {
    child: clone::Child,
    console: Option<OwnedFd>,
    placement: Placement,
    waiting: Option<Listener>,
    state: State,
}

impl<'a> Starting<'a> {
    fn new(launch: &Launch, plan: &'a Plan, group: &'a mut Group) -> Self {
        let state = State {
            oci_version: launch.spec.oci_version.clone(),
            id: launch.id.clone(),
            status: "creating".into(),
            pid: None,
            bundle: launch.bundle.clone(),
            annotations: launch.spec.annotations.clone(),
        };
        Self { plan, group, state }
    }

    fn run(
        mut self,
        stdio: Stdio<'_>,
        gate: Gate,
        sources: Sources,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Started, LaunchError> {
        let made = self.group.made.then(|| placement(&self.group.cgroup)).transpose()?;
        let (listener, reporter) = report::channel().context(|| "make a socket pair")?;
        let mut waits = matches!(gate, Gate::Wait);
        let gate = match gate {
            Gate::Open => ChildGate::Open,
            Gate::Wait => ChildGate::Parent,
            Gate::Socket(socket) => {
                waits = true;
                ChildGate::Socket(socket)
            }
        };
        // The child is born with this, before anything in the container could look at it.
        not_dumpable()?;
        let child = self.clone_child(stdio, gate, made.as_ref(), sources, &reporter)?;
        drop(reporter);
        if made.is_none() {
            run_beside(child.pid);
        }
        let placement = match made.map_or_else(|| self.make_group(&listener), Ok) {
            Ok(placement) => placement,
            Err(error) => {
                end(&child);
                return Err(error);
            }
        };
        meanwhile();
        self.attend(child, placement, listener, waits)
    }

    /// Makes the control group that the child will wait for.
    fn make_group(&mut self, listener: &Listener) -> Result<Placement, LaunchError> {
        self.group.cgroup = make_cgroup(&self.plan.cgroup)?;
        self.group.made = true;
        let placement = placement(&self.group.cgroup)?;
        // It may have failed already; then it says why.
        let _ = listener.send_group(placement.files());
        Ok(placement)
    }

    fn clone_child(
        &self,
        stdio: Stdio<'_>,
        gate: ChildGate,
        placement: Option<&Placement>,
        sources: Sources,
        reporter: &Reporter,
    ) -> Result<clone::Child, LaunchError> {
        let plan = self.plan;
        let pid_namespace = PidNamespace::enter_for_children(plan)?;
        let child = || {
            let preserve_fds = plan.preserve_fds;
            let (make_cwd, init) = (true, plan.init);
            let entry = Entry { make_cwd, init, gate, preserve_fds, ..Entry::default() };
            let stdio = match stdio {
                Stdio::Fds { stdin, stdout, stderr } => Some([stdin, stdout, stderr]),
                Stdio::Terminal { .. } => None,
            };
            let cgroup = self.group.cgroup.paths();
            let state = self.state.clone();
            let group = placement.map_or(apply::Group::Awaited, apply::Group::Made);
            let child = Child { plan, reporter, stdio, group, cgroup, sources, state, entry };
            reporter.fail(&apply::run(child));
            1
        };
        let made = plan.namespaces.create & !(ns::CGROUP | ns::TIME);
        let request =
            CloneRequest { flags: made, cgroup: placement.and_then(Placement::clone_into) };
        let spawned = if plan.namespaces.needs_helper() {
            let flags = CloneRequest { flags: made | CLONE_PARENT, ..request };
            clone::spawn(CloneRequest::default(), || help(plan, flags, reporter, child))
        } else {
            clone::spawn(request, child)
        };
        pid_namespace.leave()?;
        spawned.context(|| "clone the container's first process")
    }

    /// Serves the child until its program runs or it has failed, in which case it is gone.
    fn attend(
        mut self,
        child: clone::Child,
        placement: Placement,
        listener: Listener,
        waits: bool,
    ) -> Result<Started, LaunchError> {
        let (console, waiting, state) = (None, None, State::default());
        let mut started = Started { child, console, placement, waiting, state };
        self.state.pid = Some(started.child.pid);
        let result = self.converse(&mut started, &listener, waits);
        if let Err(error) = result {
            end(&started.child);
            return Err(error);
        }
        started.placement.settle();
        self.state.status = if waits { "created" } else { "running" }.into();
        if waits {
            started.waiting = Some(listener);
        } else {
            let failures = hooks::run_all("poststart", &self.plan.hooks.poststart, &self.state);
            if let Some(error) = failures.into_iter().next() {
                end(&started.child);
                return Err(error);
            }
        }
        started.state = self.state;
        Ok(started)
    }

    fn converse(
        &mut self,
        started: &mut Started,
        listener: &Listener,
        waits: bool,
    ) -> Result<(), LaunchError> {
        let mut ready = false;
        loop {
            let word = listener.next().context(|| "listen to the container's first process")?;
            match word {
                Word::NeedsParent => {
                    self.prepare_user_namespace(started.child.pid)?;
                    listener.answer().context(|| "answer the container's first process")?;
                }
                Word::Cloned(pidfd) => self.adopt(started, pidfd)?,
                Word::RuntimeHooks => {
                    let list = &self.plan.hooks.create_runtime;
                    hooks::run("createRuntime", list, &self.state)?;
                    listener.answer().context(|| "answer the container's first process")?;
                }
                Word::Console(master) => started.console = Some(master),
                Word::SeccompListener(listener) => {
                    notify::hand_over(&self.plan.process, &listener, &self.state)?;
                }
                // Of no child that is a container.
                Word::Tree(_) => {}
                Word::Ready if waits => return Ok(()),
                Word::Ready => ready = true,
                Word::Failed(error) => return Err(error),
                // The program runs; it may have ended, too.
                Word::End if ready => return Ok(()),
                Word::End => return Err(died(&started.child)),
            }
        }
    }

    /// The helper has cloned the child proper, which is ours too, and ends now.
    fn adopt(&mut self, started: &mut Started, pidfd: OwnedFd) -> Result<(), LaunchError> {
        let pid = pid_of(&pidfd).context(|| "look at the container's first process")?;
        let helper = std::mem::replace(&mut started.child, clone::Child { pid, pidfd });
        let _ = process::wait(helper.pidfd.as_fd(), true);
        self.state.pid = Some(pid);
        Ok(())
    }

    /// Does for the child what its own user namespace gives it no right to.
    fn prepare_user_namespace(&self, pid: i32) -> Result<(), LaunchError> {
        let base = format!("/proc/{pid}");
        if let Some(maps) = &self.plan.namespaces.maps {
            if !rustix::process::geteuid().is_root() {
                // An unprivileged map of groups is taken only with setgroups denied.
                write_proc(&format!("{base}/setgroups"), "deny")?;
            }
            write_proc(&format!("{base}/uid_map"), &maps.uid)?;
            write_proc(&format!("{base}/gid_map"), &maps.gid)?;
        }
        if let Some(value) = self.plan.process.oom_score_adj {
            write_proc(&format!("{base}/oom_score_adj"), &value.to_string())?;
        }
        apply::raise_limits(&self.plan.process, pid)?;
        Ok(())
    }
}

/// The number of a process in our pid namespace.
fn pid_of(pidfd: &OwnedFd) -> std::io::Result<i32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    // It is -1 of a process that has ended and been reaped.
    number.filter(|pid| *pid > 0).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
}

fn write_proc(path: &str, text: &str) -> Result<(), LaunchError> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .and_then(|file| rustix::io::write(&file, text.as_bytes()))
        .context(|| format!("write {path}"))
        .map(drop)
}

/// The life of the helper: joins what has to be joined from outside, clones the child as its own
/// parent's, and ends.
fn help(
    plan: &Plan,
    request: CloneRequest<'_>,
    reporter: &Reporter,
    child: impl FnOnce() -> i32,
) -> i32 {
    let cloned = apply::join_namespaces(plan)
        .and_then(|()| clone::spawn(request, child).context(|| "clone the container's process"));
    match cloned {
        Ok(child) => i32::from(reporter.cloned(child.pidfd.as_fd()).is_err()),
        Err(error) => {
            reporter.fail(&error);
            1
        }
    }
}

/// Kills a child that is no good and reaps it. Its mounts and namespaces go with it.
pub(crate) fn end(child: &clone::Child) {
    let _ = process::send_signal(child.pidfd.as_fd(), 9);
    let _ = process::wait(child.pidfd.as_fd(), true);
}

/// What to say of a child that could not even say itself why it failed.
pub(crate) fn died(child: &clone::Child) -> LaunchError {
    let end = process::wait(child.pidfd.as_fd(), false);
    let how = match end {
        Ok(Some(process::Exit::Signal(signal))) => format!("killed by signal {signal}"),
        Ok(Some(process::Exit::Code(code))) => format!("exit status {code}"),
        _ => "for unknown reasons".to_owned(),
    };
    of_kind(LaunchErrorKind::Failed, format!("the container's first process died: {how}"))
}

/// Keeps the caller, and with it the child it clones, from being looked into (CVE-2016-9962). Not
/// for unprivileged callers: they could not write their child's id maps any more, and have nothing
/// that the container's root has not.
pub(crate) fn not_dumpable() -> Result<(), LaunchError> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "become not dumpable")
}

/// The caller's pid namespace for children, while it is another than its own.
pub(crate) struct PidNamespace {
    own: Option<OwnedFd>,
}

impl PidNamespace {
    /// Makes the next children be born in the pid namespace that the plan joins, if any.
    fn enter_for_children(plan: &Plan) -> Result<Self, LaunchError> {
        let join = plan.namespaces.join.iter().find(|join| join.kind == ns::PID);
        let Some(join) = join else { return Ok(Self { own: None }) };
        let step = || format!("join namespace {}", join.path.display());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(&join.path, flags, rustix::fs::Mode::empty()).context(step)?;
        Self::enter(file.as_fd(), ns::PID).context(step)
    }

    pub(crate) fn enter(from: BorrowedFd<'_>, kind: u64) -> std::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = rustix::fs::open("/proc/self/ns/pid", flags, rustix::fs::Mode::empty())?;
        ns::join(from, kind)?;
        Ok(Self { own: Some(own) })
    }

    pub(crate) fn leave(self) -> Result<(), LaunchError> {
        match self.own {
            Some(own) => ns::join(own.as_fd(), ns::PID).context(|| "return to the pid namespace"),
            None => Ok(()),
        }
    }
}

impl Container {
    /// Lets a container launched with [`Gate::Wait`] execute its program, and returns when it
    /// runs. A container that was started before is left alone.
    pub fn start(&mut self) -> Result<(), LaunchError> {
        let Some(listener) = self.waiting.take() else { return Ok(()) };
        listener.answer().context(|| "start the container")?;
        loop {
            match listener.next().context(|| "listen to the container's first process")? {
                Word::Failed(error) => return Err(error),
                Word::End => break,
                _ => {}
            }
        }
        self.state.status = "running".into();
        hooks::run("poststart", &self.hooks.poststart, &self.state)
    }

    /// Kinds (`CLONE_NEW*`) of namespaces that are not the caller's, for a [`Host`].
    pub fn namespaces(&self) -> u64 {
        self.namespaces
    }

    /// Starts a further process in the container.
    pub fn exec(&self, exec: &ExecLaunch, stdio: Stdio<'_>) -> Result<Joined, LaunchError> {
        let host = Host {
            id: &self.state.id,
            pid: self.pid,
            pidfd: self.pidfd.as_fd(),
            namespaces: self.namespaces,
        };
        let request = Request { launch: exec, seccomp: None, preserve_fds: 0 };
        join::exec(&host, &self.placement, request, stdio)
    }

    /// Runs the `poststop` hooks; called once, after process 1 has ended. Failures are returned to
    /// be logged, since the specification wants the rest of the removal to go on.
    pub fn run_poststop_hooks(&self) -> Vec<LaunchError> {
        let state = State { status: "stopped".into(), pid: None, ..self.state.clone() };
        hooks::run_all("poststop", &self.hooks.poststop, &state)
    }
}
