//! The keeper: keeps a few idle monitors forked and waiting, so that connecting to
//! `<exec-root>/keeper.sock` is getting one.
//!
//! ```text
//! keeper.lock     held while a keeper lives; the next one waits for it
//! keeper.sock     idle monitors accept on it
//! keeper.version  version, build and pid of the keeper, as JSON
//! keeper.log      its complaints
//! ```
//!
//! Invariant: it never handles a container and holds nothing of one, so killing it harms nobody:
//! monitors that have a container live on, idle ones end with it, the next daemon starts another.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::net::{AddressFamily, SocketFlags, SocketType, listen, socket_with};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Signal};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};
use skiff_sys::fork::{Fork, exit_now, fork};
use skiff_sys::signals::{CHILD, SignalFd, TERM, block_all};

use crate::monitor::{self, Idle};

/// The keeper's socket in the exec root.
pub const KEEPER_SOCKET: &str = "keeper.sock";
/// Holds the lock that says a keeper lives.
pub(crate) const KEEPER_LOCK: &str = "keeper.lock";
/// Holds an [`Identity`].
pub(crate) const KEEPER_VERSION: &str = "keeper.version";
/// Version of the keeper and of the daemon's side.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
const KEEPER_LOG: &str = "keeper.log";

/// Exit status that says another keeper lives.
pub(crate) const EXIT_HELD: u8 = 75;

/// Idle monitors kept.
const IDLE_MONITORS: usize = 2;

/// How long after a monitor was taken its replacement is forked, while another one is idle: the
/// start that took it has the processors to itself.
const REFILL_DELAY: Duration = Duration::from_millis(8);

/// Connections that may wait for a monitor.
const BACKLOG: i32 = 4096;

/// Which keeper this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) version: String,
    pub(crate) build: String,
    #[serde(default)]
    pub(crate) pid: i32,
}

#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error("usage: keeper --exec-root DIR --data-root DIR [--build ID]")]
    Usage,
    #[error("another keeper holds {0}")]
    Held(PathBuf),
    #[error("{what} {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{what}: {source}")]
    System { what: &'static str, source: std::io::Error },
}

#[derive(Debug, Default)]
struct Arguments {
    exec_root: PathBuf,
    build: String,
}

/// Runs as the keeper: the arguments are those after `skiff keeper`. Returns in the calling
/// process as soon as the keeper serves (or why it does not); the keeper is a child of it that
/// goes on in the background.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match parse(args).and_then(|arguments| start(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(match error {
                KeeperError::Held(_) => EXIT_HELD,
                KeeperError::Usage => 2,
                _ => 1,
            })
        }
    }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Arguments, KeeperError> {
    let mut arguments = Arguments::default();
    let mut args = args.into_iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(KeeperError::Usage)?;
        match flag.to_str() {
            Some("--exec-root") => arguments.exec_root = value.into(),
            // Named so that a list of processes tells whose keeper it is.
            Some("--data-root") => {}
            Some("--build") => {
                arguments.build = value.into_string().map_err(|_| KeeperError::Usage)?;
            }
            _ => return Err(KeeperError::Usage),
        }
    }
    if arguments.exec_root.is_absolute() { Ok(arguments) } else { Err(KeeperError::Usage) }
}

/// Becomes ready and forks the keeper proper.
fn start(arguments: &Arguments) -> Result<(), KeeperError> {
    let root = &arguments.exec_root;
    let lock = take_lock(root)?;
    let listener = listen_in(root)?;
    match fork().map_err(system("fork"))? {
        Fork::Parent(pid) => {
            // Here and not in the child: who started us may look as soon as we return.
            let (version, build) = (VERSION.to_owned(), arguments.build.clone());
            write_identity(root, &Identity { version, build, pid })
        }
        Fork::Child => {
            let ended = settle(root)
                .and_then(|()| Keeper::new(listener, lock).map_err(system("set up")))
                .map(Keeper::run);
            if let Err(error) = &ended {
                complain(&error.to_string());
            }
            exit_now(u8::from(ended.is_err()))
        }
    }
}

