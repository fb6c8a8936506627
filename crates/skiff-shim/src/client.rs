//! The daemon's side: starting the keeper, connecting to monitors, and what a dead monitor left.
//!
//! Everything here is synchronous and works on plain descriptors; an asynchronous daemon wraps
//! the sockets and uses [`crate::frame`] for what goes through them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, MemfdFlags, Mode, OFlags, SealFlags, flock};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

pub use crate::frame::{
    FrameError, FrameReader, MAX_DESCRIPTORS, frame, recv_with_fds, send_with_fds,
};
use crate::keeper::{EXIT_HELD, Identity, KEEPER_LOCK, KEEPER_SOCKET, KEEPER_VERSION, VERSION};
use crate::protocol::{EXIT_RECORD, ExitRecord, MONITOR_SOCKET};

/// How long an old keeper may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Whose keeper, and from which executable.
#[derive(Debug, Clone, Copy)]
pub struct KeeperConfig<'a> {
    /// The executable; called by the name `skiff-keeper`, with the keeper's arguments.
    pub executable: &'a Path,
    /// Exists; others may pass through it and not list it (0711).
    pub exec_root: &'a Path,
    pub data_root: &'a Path,
}

/// Why there is no keeper.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("{what} {path}")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("start the keeper of {exec_root}")]
    Start {
        exec_root: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the keeper of {exec_root} ended with {status}: {output}")]
    Ended { exec_root: PathBuf, status: std::process::ExitStatus, output: String },
    #[error("the old keeper of {0} does not stop")]
    OldStays(PathBuf),
}

/// Sees to it that a keeper of this very executable serves the exec root: starts one if there is
/// none, and replaces one of another version, whose containers go on.
///
/// # Errors
///
/// When there is no keeper afterwards.
pub fn ensure_keeper(config: KeeperConfig<'_>) -> Result<(), ClientError> {
    let build = build_of(config.executable)?;
    let _one_at_a_time = starting(config.exec_root)?;
    if is_locked(config.exec_root)? {
        let identity = read_identity(config.exec_root);
        if identity.as_ref().is_some_and(|it| it.build == build && it.version == VERSION) {
            return Ok(());
        }
        stop_keeper(config.exec_root)?;
    }
    start_keeper(config)
}

/// Starts a keeper from a sealed copy of the executable in memory, which nothing in a container
/// can reach. Returns when it serves, or if another one does.
///
/// # Errors
///
/// When it could not be started.
pub fn start_keeper(config: KeeperConfig<'_>) -> Result<(), ClientError> {
    let failed = |source| ClientError::Start { exec_root: config.exec_root.to_owned(), source };
    let build = build_of(config.executable)?;
    let copy = sealed_copy(config.executable)?;
    // Close-on-exec does no harm: the descriptor is looked up before it is closed.
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&copy));
    let mut command = Command::new(path);
    command
        .arg0("skiff-keeper")
        .arg("--exec-root")
        .arg(config.exec_root)
        .arg("--data-root")
        .arg(config.data_root)
        .arg("--build")
        .arg(build)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .current_dir("/");
    for name in ["PATH", "DBUS_SYSTEM_BUS_ADDRESS", "XDG_RUNTIME_DIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let ended = command.output().map_err(failed)?;
    if ended.status.success() || ended.status.code() == Some(i32::from(EXIT_HELD)) {
        return Ok(());
    }
    Err(ClientError::Ended {
        exec_root: config.exec_root.to_owned(),
        status: ended.status,
        output: String::from_utf8_lossy(&ended.stderr).trim_end().to_owned(),
    })
}

