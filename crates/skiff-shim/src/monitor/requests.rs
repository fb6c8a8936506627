//! What a daemon asks of a monitor, and the answers.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use skiff_model::id_map::IdMap;
use skiff_model::oci::{NamespaceKind, Spec};
use skiff_runtime::launch::{LaunchError, LaunchErrorKind};

use super::connection::Connection;
use super::container::Container;
use super::exit::Ending;
use super::listener::Listener;
use super::poll::{Interest, Source};
use super::streams::Streams;
use super::task::{Started, Task};
use super::{INIT, Idle, Monitor};
use crate::log::{JsonFile, Options};
use crate::protocol::{
    Answer, AttachRequest, ExecRequest, LaunchRequest, LogTarget, MONITOR_SOCKET, Message, Op,
    Reply, Request, Status,
};

/// A refusal as a message.
pub(super) fn refused(seq: u64, why: &str) -> Message {
    reply(seq, Answer::Refused(why.to_owned()))
}

fn reply(seq: u64, answer: Answer) -> Message {
    Message::Reply(Reply { seq, answer })
}

impl Idle {
    /// Starts the container. On failure nothing of it is left, and the daemon has been told.
    pub(super) fn launch(
        mut self,
        mut connection: Connection,
        seq: u64,
        mut request: LaunchRequest,
    ) -> Option<Monitor> {
        connection.listens = true;
        let run_dir = std::mem::take(&mut request.run_dir);
        let clients = std::mem::take(&mut request.attach);
        let mut started = match self.start(&request, &run_dir) {
            Ok(started) => started,
            Err(error) => {
                let _ = connection.send(&self.hub, &reply(seq, Answer::Failed(error)));
                self.deliver(connection);
                return None;
            }
        };
        let started_at = crate::log::now();
        for request in clients {
            // A client without a socket was not sent one; there is nobody to tell.
            if let Some(socket) = connection.descriptors.pop_front() {
                started.task.attach(&mut self.hub, request, socket);
            }
        }
        let answer = Answer::Started { pid: started.container.pid(), at: started_at };
        let sent = connection.send(&self.hub, &reply(seq, answer));
        started.task.settle(&mut self.hub);
        self.hub.touch();
        let mut connections = BTreeMap::new();
        if sent.is_ok() {
            connections.insert(1, connection);
        }
        Some(Monitor {
            hub: self.hub,
            children: self.children,
            null: self.null,
            listener: Some(started.listener),
            connections,
            tasks: BTreeMap::from([(INIT, started.task)]),
            ending: Ending::new(!has_own_pid_namespace(&request.launch.spec)),
            container: started.container,
            root: foreign_root(&request.launch.spec),
            run_dir,
            started_at,
            oom: None,
            oom_kills: 0,
            last_id: 1,
        })
    }

    fn start(&mut self, request: &LaunchRequest, run_dir: &Path) -> Result<Launched, LaunchError> {
        let streams = if request.tty {
            let process = request.launch.spec.process.as_ref();
            let size = process.and_then(|process| process.console_size);
            Streams::terminal(size, request.open_stdin)
        } else {
            Streams::pipes(self.null.as_fd(), request.open_stdin).map_err(no_streams)?
        };
        streams.give_to(foreign_root(&request.launch.spec)).map_err(no_streams)?;
        let mut prepared = std::mem::take(&mut self.prepared);
        let mut files = None;
        let mut open = || files = Some(Files::open(run_dir, &request.log));
        let mut container = match &request.runtime {
            None => Container::launch(&request.launch, streams.stdio(), prepared, &mut open)?,
            Some(runtime) => {
                prepared.return_home()?;
                // Before all that takes long: a daemon that comes meanwhile must find us.
                files = Some(Ok(Files::open(run_dir, &request.log)?));
                Container::launch_by(runtime, &request.launch, streams.stdio())?
            }
        };
        let files = files.expect("opened while the container was prepared");
        let owned = own(&mut container, streams, request.stdin_once);
        match files.and_then(|files| Ok((files, owned?))) {
            Ok((files, mut task)) => {
                self.hub.poll.add(&files.listener, Source::Listener, Interest::IN);
                task.log = files.log;
                Ok(Launched { listener: files.listener, container, task })
            }
            Err(error) => {
                container.abandon();
                Err(error)
            }
        }
    }

