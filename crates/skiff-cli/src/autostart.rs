//! Starting our own daemon when nobody answers at its socket.
//!
//! The daemon must not be tied to the shell that happened to start it: a second copy of ourselves
//! (`system launch-daemon`) makes a session of its own and starts the daemon in it, so that no
//! terminal, no job control and no parent reaches it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::client::{Client, ClientError, Endpoint, Transport};
use crate::context::env;
use crate::failure::{Failure, describe_io};

/// A cold start on a slow disk takes well under a second; this is for restoring many containers.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Connects to the client's endpoint, starting the daemon first if nobody listens and we may.
pub(crate) fn connect_or_start(client: &Client, program: &str) -> Result<Transport, Failure> {
    let error = match client.connect() {
        Ok(connection) => return Ok(connection.transport),
        Err(error) => error,
    };
    let ClientError::Unreachable { nobody_listens: true, .. } = &error else {
        return Err(error.into());
    };
    if env("SKIFF_NO_AUTOSTART").is_some() {
        return Err(error.into());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new(format!(
            "{error}\nOnly root can start it: run '{program}' as root once, or name another daemon \
             with -H or DOCKER_HOST."
        )));
    }
    let Endpoint::Unix(socket) = client.endpoint() else { return Err(error.into()) };
    start(socket)
}

fn start(socket: &Path) -> Result<Transport, Failure> {
    let data_root = env("SKIFF_DATA_ROOT");
    let log = log_path(data_root.as_deref());
    tell!("Starting the Skiff daemon (it keeps running; its log is {}).", log.display());
    let fail = |what: &str, error: std::io::Error| {
        Failure::new(format!("start the Skiff daemon: {what}: {}", describe_io(&error)))
    };
    let (mut file, log_start) = open_log(&log).map_err(|error| fail("open its log", error))?;
    let mut arguments = vec!["system".to_owned(), "launch-daemon".to_owned(), "--".to_owned()];
    if let Some(root) = &data_root {
        arguments.extend(["--data-root".to_owned(), root.clone()]);
    }
    if let Some(root) = env("SKIFF_EXEC_ROOT") {
        arguments.extend(["--exec-root".to_owned(), root]);
    }
    let output = Command::new("/proc/self/exe")
        .arg0("skiff")
        .args(&arguments)
        .stdin(Stdio::null())
        .stderr(file.try_clone().map_err(|error| fail("open its log", error))?)
        .output()
        .map_err(|error| fail("run /proc/self/exe", error))?;
    let pid = String::from_utf8_lossy(&output.stdout).trim().parse().ok().and_then(Pid::from_raw);
    let Some(pid) = pid else {
        return Err(Failure::new(format!(
            "start the Skiff daemon: {}",
            tail(&mut file, log_start)
        )));
    };
    wait_for_socket(socket, pid).ok_or_else(|| {
        Failure::new(format!(
            "the Skiff daemon did not come up; the end of its log {}:\n{}",
            log.display(),
            tail(&mut file, log_start)
        ))
    })
}

/// Retries until the socket answers, the daemon is gone, or patience ends.
fn wait_for_socket(socket: &Path, pid: Pid) -> Option<Transport> {
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(stream) = UnixStream::connect(socket) {
            return Some(Transport::Unix(stream));
        }
        if Instant::now() >= deadline {
            return None;
        }
        let gone = match &pidfd {
            Some(pidfd) => {
                let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
                poll(&mut fds, Some(&RETRY)).is_ok_and(|ready| ready > 0)
            }
            None => rustix::process::test_kill_process(pid).is_err(),
        };
        if gone {
            // It may have lost a race against another daemon, which answers then.
            return UnixStream::connect(socket).ok().map(Transport::Unix);
        }
    }
}

/// A daemon with its own data root logs there, so that tests leave nothing behind.
fn log_path(data_root: Option<&str>) -> PathBuf {
    match data_root {
        Some(root) => Path::new(root).join("daemon.log"),
        None => "/var/log/skiff.log".into(),
    }
}

fn open_log(path: &Path) -> std::io::Result<(File, u64)> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn tail(file: &mut File, from: u64) -> String {
    let mut text = String::new();
    let _ = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_string(&mut text));
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// `system launch-daemon`: leaves the session of the caller, starts the daemon, prints its pid.
pub(crate) fn launch(arguments: &[String]) -> Result<(), Failure> {
    rustix::process::setsid().map_err(|error| Failure::new(format!("start a session: {error}")))?;
    std::env::set_current_dir("/")?;
    let stderr = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)
        .map_err(|error| Failure::new(format!("keep the log open: {error}")))?;
    // Not a leader of a session, so that a terminal it may open cannot become its own.
    let child = Command::new("/proc/self/exe")
        .arg0("skiff")
        .arg("daemon")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::from(stderr))
        .process_group(0)
        .spawn()?;
    say!("{}", child.id());
    Ok(())
}
