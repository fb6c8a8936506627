//! The last steps, the same for a container's first process and for those that join it: identity,
//! limits, filters, and the execution itself.

use std::convert::Infallible;
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{FileType, Gid, Mode, OFlags, Uid, fchown, fstat};
use rustix::thread::{CapabilitySet, CapabilitySets};
use skiff_model::oci::{Hook, State};
use skiff_sys::{exec, fds, process as sys, resolve, seccomp, signal};

use super::program;
use crate::accounts::{Accounts, Identity};
use crate::failure::{Context, failed, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::plan::{CapabilityPlan, ProcessPlan, SeccompPlan, UserPlan};
use crate::report::{self, Reporter, SECCOMP_LISTENER};
use crate::{hooks, init};

/// How the program is entered.
#[derive(Default)]
pub(crate) struct Entry {
    /// Make the working directory if it is missing.
    pub(crate) make_cwd: bool,
    /// Run under a minimal init.
    pub(crate) init: bool,
    pub(crate) gate: ChildGate,
    pub(crate) start_hooks: Vec<Hook>,
    pub(crate) state: State,
    /// The terminal, to be given to the user.
    pub(crate) console: Option<OwnedFd>,
    /// A private procfs, where one was needed.
    pub(crate) procfs: Option<OwnedFd>,
    /// Descriptors from 3 to this number stay open.
    pub(crate) preserve_fds: i32,
}

/// When the program is executed.
#[derive(Default)]
pub(crate) enum ChildGate {
    #[default]
    Open,
    /// When the parent answers.
    Parent,
    /// When somebody connects.
    Socket(UnixListener),
}

/// Takes the identity of root of a user namespace.
pub(crate) fn become_root() -> Result<(), LaunchError> {
    let step = || "become root of the user namespace";
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid).context(step)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).context(step)?;
    // An unprivileged parent had to deny setgroups; then there are none to drop.
    match rustix::thread::set_thread_groups(&[]) {
        Ok(()) | Err(rustix::io::Errno::PERM) => Ok(()),
        Err(error) => Err(error).context(step),
    }
}

/// Turns the calling child into the program.
pub(crate) fn become_program(
    plan: &ProcessPlan,
    root: OwnedFd,
    mut entry: Entry,
    reporter: &Reporter,
) -> Result<Infallible, LaunchError> {
    let identity = identify(plan, root.as_fd())?;
    give_stdio(entry.console.take(), identity.uid)?;
    raise_limits(plan, 0)?;
    set_scheduling(plan)?;
    write_labels(plan, entry.procfs.take())?;
    let cwd = Cwd::open(root.as_fd(), &plan.cwd, entry.make_cwd)?;
    drop(root);
    if plan.no_new_privileges {
        rustix::thread::set_no_new_privs(true).context(|| "set no new privileges")?;
    } else if let Some(filter) = &plan.seccomp {
        // Without no_new_privs a filter needs the rights that are dropped next. What follows lives
        // under it, so it is made of old calls or falls back to them: profiles are often older
        // than `openat2`, `close_range` and `faccessat2`.
        install_filter(filter, reporter)?;
    }
    change_identity(plan, &identity, &cwd)?;
    let mut env = plan.env.clone();
    if !plan.has_home {
        let home = if identity.home.is_empty() { "/" } else { &identity.home };
        env.push(CString::new(format!("HOME={home}")).unwrap_or_default());
    }
    let path = program::find(&plan.program, plan.search_path.as_deref())?;
    if let (true, Some(filter)) = (plan.no_new_privileges, &plan.seccomp) {
        install_filter(filter, reporter)?;
    }
    rustix::process::umask(Mode::from_raw_mode(plan.umask));
    let waiting = wait_at_gate(&mut entry, reporter)?;
    // The creator may be gone; then who started the container learns of failures.
    let fail = |error: &LaunchError| match &waiting {
        Some(client) => {
            let mut client: &UnixStream = client;
            let _ = client.write_all(&report::encode_failure(error));
            let _ = client.shutdown(Shutdown::Both);
        }
        None => reporter.fail(error),
    };
    let error = match hooks::run("startContainer", &entry.start_hooks, &entry.state) {
        Ok(()) => execute(plan, &path, &env, &entry, &fail),
        Err(error) => error,
    };
    if waiting.is_some() {
        fail(&error);
    }
    Err(error)
}

/// Executes the program, directly or as the child of a minimal init.
fn execute(
    plan: &ProcessPlan,
    path: &CString,
    env: &exec::StringArray,
    entry: &Entry,
    fail: &dyn Fn(&LaunchError),
) -> LaunchError {
    // The setting-up parent may die now without taking the container along.
    let _ = rustix::process::set_parent_process_death_signal(None);
    if let Err(error) = fds::set_cloexec_from(3 + entry.preserve_fds) {
        return failed("close descriptors", error);
    }
    for limit in plan.rlimits.iter().filter(|limit| limit.is_final()) {
        if let Err(error) = sys::set_rlimit(0, limit.resource, limit.soft, limit.hard) {
            return failed("set the limit of descriptors", error);
        }
    }
    let program = || {
        if let Err(error) = signal::reset_all() {
            return failed("reset signals", error);
        }
        program::refused(path, exec::execve(path, &plan.args, env))
    };
    if entry.init { init::run(&plan.args, program, fail) } else { program() }
}