/// Asks a keeper to stop and waits until it has. Containers go on. Without a keeper it does
/// nothing.
///
/// # Errors
///
/// When it does not stop.
pub fn stop_keeper(exec_root: &Path) -> Result<(), ClientError> {
    let begun = Instant::now();
    while is_locked(exec_root)? {
        if begun.elapsed() > STOP_TIMEOUT {
            return Err(ClientError::OldStays(exec_root.to_owned()));
        }
        // Read again each time: a keeper that is starting writes it after it has the lock.
        let pid = read_identity(exec_root).and_then(|identity| Pid::from_raw(identity.pid));
        if let Some(process) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) {
            // Looked at after the pidfd was opened, so it is the process that gets the signal.
            if is_keeper(pid) {
                let _ = pidfd_send_signal(&process, Signal::TERM);
            }
            let mut fds = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
            let second = rustix::time::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
            let _ = rustix::event::poll(&mut fds, Some(&second));
        } else {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(())
}

/// Connects to the keeper of an exec root: to an idle monitor, which waits for a launch request.
///
/// # Errors
///
/// When no keeper listens.
pub fn connect_keeper(exec_root: &Path) -> io::Result<UnixStream> {
    connect_in(exec_root, KEEPER_SOCKET)
}

/// Connects to the monitor of the container with this run directory.
///
/// # Errors
///
/// When none listens: the container has ended, and [`read_exit_record`] tells how, or its monitor
/// was killed.
pub fn connect_monitor(run_dir: &Path) -> io::Result<UnixStream> {
    connect_in(run_dir, MONITOR_SOCKET)
}

/// Reads how a container ended; `None` if its monitor has not said.
///
/// # Errors
///
/// When there is a record that cannot be read.
pub fn read_exit_record(run_dir: &Path) -> io::Result<Option<ExitRecord>> {
    match std::fs::read(run_dir.join(EXIT_RECORD)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn connect_in(directory: &Path, name: &str) -> io::Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    skiff_sys::socket::connect_at(socket.as_fd(), directory.as_fd(), name)?;
    Ok(UnixStream::from(socket))
}

/// Held by whoever looks for a keeper to start or stop one.
fn starting(exec_root: &Path) -> Result<OwnedFd, ClientError> {
    let path = exec_root.join("keeper.starting");
    let failed =
        |errno: Errno| ClientError::File { what: "lock", path: path.clone(), source: errno.into() };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
    loop {
        match flock(&lock, FlockOperation::LockExclusive) {
            Ok(()) => return Ok(lock),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
}

/// Whether a keeper lives: it holds the lock as long as it does.
fn is_locked(exec_root: &Path) -> Result<bool, ClientError> {
    let path = exec_root.join(KEEPER_LOCK);
    let failed = |errno: Errno| ClientError::File {
        what: "look at",
        path: path.clone(),
        source: errno.into(),
    };
    let lock = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(false),
        other => other.map_err(failed)?,
    };
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::AGAIN) => Ok(true),
        Err(errno) => Err(failed(errno)),
    }
}

fn read_identity(exec_root: &Path) -> Option<Identity> {
    serde_json::from_slice(&std::fs::read(exec_root.join(KEEPER_VERSION)).ok()?).ok()
}

/// A pid that was written down may be somebody else's by now.
fn is_keeper(pid: Option<Pid>) -> bool {
    let Some(pid) = pid else { return false };
    std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()))
        .is_ok_and(|line| line.starts_with(b"skiff-keeper\0--exec-root\0"))
}

/// Tells one build from another without reading it.
fn build_of(executable: &Path) -> Result<String, ClientError> {
    let metadata = std::fs::metadata(executable).map_err(|source| ClientError::File {
        what: "look at",
        path: executable.to_owned(),
        source,
    })?;
    Ok(format!("{:x}-{:x}.{:x}", metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

fn sealed_copy(executable: &Path) -> Result<OwnedFd, ClientError> {
    let failed = |source| ClientError::File { what: "copy", path: executable.to_owned(), source };
    let mut from = std::fs::File::open(executable).map_err(failed)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC (Linux 6.3) is wanted where `vm.memfd_noexec` is set; older kernels refuse it.
    let copy = rustix::fs::memfd_create("skiff-keeper", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("skiff-keeper", flags))
        .map_err(|errno| failed(errno.into()))?;
    let mut to = std::fs::File::from(copy);
    io::copy(&mut from, &mut to).map_err(failed)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&to, seals).map_err(|errno| failed(errno.into()))?;
    Ok(to.into())
}
