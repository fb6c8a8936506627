//! The words the daemon and a container's monitor speak, and how they are framed.
//!
//! A frame is a little-endian `u32` length (at most [`MAX_FRAME`]) and that many bytes of JSON.
//! File descriptors travel as `SCM_RIGHTS` with the first byte of the frame they belong to. JSON,
//! because a monitor outlives daemons: the next daemon may be a newer version, and unknown fields
//! must be ignored, missing ones defaulted.
//!
//! One connection is one conversation: requests carry a `seq`, each is answered once by a
//! [`Reply`] with that `seq`, and [`Event`]s come between replies in the order they happened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skiff_runtime::launch::{ExecLaunch, Launch, LaunchError};

/// Largest frame accepted, in bytes.
pub const MAX_FRAME: usize = 8 << 20;

/// Name of a monitor's socket in its container's run directory.
pub const MONITOR_SOCKET: &str = "monitor.sock";

/// Name of the exit record ([`ExitRecord`] as JSON) in a container's run directory. It is written
/// (temporary file and rename) before the monitor's socket closes.
pub const EXIT_RECORD: &str = "exit.json";

/// Daemon to monitor.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    pub seq: u64,
    pub op: Op,
}

/// What the daemon can ask.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// First request to an idle monitor: become this container's monitor and start it. Answered by
    /// [`Answer::Started`] or [`Answer::Failed`]. Descriptors: one for each of `attach`, in order.
    Launch(Box<LaunchRequest>),
    /// First request on a further connection to a monitor. Answered by [`Answer::Status`]; from
    /// then on this connection receives the events. It may be asked again at any time: events that
    /// happened before come before its answer, so asking shows whether something has ended.
    Hello,
    /// Connect a client's stream to the container. Descriptor: the stream's socket.
    Attach(AttachRequest),
    /// Start a further process. Answered by [`Answer::Started`] or [`Answer::Failed`].
    /// Descriptor: the client's socket, if `attach` is set. After a failure the monitor has only
    /// closed its copy of the socket: the daemon's still writes.
    Exec(Box<ExecRequest>),
    /// Send a signal to the container's init, or to an exec's process.
    Signal { exec: Option<String>, signal: i32 },
    /// Set the size of a terminal.
    Resize { exec: Option<String>, width: u16, height: u16 },
    /// Close every attached client, and reopen the log file (it was truncated or replaced).
    ReopenLog,
}

/// A container to start and how its streams are kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct LaunchRequest {
    pub launch: Launch,
    /// The container's run directory; exists. Gets [`MONITOR_SOCKET`] and [`EXIT_RECORD`].
    pub run_dir: PathBuf,
    /// Give the container a terminal (then stdout and stderr are one stream).
    pub tty: bool,
    /// Keep stdin open for clients to attach to; otherwise it is /dev/null.
    pub open_stdin: bool,
    /// Close stdin when the first client that attached to it closes its side.
    pub stdin_once: bool,
    pub log: LogTarget,
    /// Clients waiting for the container to start.
    pub attach: Vec<AttachRequest>,
    /// The program that runs the container; `None` is ourselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<ExternalRuntime>,
}

/// An OCI runtime that is another program, with runc's command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalRuntime {
    /// What the administrator calls it.
    pub name: String,
    /// A path, or a name that is looked up in `PATH`.
    pub path: PathBuf,
    /// Come before all arguments of ours.
    pub args: Vec<String>,
    /// Where it keeps the state of its containers (`--root`).
    pub root: PathBuf,
    /// The container's bundle, to be made; its parent need not exist. See [`crate::external`].
    pub bundle: PathBuf,
    /// It has systemd manage control groups.
    pub systemd_cgroup: bool,
}

/// Where output is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogTarget {
    #[default]
    None,
    /// Docker's json-file format.
    JsonFile {
        path: PathBuf,
        /// Rotate when the file would grow past this many bytes; 0 is never.
        max_size: u64,
        /// Files kept, the current one included; at least 1.
        max_file: u32,
        compress: bool,
        /// `attrs` member of each line (from labels, env and tag options).
        attrs: BTreeMap<String, String>,
    },
}

/// One client's wishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachRequest {
    /// Names the client in [`Event::AttachEnded`].
    pub client: u64,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Frame output with Docker's 8-byte headers (`application/vnd.docker.multiplexed-stream`);
    /// otherwise it is raw.
    pub multiplexed: bool,
    /// Key sequence that detaches a terminal's client; empty is none.
    pub detach_keys: Vec<u8>,
    /// Bytes the client sent before its socket was handed over.
    pub early_input: Vec<u8>,
}

/// A further process and how its streams are kept.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Names the exec in later requests and in [`Event::ExecExited`].
    pub exec: String,
    pub launch: ExecLaunch,
    pub tty: bool,
    pub open_stdin: bool,
    /// The client; `None` runs detached, with output discarded.
    pub attach: Option<AttachRequest>,
}

/// Monitor to daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    Reply(Reply),
    Event(Event),
}

/// The answer to request `seq`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub seq: u64,
    pub answer: Answer,
}

/// How a request went.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    Started {
        /// In the host's pid namespace.
        pid: i32,
        /// Nanoseconds since the epoch.
        at: i64,
    },
    /// The container or exec was not started, nothing of it is left. After a failed
    /// [`Op::Launch`] the monitor goes away.
    Failed(LaunchError),
    Status(Status),
    /// The request named no running process or was out of order.
    Refused(String),
}

/// A monitor's view of its container.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    pub pid: i32,
    pub started_at: i64,
    /// Ids of running execs with their pids.
    pub execs: BTreeMap<String, i32>,
    /// Set when the container has ended and the monitor is about to go away.
    #[serde(default)]
    pub exited: Option<ExitRecord>,
    /// [`Event::Released`] has happened.
    #[serde(default)]
    pub released: bool,
}

/// Things that happen by themselves.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The container's init has ended and the exit record is on disk. Every byte it wrote is in
    /// the log and on its way to the clients.
    Exited(ExitRecord),
    /// After [`Event::Exited`]: the socket's name, the control group and the mounts are gone, so the
    /// same container may be launched again. The monitor itself may stay a little, for slow clients.
    Released,
    /// An exec's process has ended. Comes before its client sees the end of its stream.
    ExecExited { exec: String, exit_code: i32 },
    /// The kernel killed a process of the container for want of memory.
    Oom,
    /// A client is gone: by its detach keys, or by closing its stream.
    AttachEnded { client: u64, detached: bool },
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit status, or 128 + signal number.
    pub exit_code: i32,
    pub oom_killed: bool,
    /// Nanoseconds since the epoch.
    pub at: i64,
}