fn identify(plan: &ProcessPlan, root: BorrowedFd<'_>) -> Result<Identity, LaunchError> {
    match &plan.user {
        UserPlan::Words(request) => Accounts::read(root)?.resolve(request),
        UserPlan::Ids { uid, gid, additional_gids } => {
            let home = if plan.has_home { None } else { Accounts::home_of(root, *uid) };
            Ok(Identity {
                uid: *uid,
                gid: *gid,
                groups: additional_gids.clone(),
                home: home.unwrap_or_else(|| "/".to_owned()),
            })
        }
    }
}

/// Makes the user the owner of its streams, so that `/dev/stdout` can be opened by it.
fn give_stdio(console: Option<OwnedFd>, uid: u32) -> Result<(), LaunchError> {
    if uid == 0 && console.is_none() {
        return Ok(());
    }
    let owner = Uid::from_raw(uid);
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for stream in streams {
        let stat = fstat(stream).context(|| "stat a standard descriptor")?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let null = kind == FileType::CharacterDevice && stat.st_rdev == rustix::fs::makedev(1, 3);
        if stat.st_uid == uid || null {
            continue;
        }
        // Streams from elsewhere (a foreign terminal, a read-only file) may refuse.
        let _ = fchown(stream, Some(owner), None);
    }
    Ok(())
}

/// Sets the limits that need rights, of the process `pid`; 0 is the caller.
pub(crate) fn raise_limits(plan: &ProcessPlan, pid: i32) -> Result<(), LaunchError> {
    for limit in &plan.rlimits {
        let step = || format!("error setting rlimit type {}", limit.resource);
        let current = sys::hard_limit(limit.resource).context(step)?;
        if let Some((soft, hard)) = limit.early(current) {
            sys::set_rlimit(pid, limit.resource, soft, hard).context(step)?;
        }
    }
    Ok(())
}

fn set_scheduling(plan: &ProcessPlan) -> Result<(), LaunchError> {
    if let Some((class, level)) = plan.io_priority {
        sys::set_io_priority(class, level).context(|| "set the I/O priority")?;
    }
    if let Some(scheduler) = &plan.scheduler {
        sys::set_scheduler(scheduler).context(|| "set the scheduler")?;
    }
    if let Some(domain) = plan.personality {
        sys::set_personality(domain).context(|| "set the personality")?;
    }
    Ok(())
}

/// Tells the security modules what the program is to run as.
fn write_labels(plan: &ProcessPlan, procfs: Option<OwnedFd>) -> Result<(), LaunchError> {
    if !plan.has_label() {
        return Ok(());
    }
    let procfs = match procfs {
        Some(procfs) => procfs,
        None => super::file_system::private_procfs()?,
    };
    let write = |file: &str, text: &str| {
        let path = format!("{}/attr/{file}", rustix::process::getpid().as_raw_pid());
        let file = resolve::open_beneath(procfs.as_fd(), Path::new(&path), OFlags::WRONLY)?;
        rustix::io::write(&file, text.as_bytes())?;
        Ok::<(), io::Error>(())
    };
    if let Some(profile) = &plan.apparmor_profile {
        let text = format!("exec {profile}");
        write("apparmor/exec", &text)
            .or_else(|_| write("exec", &text))
            .context(|| format!("unable to apply apparmor profile {profile:?}"))?;
    }
    if let Some(label) = &plan.selinux_label {
        write("exec", label).context(|| format!("set the selinux label {label:?}"))?;
    }
    Ok(())
}

fn install_filter(filter: &SeccompPlan, reporter: &Reporter) -> Result<(), LaunchError> {
    let listener = seccomp::set_filter(&filter.program, filter.flags)
        .context(|| "install the seccomp filter")?;
    if let Some(listener) = listener {
        reporter
            .give(SECCOMP_LISTENER, listener.as_fd())
            .context(|| "hand the seccomp listener over")?;
    }
    Ok(())
}

/// The working directory, opened in the container's root without following magic links: it cannot
/// be a directory of the host that a leaked descriptor names (CVE-2024-21626).
struct Cwd<'a> {
    path: &'a Path,
    dir: Option<OwnedFd>,
}

