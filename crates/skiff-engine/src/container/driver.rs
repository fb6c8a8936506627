//! One task per container: the only one that changes its state, talks to its monitor and writes
//! its record.
//!
//! Requests come through a bounded queue and are judged by [`super::state::step`]; what they cause
//! is carried out in `effect.rs`. A request whose answer depends on something still going on (a
//! start, a stop) leaves its reply with the driver, which goes on serving others. Readers get the
//! published view and never come here.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use skiff_api::{Health, WaitResponse};
use skiff_shim::protocol::{
    Answer, AttachRequest, Event as MonitorEvent, ExecRequest, ExitRecord, Message, Op, Reply,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::monitor::Monitor;
use super::record::{Life, Paths, Record};
use super::registry::{Container, View};
use super::state::{Denied, Effect, Event, Live, Next, State, step};
use super::wait::Waiters;
use super::{RemoveOptions, WaitCondition};
use crate::error::{Error, Result};
use crate::restart::{Backoff, Ending};
use crate::{Core, clock};

/// Requests that wait for a driver at most; more wait outside.
const QUEUE: usize = 32;

/// How long a start waits for clients that announced to attach first.
const ATTACH_GRACE: Duration = Duration::from_secs(2);

/// How long a monitor may take to start a container.
const LAUNCH_DEADLINE: Duration = Duration::from_secs(120);

/// Takes the outcome of a request.
pub(crate) type Answering<T = ()> = oneshot::Sender<Result<T>>;

/// What a driver is asked.
pub(crate) enum Command {
    /// A step in the container's life. `asked` is the name the client used.
    Life { asked: String, wish: Wish, answer: Answering },
    Wait { condition: WaitCondition, registered: oneshot::Sender<()>, ended: oneshot::Sender<WaitResponse> },
    Attach { request: AttachRequest, socket: OwnedFd, answer: Answering },
    Resize { exec: Option<String>, width: u16, height: u16, answer: Answering },
    Exec { request: Box<ExecRequest>, socket: Option<OwnedFd>, answer: oneshot::Sender<Result<i32>> },
    SignalExec { exec: String, signal: i32 },
    /// Answered when everything that happened before in the container is known here.
    CatchUp { answer: Answering },
    /// Makes a changed record, which is then saved and published; answers with the one before.
    Change { change: Change, answer: Answering<Arc<Record>> },
    Health(Health),
}

/// Makes a changed record of the current one.
pub(crate) type Change = Box<dyn FnOnce(&Record) -> Result<Record> + Send>;

/// A wanted step in a container's life.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    Start,
    Stop { signal: Option<i32>, timeout_s: Option<i64>, keep: bool },
    Kill { signal: i32 },
    Pause,
    Unpause,
    Remove(RemoveOptions),
}

/// Something that was begun and has finished.
pub(super) enum Fact {
    Frozen(Result<()>),
    Thawed(Result<()>),
    Deleted(Result<()>),
}

/// What is to be done next, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Effect(Effect),
    /// Tell these who waited for it that all is done.
    Answer(Outcome),
}

/// What somebody may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Started,
    Ended,
    Frozen,
    Thawed,
    Removed,
}

/// A request to the monitor that is not answered yet.
pub(super) enum Call {
    Launch,
    Exec(oneshot::Sender<Result<i32>>),
    Other(Answering),
    /// Answered by anything.
    CatchUp(Answering),
    /// Nobody waits for how it goes.
    Silent,
}

struct Asked {
    asked: String,
    wish: Wish,
    answer: Answering,
}

pub(crate) struct Driver {
    pub(super) core: Arc<Core>,
    pub(super) container: Arc<Container>,
    pub(super) record: Arc<Record>,
    pub(super) paths: Paths,
    pub(super) state: State,
    pub(super) life: Life,
    pub(super) health: Option<Arc<Health>>,
    pub(super) probing: Option<AbortHandle>,

    commands: mpsc::Receiver<Command>,
    pub(super) facts: mpsc::Sender<Fact>,
    finished: mpsc::Receiver<Fact>,
    pub(super) monitor: Option<Monitor>,
    /// The monitor of the run that ended: until it is gone, there must be no other.
    pub(super) leaving: Option<Monitor>,
    pub(super) calls: HashMap<u64, Call>,
    pub(super) due: VecDeque<Due>,