fn take_lock(root: &Path) -> Result<OwnedFd, KeeperError> {
    let path = root.join(KEEPER_LOCK);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600))
        .map_err(|errno| file("open", &path)(errno.into()))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(rustix::io::Errno::AGAIN) => Err(KeeperError::Held(path)),
        Err(errno) => Err(file("lock", &path)(errno.into())),
    }
}

/// Listens under a temporary name first: the old socket is replaced by one that is served.
fn listen_in(root: &Path) -> Result<OwnedFd, KeeperError> {
    let path = root.join(KEEPER_SOCKET);
    let temporary = format!("{KEEPER_SOCKET}.new");
    let failed = |errno: rustix::io::Errno| file("listen on", &path)(errno.into());
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(failed)?;
    let _ = std::fs::remove_file(root.join(&temporary));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(root, flags, Mode::empty()).map_err(failed)?;
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = skiff_sys::socket::bind_at(socket.as_fd(), directory.as_fd(), &temporary);
    rustix::process::umask(before);
    bound.map_err(file("bind", &path))?;
    listen(&socket, BACKLOG).map_err(failed)?;
    std::fs::rename(root.join(&temporary), &path).map_err(file("bind", &path))?;
    Ok(socket)
}

/// Makes the process independent of whoever started it.
fn settle(root: &Path) -> Result<(), KeeperError> {
    let _ = rustix::process::setsid();
    block_all().map_err(system("block signals"))?;
    std::env::set_current_dir("/").map_err(system("change to /"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    redirect_stdio(&root.join(KEEPER_LOG))?;
    // Best effort, each: less comfort without them, but containers run.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    let _ = skiff_sys::process::become_subreaper();
    Ok(())
}

fn redirect_stdio(log: &Path) -> Result<(), KeeperError> {
    let null = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(file("open", Path::new("/dev/null")))?;
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let complaints = rustix::fs::open(log, flags, Mode::from_raw_mode(0o600))
        .map_err(|errno| file("open", log)(errno.into()))?;
    let failed = |errno: rustix::io::Errno| system("redirect")(errno.into());
    rustix::stdio::dup2_stdin(&null).map_err(failed)?;
    rustix::stdio::dup2_stdout(&null).map_err(failed)?;
    rustix::stdio::dup2_stderr(&complaints).map_err(failed)
}

fn write_identity(root: &Path, identity: &Identity) -> Result<(), KeeperError> {
    let path = root.join(KEEPER_VERSION);
    let temporary = root.join(format!("{KEEPER_VERSION}.new"));
    let bytes = serde_json::to_vec(identity).map_err(|error| system("encode")(error.into()))?;
    std::fs::write(&temporary, bytes).map_err(file("write", &temporary))?;
    std::fs::rename(&temporary, &path).map_err(file("write", &path))
}

/// Which process a fork has returned in.
#[derive(PartialEq, Eq)]
enum Role {
    Keeper,
    Monitor,
}

/// The loop that keeps idle monitors there.
struct Keeper {
    listener: OwnedFd,
    lock: OwnedFd,
    signals: SignalFd,
    /// Monitors write their pid here when they were taken.
    taken: OwnedFd,
    taken_writer: OwnedFd,
    idle: BTreeSet<i32>,
    /// When a replacement is due.
    refill_at: Option<Instant>,
}

impl Keeper {
    fn new(listener: OwnedFd, lock: OwnedFd) -> std::io::Result<Keeper> {
        let (taken, taken_writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let signals = SignalFd::new(&[CHILD, TERM])?;
        let idle = BTreeSet::new();
        Ok(Keeper { listener, lock, signals, taken, taken_writer, idle, refill_at: None })
    }

    fn run(mut self) {
        monitor::warm_up();
        if self.refill() == Role::Monitor {
            self.become_monitor();
        }
        loop {
            self.wait();
            self.note_taken();
            if !self.note_signals() {
                return self.stop();
            }
            let due = self.refill_at.is_some_and(|at| at <= Instant::now());
            if due || self.idle.is_empty() {
                if self.refill() == Role::Monitor {
                    self.become_monitor();
                }
            } else if self.idle.len() < IDLE_MONITORS && self.refill_at.is_none() {
                self.refill_at = Some(Instant::now() + REFILL_DELAY);
            }
        }
    }

    fn wait(&self) {
        let mut fds =
            [PollFd::new(&self.taken, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        let timeout = self.refill_at.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() }
        });
        // An interruption is as good as an event.
        let _ = poll(&mut fds, timeout.as_ref());
    }

    fn note_taken(&mut self) {
        let mut pid = [0; size_of::<i32>()];
        while rustix::io::read(&self.taken, &mut pid) == Ok(pid.len()) {
            self.idle.remove(&i32::from_ne_bytes(pid));
        }
    }

    /// False when the keeper was asked to stop.
    fn note_signals(&mut self) -> bool {
        let mut go_on = true;
        while let Some(signal) = self.signals.read() {
            go_on &= signal != TERM;
        }
        while let Ok(Some((pid, _))) = skiff_sys::process::wait_any(false) {
            self.idle.remove(&pid);
        }
        go_on
    }

    /// Forks as many monitors as are missing. Returns in each of them too.
    fn refill(&mut self) -> Role {
        self.refill_at = None;
        while self.idle.len() < IDLE_MONITORS {
            match fork() {
                Ok(Fork::Parent(pid)) => {
                    self.idle.insert(pid);
                }
                Ok(Fork::Child) => return Role::Monitor,
                Err(error) => {
                    complain(&format!("fork a monitor: {error}"));
                    self.refill_at = Some(Instant::now() + Duration::from_millis(100));
                    break;
                }
            }
        }
        Role::Keeper
    }

    /// The life of a forked monitor.
    fn become_monitor(self) -> ! {
        // An idle monitor is of no use without its keeper: the next one has its own.
        let keeper = rustix::process::getppid();
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        if rustix::process::getppid() != keeper {
            exit_now(1);
        }
        // The rest is the keeper's alone; most of all the lock, which would outlive it.
        let Keeper { listener, taken_writer, lock, signals, taken, .. } = self;
        drop((lock, signals, taken));
        let _ = rustix::thread::set_name(c"skiff-monitor");
        let _ = skiff_sys::process::become_subreaper();
        let idle = match Idle::new() {
            Ok(idle) => idle,
            Err(error) => {
                complain(&format!("set up a monitor: {error}"));
                exit_now(1);
            }
        };
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let socket = accept(&listener);
        let _ = rustix::process::set_parent_process_death_signal(None);
        // The pipe is full only if the keeper is stuck; then there is nobody to refill either.
        let _ = rustix::io::write(&taken_writer, &pid.to_ne_bytes());
        drop((listener, taken_writer));
        idle.serve(socket);
        exit_now(0)
    }

    /// Ends the idle monitors and the keeper; monitors with a container are not touched.
    fn stop(self) {
        for pid in &self.idle {
            if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        drop(self.lock);
    }
}

/// Waits for a connection by somebody who may have a monitor.
fn accept(listener: &OwnedFd) -> OwnedFd {
    loop {
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(socket) if Idle::accepts(&socket) => return socket,
            Ok(_) => {}
            // Out of descriptors or memory, perhaps: not for long.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Writes to the keeper's log, which monitors share.
pub(crate) fn complain(text: &str) {
    // There is nobody else to tell.
    let _ =
        rustix::io::write(rustix::stdio::stderr(), format!("skiff keeper: {text}\n").as_bytes());
}

fn file(what: &'static str, path: &Path) -> impl Fn(std::io::Error) -> KeeperError {
    let path = path.to_owned();
    move |source| KeeperError::File { what, path: path.clone(), source }
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> KeeperError {
    move |source| KeeperError::System { what, source }
}