impl<'a> Cwd<'a> {
    fn open(root: BorrowedFd<'_>, path: &'a Path, make: bool) -> Result<Self, LaunchError> {
        let dir = if make {
            resolve::ensure_dir(root, path, Mode::from_raw_mode(0o755))
        } else {
            resolve::open(root, path, OFlags::PATH | OFlags::DIRECTORY)
        };
        match dir {
            Ok(dir) => Ok(Self { path, dir: Some(dir) }),
            // Root may have no way in where the user has: a network file system, for one.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(Self { path, dir: None })
            }
            Err(error) if make && error.kind() == io::ErrorKind::NotADirectory => {
                let text = format!("Cannot mkdir: {} is not a directory", path.display());
                Err(of_kind(LaunchErrorKind::NoWorkingDir, text))
            }
            Err(error) => Err(Self::failure(path, error)),
        }
    }

    fn failure(path: &Path, error: io::Error) -> LaunchError {
        let path = path.display().to_string();
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => {
                LaunchErrorKind::NotExecutable
            }
            _ => LaunchErrorKind::Failed,
        };
        let text = format!("chdir to cwd ({path:?}) set in config.json failed: ");
        of_kind(kind, text + &crate::failure::reason(&error))
    }

    /// Tries with the rights of root.
    fn enter(&self) -> bool {
        self.dir.as_ref().is_some_and(|dir| rustix::process::fchdir(dir).is_ok())
    }

    /// Tries with those of the user, by a fresh look.
    fn enter_as_user(&self) -> Result<(), LaunchError> {
        let entered = match &self.dir {
            Some(dir) => rustix::process::fchdir(dir).map_err(io::Error::from),
            None => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::open("/", flags, Mode::empty())
                    .map_err(io::Error::from)
                    .and_then(|root| resolve::open(root.as_fd(), self.path, flags))
                    .and_then(|dir| Ok(rustix::process::fchdir(dir)?))
            }
        };
        entered.map_err(|error| Self::failure(self.path, error))
    }
}

/// Drops what the user may not have and becomes the user.
fn change_identity(
    plan: &ProcessPlan,
    identity: &Identity,
    cwd: &Cwd<'_>,
) -> Result<(), LaunchError> {
    // No capabilities in the specification means none, as runc reads it.
    let sets = plan.capabilities.unwrap_or_default();
    drop_bounding(&sets, plan.last_capability)?;
    rustix::thread::set_keep_capabilities(true).context(|| "keep capabilities")?;
    let inside = cwd.enter();
    let gids: Vec<Gid> = identity.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    match rustix::thread::set_thread_groups(&gids) {
        // Denied in the user namespace of an unprivileged user, where nothing needs to change.
        Err(rustix::io::Errno::PERM) if gids.is_empty() => {}
        other => other.context(|| "set the supplementary groups")?,
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    rustix::thread::set_thread_res_gid(gid, gid, gid).context(|| "set the group")?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).context(|| "set the user")?;
    // Losing an identity made the process dumpable as the system is configured.
    not_dumpable()?;
    if !inside {
        cwd.enter_as_user()?;
    }
    rustix::thread::set_keep_capabilities(false).context(|| "keep capabilities")?;
    set_capabilities(&sets)
}

/// Keeps other processes of the container from looking into this one before it is the program
/// (CVE-2016-9962).
pub(super) fn not_dumpable() -> Result<(), LaunchError> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).context(|| "become not dumpable")
}

fn drop_bounding(sets: &CapabilityPlan, last: u8) -> Result<(), LaunchError> {
    for number in 0..=last {
        if sets.bounding & (1 << number) == 0 {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            match rustix::thread::remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // A process without CAP_SETPCAP has little to lose.
                Err(rustix::io::Errno::PERM) if sets.bounding == 0 => break,
                Err(error) => return Err(failed("drop capabilities", error)),
            }
        }
    }
    Ok(())
}

fn set_capabilities(sets: &CapabilityPlan) -> Result<(), LaunchError> {
    let set = CapabilitySet::from_bits_retain;
    let wanted = CapabilitySets {
        effective: set(sets.effective),
        permitted: set(sets.permitted),
        inheritable: set(sets.inheritable),
    };
    rustix::thread::set_capabilities(None, wanted).context(|| "unable to apply caps")?;
    let step = || "set ambient capabilities";
    match rustix::thread::clear_ambient_capability_set() {
        Ok(()) => {}
        Err(error) if sets.ambient != 0 => return Err(error).context(step),
        Err(_) => {}
    }
    for number in (0..64).filter(|number| sets.ambient & (1 << number) != 0) {
        // One that is not inheritable cannot be ambient; the kernel refuses, runc warns.
        let _ = rustix::thread::configure_capability_in_ambient_set(set(1 << number), true);
    }
    Ok(())
}

/// Tells that all is ready and waits to be let. Returns the connection of who started a container
/// whose creator is gone.
fn wait_at_gate(entry: &mut Entry, reporter: &Reporter) -> Result<Option<UnixStream>, LaunchError> {
    match std::mem::take(&mut entry.gate) {
        ChildGate::Open => {
            reporter.ready().context(|| "report to the parent")?;
            Ok(None)
        }
        ChildGate::Parent => {
            reporter.ready().context(|| "report to the parent")?;
            reporter.wait().context(|| "wait for the start")?;
            Ok(None)
        }
        ChildGate::Socket(listener) => {
            // From here on the creator may go.
            let _ = rustix::process::set_parent_process_death_signal(None);
            reporter.ready().context(|| "report to the parent")?;
            loop {
                let (mut client, _) = listener.accept().context(|| "wait for the start")?;
                // Somebody who only looks, or died, does not start anything.
                let mut byte = [0];
                if client.read(&mut byte).is_ok_and(|length| length == 1) {
                    return Ok(Some(client));
                }
            }
        }
    }
}