    /// Waits a moment until a last answer has gone: the process is about to end.
    fn deliver(self, mut connection: Connection) {
        let mut events = super::poll::no_events();
        while connection.has_unsent() {
            let waited = self.hub.poll.wait(&mut events, Some(super::LAUNCH_TIMEOUT));
            if waited == 0 {
                return;
            }
            connection.flush(&self.hub);
        }
    }
}

/// Takes the started init over, which fails only without descriptors.
fn own(
    container: &mut Container,
    streams: Streams<'_>,
    closes_input: bool,
) -> Result<Task, LaunchError> {
    let started = Started {
        pid: container.pid(),
        pidfd: container.pidfd().map_err(failed("copy a descriptor"))?,
        console: container.take_console(),
    };
    let ours = streams.into_ours(started.console.as_ref()).map_err(no_streams)?;
    Ok(Task::new(INIT, None, started, ours, closes_input))
}

/// What a monitor needs once its container runs.
struct Files {
    listener: Listener,
    log: Option<JsonFile>,
}

impl Files {
    fn open(run_dir: &Path, log: &LogTarget) -> Result<Files, LaunchError> {
        let path = run_dir.join(MONITOR_SOCKET);
        let listener = Listener::open(run_dir)
            .map_err(|error| failed(&format!("listen on {}", path.display()))(error))?;
        Ok(Files { listener, log: open_log(log)? })
    }
}

/// What starting brought into being.
struct Launched {
    listener: Listener,
    container: Container,
    task: Task,
}

impl Monitor {
    /// Serves every whole request that has arrived on a connection.
    pub(super) fn serve_requests(&mut self, id: u32) {
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            match connection.next() {
                Ok(Some(request)) => self.serve(id, request),
                Ok(None) => return,
                Err(_) => return self.drop_connection(id),
            }
        }
    }

    fn serve(&mut self, id: u32, request: Request) {
        self.hub.touch();
        let answer = match request.op {
            Op::Launch(_) => refuse("this monitor has a container already"),
            Op::Hello => self.hello(),
            Op::Attach(attach) => self.attach(id, attach),
            Op::Exec(exec) => self.exec(id, *exec),
            Op::Signal { exec, signal } => self.signal(exec.as_deref(), signal),
            Op::Resize { exec, width, height } => match self.find(exec.as_deref()) {
                Some(task) if task.resize(width, height) => Answer::Done,
                Some(_) => refuse("the process has no terminal"),
                None => not_running(exec.as_deref()),
            },
            Op::ReopenLog => self.reopen_log(),
        };
        // What the request caused comes before its answer.
        self.publish();
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.listens |= matches!(answer, Answer::Status(_));
        if connection.send(&self.hub, &reply(request.seq, answer)).is_err() {
            self.drop_connection(id);
        }
    }

    fn hello(&self) -> Answer {
        let execs = self.tasks.values().filter(|task| !task.exited);
        Answer::Status(Status {
            pid: self.container.pid(),
            started_at: self.started_at,
            execs: execs.filter_map(|task| Some((task.exec.clone()?, task.pid))).collect(),
            exited: self.ending.record(),
            released: self.ending.is_released(),
        })
    }

    fn attach(&mut self, id: u32, request: AttachRequest) -> Answer {
        let connection = self.connections.get_mut(&id);
        let Some(socket) = connection.and_then(|it| it.descriptors.pop_front()) else {
            return refuse("attach came without a socket");
        };
        let hub = &mut self.hub;
        match self.tasks.get_mut(&INIT).filter(|task| !task.exited) {
            Some(task) => {
                task.attach(hub, request, socket);
                Answer::Done
            }
            None => not_running(None),
        }
    }

    fn exec(&mut self, id: u32, request: ExecRequest) -> Answer {
        let mut socket = None;
        if request.attach.is_some() {
            let connection = self.connections.get_mut(&id);
            socket = connection.and_then(|it| it.descriptors.pop_front());
            if socket.is_none() {
                return refuse("exec came without its client's socket");
            }
        }
        if self.ending.has_begun() {
            return not_running(None);
        }
        if self.find(Some(&request.exec)).is_some() {
            return refuse("an exec of that name runs already");
        }
        match self.start_exec(request, socket) {
            Ok(answer) => answer,
            Err(error) => Answer::Failed(error),
        }
    }

    fn start_exec(
        &mut self,
        request: ExecRequest,
        socket: Option<OwnedFd>,
    ) -> Result<Answer, LaunchError> {
        let streams = if request.tty {
            Streams::terminal(request.launch.process.console_size, request.open_stdin)
        } else if socket.is_some() {
            Streams::pipes(self.null.as_fd(), request.open_stdin).map_err(no_streams)?
        } else {
            Streams::null(self.null.as_fd())
        };
        streams.give_to(self.root).map_err(no_streams)?;
        let joined = self.container.exec(&request.launch, streams.stdio())?;
        let at = crate::log::now();
        let pid = joined.pid;
        let ours = streams.into_ours(joined.console.as_ref()).map_err(|errno| {
            // Nobody would own it. It is reaped as any child.
            let _ = skiff_sys::process::send_signal(joined.pidfd.as_fd(), SIGKILL);
            no_streams(errno)
        })?;
        let started = Started { pid, pidfd: joined.pidfd, console: joined.console };
        let number = self.next_id();
        let mut task = Task::new(number, Some(request.exec), started, ours, true);
        if let (Some(attach), Some(socket)) = (request.attach, socket) {
            task.attach(&mut self.hub, attach, socket);
        }
        task.settle(&mut self.hub);
        self.tasks.insert(number, task);
        Ok(Answer::Started { pid, at })
    }

    fn signal(&mut self, exec: Option<&str>, signal: i32) -> Answer {
        let send = |task: &Task| match exec {
            Some(_) => task.signal(signal),
            None => self.container.signal(signal),
        };
        match self.find(exec).map(send) {
            Some(Ok(())) => Answer::Done,
            // It has ended, and we have not heard of it yet.
            Some(Err(error)) if error.raw_os_error() == Some(ESRCH) => not_running(exec),
            Some(Err(error)) => refuse(&format!("signal {signal}: {error}")),
            None => not_running(exec),
        }
    }

    fn reopen_log(&mut self) -> Answer {
        if let Some(task) = self.tasks.get_mut(&INIT) {
            task.detach_all(&mut self.hub);
            if let Some(log) = &mut task.log {
                log.reopen();
            }
        }
        Answer::Done
    }

    /// A running task: init, or the exec of that name.
    fn find(&self, exec: Option<&str>) -> Option<&Task> {
        self.tasks.values().find(|task| task.exec.as_deref() == exec && !task.exited)
    }
}