    /// Requests to be judged in the next state.
    deferred: Vec<Asked>,
    pub(super) starts: Vec<Answering>,
    pub(super) ends: Vec<Answering>,
    pub(super) freezes: Vec<Answering>,
    pub(super) thaws: Vec<Answering>,
    pub(super) removals: Vec<Answering>,
    pub(super) waiters: Waiters,
    /// Clients that attached before there was anything to attach to.
    pub(super) queued: Vec<(AttachRequest, OwnedFd)>,

    pub(super) grace: Option<Instant>,
    pub(super) asked_grace: Option<Duration>,
    pub(super) restart_at: Option<Instant>,
    pub(super) restart_delay: Duration,
    pub(super) backoff: Backoff,
    /// A launch that waits for clients, at most until then.
    pub(super) launch_by: Option<Instant>,
    pub(super) launch_deadline: Option<Instant>,
    pub(super) remove_volumes: bool,
    pub(super) gone: bool,
}

/// What a driver starts with.
pub(crate) struct Initial {
    pub record: Record,
    pub state: State,
    pub monitor: Option<Monitor>,
    /// Start it now, by its restart policy.
    pub restart: bool,
}

/// Makes a container and its driver's task; the container still has to be registered.
pub(crate) fn spawn(core: &Arc<Core>, initial: Initial) -> Arc<Container> {
    let Initial { record, state, monitor, restart } = initial;
    let (sender, commands) = mpsc::channel(QUEUE);
    let (facts, finished) = mpsc::channel(4);
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
    let record = Arc::new(record);
    let life = record.life.clone();
    let view = View { record: record.clone(), state, life: life.clone(), health: None };
    let container = Arc::new(Container::new(record.id.clone(), sender, view));
    let driver = Driver {
        core: core.clone(),
        container: container.clone(),
        record,
        paths,
        state,
        life,
        health: None,
        probing: None,
        commands,
        facts,
        finished,
        monitor,
        leaving: None,
        calls: HashMap::new(),
        due: VecDeque::new(),
        deferred: Vec::new(),
        starts: Vec::new(),
        ends: Vec::new(),
        freezes: Vec::new(),
        thaws: Vec::new(),
        removals: Vec::new(),
        waiters: Waiters::default(),
        queued: Vec::new(),
        grace: None,
        asked_grace: None,
        restart_at: None,
        restart_delay: Duration::ZERO,
        backoff: Backoff::default(),
        launch_by: None,
        launch_deadline: None,
        remove_volumes: false,
        gone: false,
    };
    tokio::spawn(driver.run(restart));
    container
}

