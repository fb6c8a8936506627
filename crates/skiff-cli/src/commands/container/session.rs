//! Standing in for a container's process: attach, signals, window size, and its exit code.
//!
//! `run`, `start -a` and `attach` share this. The order of requests matters: attach and wait are
//! under way before start is sent, so that a process that ends at once loses neither output nor
//! exit code.

use std::io;
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use skiff_api::WaitResponse;

use super::path;
use crate::client::{Client, ClientError, Pending, Query, Request, Response};
use crate::failure::Failure;
use crate::stream::{DetachKeys, End, Pump, Signals, WINDOW_CHANGED, parse_keys, signal_name};
use crate::terminal::{self, RawMode};

/// What to attach.
pub(super) struct Attachment<'a> {
    pub(super) container: &'a str,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    pub(super) tty: bool,
    /// As the user wrote them; empty for the default.
    pub(super) detach_keys: &'a str,
    pub(super) signal_proxy: bool,
}

impl Attachment<'_> {
    /// Whether any stream is wanted.
    pub(super) fn any(&self) -> bool {
        self.stdin || self.stdout || self.stderr
    }

    /// Sends the attach request.
    pub(super) fn send(&self, client: &mut Client) -> Result<Pending, ClientError> {
        let path = self.wishes(Query::new(path(self.container, "/attach")));
        client.send(Request::new("POST", path).upgrade())
    }

    /// Adds what is wanted to the query of a request that attaches.
    pub(super) fn wishes(&self, query: Query) -> Query {
        query
            .add("stream", "1")
            .add_switch("stdin", self.stdin)
            .add_switch("stdout", self.stdout)
            .add_switch("stderr", self.stderr)
            .add_given("detachKeys", self.detach_keys)
    }
}

/// Sends a wait for the container to exit or to be gone. With `start` a daemon of ours also starts
/// it, and answers when it has, or why it has not.
pub(super) fn send_wait(
    client: &mut Client,
    container: &str,
    condition: &str,
    start: bool,
) -> Result<Pending, ClientError> {
    let path =
        Query::new(path(container, "/wait")).add("condition", condition).add_switch("start", start);
    client.send(Request::new("POST", path))
}

/// How a session ended.
pub(super) enum Ended {
    /// The process did, with this status.
    Exited(i64),
    /// The user left it running.
    Detached,
    /// A signal told us to end; it is not for the container.
    Signalled(i32),
}

/// An attached container.
pub(super) struct Session<'a> {
    client: &'a mut Client,
    attachment: &'a Attachment<'a>,
    signals: Option<&'a Signals>,
    /// A signal that ends us.
    fatal: Option<i32>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        client: &'a mut Client,
        attachment: &'a Attachment<'a>,
        signals: Option<&'a Signals>,
    ) -> Self {
        Self { client, attachment, signals, fatal: None }
    }

    /// Streams until the process ends or the user leaves, then waits for the status.
    pub(super) fn run(
        mut self,
        stream: Option<crate::client::Upgraded>,
        wait: Response,
    ) -> Result<Ended, Failure> {
        if let Some(stream) = stream {
            let raw = self.enter_raw_mode()?;
            if self.attachment.tty {
                self.resize();
            }
            let keys = parse_keys(self.attachment.detach_keys).map_err(Failure::new)?;
            let typed = self.attachment.tty && self.attachment.stdin;
            let pump = Pump {
                connection: stream.connection,
                stdin: self.attachment.stdin,
                tty: self.attachment.tty,
                detach: typed.then(|| DetachKeys::new(keys)),
                signals: self.signals,
                stdout: self.attachment.stdout,
                stderr: self.attachment.stderr,
            };
            let end = pump.run(&mut |signal| self.on_signal(signal));
            drop(raw);
            if let Some(signal) = self.fatal {
                return Ok(Ended::Signalled(signal));
            }
            if end? == End::Detached {
                return Ok(Ended::Detached);
            }
        }
        self.status(wait)
    }

    fn enter_raw_mode(&self) -> io::Result<Option<RawMode>> {
        if self.attachment.tty && self.attachment.stdin { RawMode::enter() } else { Ok(None) }
    }

    /// Waits for the exit status, passing signals on meanwhile.
    fn status(&mut self, wait: Response) -> Result<Ended, Failure> {
        if let Some(signals) = self.signals {
            while !wait.has_buffered_input() {
                let mut fds =
                    [PollFd::new(&wait, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
                match poll(&mut fds, None) {
                    Err(rustix::io::Errno::INTR) => continue,
                    result => result.map_err(io::Error::from)?,
                };
                let [answered, signalled] = fds.map(|fd| !fd.revents().is_empty());
                while signalled && let Some(signal) = signals.next() {
                    let _ = self.on_signal(signal);
                    if let Some(signal) = self.fatal {
                        return Ok(Ended::Signalled(signal));
                    }
                }
                if answered {
                    break;
                }
            }
        }
        let answer: WaitResponse = wait.json()?;
        match answer.error {
            Some(error) if !error.message.is_empty() => Err(Failure::with_code(
                125,
                format!("Error waiting for container: {}", error.message),
            )),
            _ => Ok(Ended::Exited(answer.status_code)),
        }
    }

    fn on_signal(&mut self, signal: i32) -> io::Result<()> {
        const ENDING: [i32; 4] = [1, 2, 3, 15];
        if signal == WINDOW_CHANGED {
            if self.attachment.tty {
                self.resize();
            }
        } else if self.attachment.signal_proxy {
            let path = Query::new(path(self.attachment.container, "/kill"))
                .add("signal", &signal_name(signal));
            // The process may be gone already; then there is nothing to tell.
            let _ = self.client.post(path).and_then(Response::finish);
        } else if ENDING.contains(&signal) {
            self.fatal = Some(signal);
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    fn resize(&mut self) {
        resize(self.client, self.attachment.container, 0);
    }
}

/// Gives the container's terminal the size of ours, and `extra` rows.
pub(super) fn resize(client: &mut Client, container: &str, extra: u16) {
    let Some((rows, columns)) = terminal::size() else { return };
    let path = Query::new(path(container, "/resize"))
        .add("h", &rows.saturating_add(extra).to_string())
        .add("w", &columns.to_string());
    // It fails when the process has ended, and then the size does not matter.
    let _ = client.post(path).and_then(Response::finish);
}

/// Gives the removal of a container that did not start a moment.
pub(super) fn wait_briefly(wait: &Response) {
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    if !wait.has_buffered_input() {
        let fd = wait.as_fd();
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&patience));
    }
}

/// The result of a command whose session ended so.
pub(super) fn result(ended: &Ended) -> Result<(), Failure> {
    match ended {
        Ended::Exited(status) => Failure::from_status(*status),
        Ended::Detached => Ok(()),
        Ended::Signalled(signal) => Err(Failure::exit(128 + *signal as u8)),
    }
}