const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();

const ESRCH: i32 = rustix::io::Errno::SRCH.raw_os_error();

fn refuse(why: &str) -> Answer {
    Answer::Refused(why.to_owned())
}

fn not_running(exec: Option<&str>) -> Answer {
    match exec {
        Some(exec) => refuse(&format!("exec {exec} is not running")),
        None => refuse("the container is not running"),
    }
}

fn has_own_pid_namespace(spec: &Spec) -> bool {
    let namespaces = spec.linux.iter().flat_map(|linux| &linux.namespaces);
    namespaces
        .into_iter()
        .any(|namespace| namespace.kind == NamespaceKind::Pid && namespace.path.is_none())
}

/// User and group that the root of a container with a user namespace is on the host.
fn foreign_root(spec: &Spec) -> Option<(u32, u32)> {
    let linux = spec.linux.as_ref()?;
    let (uids, gids) = (linux.uid_mappings.clone(), linux.gid_mappings.clone());
    IdMap { uids, gids }.root()
}

fn open_log(target: &LogTarget) -> Result<Option<JsonFile>, LaunchError> {
    let LogTarget::JsonFile { path, max_size, max_file, compress, attrs } = target else {
        return Ok(None);
    };
    let options = Options {
        path: path.clone(),
        max_size: *max_size,
        max_file: *max_file,
        compress: *compress,
        attrs: attrs.clone(),
    };
    let describe = |error: crate::log::LogError| LaunchError {
        kind: LaunchErrorKind::Failed,
        message: match std::error::Error::source(&error) {
            Some(cause) => format!("failed to initialize logging driver: {error}: {cause}"),
            None => format!("failed to initialize logging driver: {error}"),
        },
    };
    JsonFile::open(options).map(Some).map_err(describe)
}

fn failed(what: &str) -> impl Fn(std::io::Error) -> LaunchError {
    move |error| LaunchError { kind: LaunchErrorKind::Failed, message: format!("{what}: {error}") }
}

fn no_streams(errno: rustix::io::Errno) -> LaunchError {
    failed("make the standard streams")(errno.into())
}