impl Driver {
    async fn run(mut self, restart: bool) {
        let mut stopping = self.core.stopping.subscribe();
        if self.state.live().is_some() {
            self.begin_health();
        }
        if restart {
            self.begin_start(true).await;
            self.settle().await;
        }
        while !self.gone {
            let timer = self.next_timer();
            tokio::select! {
                biased;
                message = next_message(&mut self.monitor) => self.on_message(message).await,
                message = next_message(&mut self.leaving) => {
                    if !matches!(message, Ok(Some(_))) {
                        self.leaving = None;
                    }
                }
                Some(fact) = self.finished.recv() => self.on_fact(fact).await,
                Some(command) = self.commands.recv() => self.on_command(command).await,
                () = self.container.attaching.notified(), if self.launch_by.is_some() => {}
                () = sleep_until(timer) => self.on_timer().await,
                () = ended(&mut stopping) => break,
            }
            if self.launch_by.is_some() && self.container.attaching.none() {
                self.launch().await;
            }
            self.settle().await;
        }
        if let Some(probing) = self.probing.take() {
            probing.abort();
        }
        // What is still in the queue finds a container that is gone, or an engine that ends.
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            self.refuse(command);
        }
    }

    /// Carries out what is due, then judges again what was put off.
    async fn settle(&mut self) {
        loop {
            while let Some(due) = self.due.pop_front() {
                match due {
                    Due::Effect(effect) => self.carry_out(effect).await,
                    Due::Answer(outcome) => self.answer(outcome),
                }
            }
            if self.deferred.is_empty() {
                return;
            }
            for asked in std::mem::take(&mut self.deferred) {
                self.on_life(asked).await;
            }
            if self.due.is_empty() {
                return;
            }
        }
    }

    /// Takes a step; its effects are due then.
    pub(super) fn apply(&mut self, event: Event) -> Result<(), Denied> {
        let (state, effects) = step(&self.state, event)?;
        self.state = state;
        self.due.extend(effects.into_iter().map(Due::Effect));
        self.publish();
        Ok(())
    }

    pub(super) fn publish(&self) {
        self.container.publish(View {
            record: self.record.clone(),
            state: self.state,
            life: self.life.clone(),
            health: self.health.clone(),
        });
    }

    pub(super) fn refusal(&self, denied: Denied, asked: &str) -> Error {
        denied.error(&self.record.id, &self.record.name, asked)
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Life { asked, wish, answer } => {
                self.on_life(Asked { asked, wish, answer }).await;
            }
            Command::Wait { condition, registered, ended } => {
                self.waiters.add(condition, ended, &self.state, &self.life);
                drop(registered.send(()));
            }
            Command::Attach { request, socket, answer } => {
                self.on_attach(request, socket, answer).await;
            }
            Command::Resize { exec, width, height, answer } => {
                if self.state.live().is_none() {
                    let error = self.refusal(Denied::NotRunning, "");
                    drop(answer.send(Err(error)));
                    return;
                }
                let op = Op::Resize { exec, width, height };
                self.call(op, None, Call::Other(answer)).await;
            }
            Command::Exec { request, socket, answer } => {
                match step(&self.state, Event::Exec) {
                    Ok(_) => self.call(Op::Exec(request), socket, Call::Exec(answer)).await,
                    Err(denied) => {
                        let error = self.refusal(denied, &self.record.id);
                        drop(answer.send(Err(error)));
                    }
                }
            }
            Command::SignalExec { exec, signal } => {
                self.call(Op::Signal { exec: Some(exec), signal }, None, Call::Silent).await;
            }
            // The monitor's answer comes after the events that happened before it.
            Command::CatchUp { answer } => self.call(Op::Hello, None, Call::CatchUp(answer)).await,
            Command::Change { change, answer } => {
                let outcome = self.on_change(change).await;
                drop(answer.send(outcome));
            }
            Command::Health(health) => self.on_health(health),
        }
    }

    async fn on_life(&mut self, asked: Asked) {
        let Asked { asked, wish, answer } = asked;
        if let Wish::Start = wish
            && matches!(self.state, State::Created | State::Exited)
        {
            self.starts.push(answer);
            self.begin_start(false).await;
            return;
        }
        let event = self.event_of(wish);
        if let Wish::Stop { timeout_s, .. } = wish {
            self.asked_grace = self.grace_of(timeout_s);
        }
        match self.apply(event) {
            Err(Denied::Later) => self.deferred.push(Asked { asked, wish, answer }),
            Err(denied) => {
                let error = self.refusal(denied, &asked);
                drop(answer.send(Err(error)));
            }
            Ok(()) => match wish {
                Wish::Start => self.starts.push(answer),
                Wish::Pause => self.freezes.push(answer),
                Wish::Unpause => self.thaws.push(answer),
                Wish::Remove(options) => {
                    self.remove_volumes |= options.volumes;
                    self.removals.push(answer);
                }
                Wish::Stop { .. } if self.state.live().is_some() => self.ends.push(answer),
                Wish::Kill { signal: 9 } if self.state.live().is_some() => self.ends.push(answer),
                Wish::Stop { .. } | Wish::Kill { .. } => drop(answer.send(Ok(()))),
            },
        }
    }

    fn event_of(&self, wish: Wish) -> Event {
        match wish {
            Wish::Start => Event::Start,
            Wish::Stop { signal, keep, .. } => {
                Event::Stop { signal: signal.unwrap_or_else(|| self.stop_signal()), keep }
            }
            // Docker's rule: a signal ends the container if it is its stop signal, and any does
            // when the container names none.
            Wish::Kill { signal } => {
                let ends = signal == 9
                    || self.record.config.stop_signal.is_empty()
                    || signal == self.stop_signal();
                Event::Kill { signal, ends }
            }
            Wish::Pause => Event::Pause,
            Wish::Unpause => Event::Unpause,
            Wish::Remove(RemoveOptions { force, .. }) => Event::Remove { force },
        }
    }

    fn stop_signal(&self) -> i32 {
        skiff_model::signal::parse(&self.record.config.stop_signal).unwrap_or(15)
    }

    /// How long a stop waits before it kills; `None` is for ever.
    fn grace_of(&self, timeout_s: Option<i64>) -> Option<Duration> {
        let seconds = timeout_s
            .or(self.record.config.stop_timeout)
            .unwrap_or(self.core.config.stop_timeout_s);
        u64::try_from(seconds).ok().map(Duration::from_secs)
    }

    /// Starts a container that rests: by a client, or by its restart policy.
    pub(super) async fn begin_start(&mut self, by_policy: bool) {
        if !by_policy {
            self.life.stopped_by_user = false;
            self.life.restart_count = 0;
            self.backoff = Backoff::default();
        }
        if self.apply(Event::Start).is_ok() && !self.container.attaching.none() {
            self.launch_by = Some(Instant::now() + ATTACH_GRACE);
        }
    }

    async fn on_attach(&mut self, request: AttachRequest, socket: OwnedFd, answer: Answering) {
        if self.state.live().is_some() && self.monitor.is_some() {
            self.call(Op::Attach(request), Some(socket), Call::Other(answer)).await;
            return;
        }
        let outcome = match step(&self.state, Event::Attach) {
            Ok(_) if !matches!(self.state, State::Starting(_)) || self.launch_by.is_some() => {
                self.queued.push((request, socket));
                Ok(())
            }
            // The launch is on its way with those who were in time; follow it.
            Ok(_) => {
                self.call(Op::Attach(request), Some(socket), Call::Silent).await;
                Ok(())
            }
            Err(denied) => Err(self.refusal(denied, &self.record.id)),
        };
        drop(answer.send(outcome));
    }

    /// Sends a request to the monitor.
    pub(super) async fn call(&mut self, op: Op, socket: Option<OwnedFd>, call: Call) {
        let Some(monitor) = self.monitor.as_mut() else {
            call.fail(self.refusal(Denied::NotRunning, ""));
            return;
        };
        let fds: Vec<_> = socket.iter().map(AsFd::as_fd).collect();
        match monitor.send(op, &fds).await {
            Ok(seq) => {
                self.calls.insert(seq, call);
            }
            Err(error) => {
                let what = format!("ask the monitor of container {}", self.record.id);
                call.fail(Error::failed(what, error));
            }
        }
    }

    async fn on_message(&mut self, message: std::io::Result<Option<Message>>) {
        match message {
            Ok(Some(Message::Reply(reply))) => self.on_reply(reply).await,
            Ok(Some(Message::Event(event))) => self.on_event(event),
            // Gone, or talking nonsense, which makes it gone for us.
            Ok(None) | Err(_) => self.on_monitor_lost().await,
        }
    }

    async fn on_reply(&mut self, reply: Reply) {
        let Reply { seq, answer } = reply;
        let Some(call) = self.calls.remove(&seq) else { return };
        match (call, answer) {
            (Call::Launch, Answer::Started { pid, at }) => self.on_started(pid, at),
            (Call::Launch, Answer::Failed(error)) => {
                self.monitor = None;
                self.on_start_failed(super::launch::failure(&error));
            }
            (Call::Launch, Answer::Refused(why)) => {
                self.monitor = None;
                self.on_start_failed((Error::internal(why), 128));
            }
            (Call::Launch, Answer::Done | Answer::Status(_)) => {}
            (Call::Exec(done), Answer::Started { pid, .. }) => drop(done.send(Ok(pid))),
            (Call::Exec(done), Answer::Failed(error)) => {
                drop(done.send(Err(super::launch::exec_failure(&error))));
            }
            (Call::CatchUp(done), _) => drop(done.send(Ok(()))),
            (Call::Other(done), Answer::Done | Answer::Started { .. }) => drop(done.send(Ok(()))),
            (call, Answer::Refused(why)) => call.fail(Error::conflict(why)),
            (call, Answer::Failed(error)) => call.fail(Error::internal(error.message)),
            (call, Answer::Done | Answer::Status(_)) => {
                call.fail(Error::internal("the monitor gave an answer that fits no question"));
            }
            (Call::Silent, Answer::Started { .. }) => {}
        }
    }

    fn on_event(&mut self, event: MonitorEvent) {
        match event {
            MonitorEvent::Exited(record) => self.on_exited(record),
            MonitorEvent::ExecExited { exec, exit_code } => self.on_exec_exited(&exec, exit_code),
            // Only the monitor of the former run says so, see `leave`.
            MonitorEvent::Released => {}
            MonitorEvent::Oom => self.emit("oom", []),
            MonitorEvent::AttachEnded { client, detached } => self.on_attach_ended(client, detached),
        }
    }

    fn on_attach_ended(&mut self, client: u64, detached: bool) {
        if !detached {
            return;
        }
        match self.core.execs.detached(client) {
            Some(exec) => self.emit("exec_detach", [("execID", exec)]),
            None => self.emit("detach", []),
        }
    }

    fn on_exec_exited(&mut self, exec: &str, exit_code: i32) {
        if self.core.execs.exited(exec, exit_code) {
            let attributes =
                [("execID", exec.to_owned()), ("exitCode", exit_code.to_string())];
            self.emit("exec_die", attributes);
        }
    }

    fn on_started(&mut self, pid: i32, at: i64) {
        self.launch_deadline = None;
        self.life.started_at = at;
        self.life.exit_code = 0;
        self.life.oom_killed = false;
        self.life.error.clear();
        if self.apply(Event::Started(Live { pid, started_at: at })).is_ok() {
            self.begin_health();
        }
        self.due.push_back(Due::Answer(Outcome::Started));
    }

    /// A start that came to nothing: what the client is told, and the exit code that says why.
    pub(super) fn on_start_failed(&mut self, (error, exit_code): (Error, i32)) {
        self.launch_deadline = None;
        self.queued.clear();
        self.life.error = error.to_string();
        self.life.exit_code = exit_code;
        if self.apply(Event::StartFailed).is_err() {
            return;
        }
        super::launch::clean_run_dir(&self.paths);
        let mut error = Some(error);
        for answer in self.starts.drain(..) {
            let kind = error.as_ref().map(Error::kind);
            let error = error.take().unwrap_or_else(|| {
                Error::internal(self.life.error.clone())
                    .with_kind(kind.unwrap_or(crate::error::Kind::InvalidArgument))
            });
            drop(answer.send(Err(error)));
        }
        if self.record.host_config.auto_remove {
            self.remove_volumes = true;
            drop(self.apply(Event::Remove { force: false }));
        }
    }

    pub(super) fn on_exited(&mut self, exit: ExitRecord) {
        let Some(live) = self.state.live() else { return };
        self.leaving = self.monitor.take();
        self.fail_calls();
        self.end_health();
        for exec in self.core.execs.container_ended(&self.record.id) {
            self.emit("exec_die", [("execID", exec), ("exitCode", "137".to_owned())]);
        }
        self.life.finished_at = exit.at;
        self.life.exit_code = exit.exit_code;
        self.life.oom_killed = exit.oom_killed;
        let ran_for = u64::try_from(exit.at - live.started_at).unwrap_or(0);
        let ending = Ending {
            exit_code: exit.exit_code,
            by_user: self.life.stopped_by_user,
            ran_for: Duration::from_nanos(ran_for),
        };
        let policy = &self.record.host_config.restart_policy;
        let next = match self.backoff.decide(policy, self.life.restart_count, ending) {
            Some(delay) => {
                self.restart_delay = delay;
                Next::Restart
            }
            None if self.record.host_config.auto_remove => {
                self.remove_volumes = true;
                Next::Remove
            }
            None => Next::Rest,
        };
        if next == Next::Restart {
            self.life.restart_count += 1;
        }
        if self.apply(Event::Exited(next)).is_ok() {
            self.due.push_back(Due::Answer(Outcome::Ended));
        }
    }

    /// The connection closed without an exit event. The exit record tells more, if there is one.
    async fn on_monitor_lost(&mut self) {
        self.monitor = None;
        if matches!(self.state, State::Starting(_)) {
            let error = Error::internal(format!(
                "failed to start container {}: its monitor went away",
                self.record.id
            ));
            self.fail_calls();
            self.on_start_failed((error, 128));
            return;
        }
        let Some(live) = self.state.live() else { return };
        let exit = match super::launch::read_exit_record(&self.paths) {
            Some(exit) => exit,
            None => {
                // Whatever is left of the container has no parent, no log and no exit code.
                super::cgroup::kill(&self.record, live.pid).await;
                ExitRecord { exit_code: 137, oom_killed: false, at: clock::now() }
            }
        };
        self.on_exited(exit);
    }

    fn fail_calls(&mut self) {
        for (_, call) in std::mem::take(&mut self.calls) {
            call.fail(self.refusal(Denied::NotRunning, ""));
        }
    }

    async fn on_fact(&mut self, fact: Fact) {
        match fact {
            Fact::Frozen(Ok(())) => {
                drop(self.apply(Event::Frozen));
                self.due.push_back(Due::Answer(Outcome::Frozen));
            }
            Fact::Frozen(Err(error)) => {
                drop(self.apply(Event::FreezeFailed));
                answer_all(&mut self.freezes, Err(error));
            }
            Fact::Thawed(Ok(())) => {
                drop(self.apply(Event::Thawed));
                self.due.push_back(Due::Answer(Outcome::Thawed));
            }
            Fact::Thawed(Err(error)) => answer_all(&mut self.thaws, Err(error)),
            Fact::Deleted(Ok(())) => {
                self.core.containers.remove(&self.record.id);
                if self.remove_volumes {
                    super::trash::discard_volumes(&self.core, &self.record).await;
                }
                drop(self.apply(Event::Removed));
                self.due.push_back(Due::Answer(Outcome::Removed));
            }
            Fact::Deleted(Err(error)) => {
                self.life.error = error.to_string();
                drop(self.apply(Event::RemoveFailed));
                answer_all(&mut self.removals, Err(error));
            }
        }
    }

    fn next_timer(&self) -> Option<Instant> {
        [self.grace, self.restart_at, self.launch_by, self.launch_deadline]
            .into_iter()
            .flatten()
            .min()
    }

    async fn on_timer(&mut self) {
        let now = Instant::now();
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= now).is_some();
        if due(&mut self.grace) {
            drop(self.apply(Event::GraceOver));
        }
        if due(&mut self.restart_at) {
            drop(self.apply(Event::BackoffOver));
        }
        if due(&mut self.launch_by) {
            self.launch().await;
        }
        if due(&mut self.launch_deadline) {
            self.monitor = None;
            self.fail_calls();
            let error = Error::internal(format!(
                "failed to start container {}: its monitor does not answer",
                self.record.id
            ));
            self.on_start_failed((error, 128));
        }
    }

    fn refuse(&self, command: Command) {
        let error = || {
            if self.gone {
                Error::not_found(format!("No such container: {}", self.record.id))
            } else {
                Error::new(crate::error::Kind::Unavailable, "the engine is shutting down")
            }
        };
        match command {
            Command::Life { answer, .. }
            | Command::Attach { answer, .. }
            | Command::CatchUp { answer }
            | Command::Resize { answer, .. } => drop(answer.send(Err(error()))),
            Command::Change { answer, .. } => drop(answer.send(Err(error()))),
            Command::Exec { answer, .. } => drop(answer.send(Err(error()))),
            // Dropping the sender tells the waiter.
            Command::Wait { .. } | Command::SignalExec { .. } | Command::Health(_) => {}
        }
    }

    pub(super) fn arm_launch_deadline(&mut self) {
        self.launch_by = None;
        self.launch_deadline = Some(Instant::now() + LAUNCH_DEADLINE);
    }
}

impl Call {
    pub(super) fn fail(self, error: Error) {
        match self {
            Call::Exec(answer) => drop(answer.send(Err(error))),
            Call::Other(answer) | Call::CatchUp(answer) => drop(answer.send(Err(error))),
            Call::Launch | Call::Silent => {}
        }
    }
}

/// Gives all who wait the same outcome.
pub(super) fn answer_all(answers: &mut Vec<Answering>, outcome: Result<()>) {
    let text = outcome.as_ref().err().map(|error| (error.kind(), error.to_string()));
    for answer in answers.drain(..) {
        let outcome = match &text {
            None => Ok(()),
            Some((kind, message)) => Err(Error::new(*kind, message.clone())),
        };
        drop(answer.send(outcome));
    }
}

async fn next_message(monitor: &mut Option<Monitor>) -> std::io::Result<Option<Message>> {
    match monitor {
        Some(monitor) => monitor.next().await,
        None => std::future::pending().await,
    }
}

/// Resolves when the engine ends.
async fn ended(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    // Without a sender there is no engine any more.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
