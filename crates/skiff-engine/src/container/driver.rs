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
use skiff_shim::protocol::{AttachRequest, ExecRequest, Message, Op};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::monitor::{Monitor, nobody_listens};
use super::news::has_let_go;
use super::record::{Life, Paths, Record};
use super::registry::{Container, View};
use super::state::{Denied, Effect, Event, State, step};
use super::wait::Waiters;
use super::{RemoveOptions, WaitCondition};
use crate::Core;
use crate::error::{Error, Result};
use crate::restart::Backoff;

/// Requests that wait for a driver at most; more wait outside.
const QUEUE: usize = 32;

/// How long a start waits for clients that announced to attach first.
const ATTACH_GRACE: Duration = Duration::from_secs(2);

/// How long to wait between attempts to reach a monitor.
const SEEK_PAUSE: Duration = Duration::from_secs(1);

/// Takes the outcome of a request.
pub(crate) type Answering<T = ()> = oneshot::Sender<Result<T>>;

/// What a driver is asked.
pub(crate) enum Command {
    /// A step in the container's life. `asked` is the name the client used.
    Life {
        asked: String,
        wish: Wish,
        answer: Answering,
    },
    Wait {
        condition: WaitCondition,
        registered: oneshot::Sender<()>,
        ended: oneshot::Sender<WaitResponse>,
    },
    Attach {
        request: AttachRequest,
        socket: OwnedFd,
        answer: Answering,
    },
    Resize {
        exec: Option<String>,
        width: u16,
        height: u16,
        answer: Answering,
    },
    Exec {
        request: Box<ExecRequest>,
        socket: Option<OwnedFd>,
        answer: oneshot::Sender<Result<i32>>,
    },
    SignalExec {
        exec: String,
        signal: i32,
    },
    /// Answered when everything that happened before in the container is known here.
    CatchUp {
        answer: Answering,
    },
    /// Makes a changed record, which is then saved and published; answers with the one before.
    Change {
        change: Change,
        answer: Answering<Arc<Record>>,
    },
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
    /// Of the run whose process that is.
    Frozen(i32, Result<()>),
    Thawed(i32, Result<()>),
    Deleted(Result<()>),
    /// A monitor that could not be reached at first; `None` is that it is gone.
    Met(Option<Monitor>),
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
    /// How the container is, asked when the engine did not know.
    Greeting,
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
    /// The deadline is over: what is being started is to be killed, and the start has failed when
    /// the monitor has nothing of it any more.
    pub(super) given_up: bool,
    pub(super) remove_volumes: bool,
    pub(super) gone: bool,
}

/// What a driver starts with.
pub(crate) struct Initial {
    pub record: Record,
    pub state: State,
    pub tie: Tie,
    /// Start it now, by its restart policy.
    pub restart: bool,
}

/// How a driver that starts stands with its container's monitor.
pub(crate) enum Tie {
    /// There is none.
    None,
    Known(Monitor),
    /// It has been asked how the container is, by the request of that number.
    Silent(Monitor, u64),
    /// It may live and cannot be connected to at the moment.
    Unreachable,
    /// It is that of a run that has ended.
    Leaving(Monitor),
}

/// Makes a container and its driver's task; the container still has to be registered.
pub(crate) fn spawn(core: &Arc<Core>, initial: Initial) -> Arc<Container> {
    let Initial { record, state, tie, restart } = initial;
    let (sender, commands) = mpsc::channel(QUEUE);
    let (facts, finished) = mpsc::channel(4);
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
    let record = Arc::new(record);
    let life = record.life.clone();
    let view = View { record: record.clone(), state, life: life.clone(), health: None };
    let container = Arc::new(Container::new(record.id.clone(), sender, view));
    let mut driver = Driver {
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
        monitor: None,
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
        given_up: false,
        remove_volumes: false,
        gone: false,
    };
    match tie {
        Tie::None => {}
        Tie::Known(monitor) => driver.monitor = Some(monitor),
        Tie::Silent(monitor, seq) => {
            driver.monitor = Some(monitor);
            driver.calls.insert(seq, Call::Greeting);
        }
        Tie::Unreachable => driver.seek_monitor(),
        Tie::Leaving(monitor) => driver.leaving = Some(monitor),
    }
    tokio::spawn(driver.run(restart));
    container
}

impl Driver {
    /// Serves until the container is gone or the engine ends. What it calls is boxed: a thousand
    /// drivers that wait should not each have room for everything they might do.
    async fn run(mut self, restart: bool) {
        let mut stopping = self.core.stopping.subscribe();
        if self.state.live().is_some() {
            self.begin_health();
        }
        if restart {
            Box::pin(self.begin_start(true)).await;
            Box::pin(self.settle()).await;
        }
        while !self.gone {
            let timer = self.next_timer();
            tokio::select! {
                biased;
                message = next_message(&mut self.monitor) => {
                    Box::pin(self.on_message(message)).await;
                }
                message = next_message(&mut self.leaving) => {
                    if has_let_go(&message) {
                        self.leaving = None;
                    }
                }
                Some(fact) = self.finished.recv() => Box::pin(self.on_fact(fact)).await,
                Some(command) = self.commands.recv() => {
                    Box::pin(self.on_command(command)).await;
                }
                () = self.container.attaching.notified(), if self.launch_by.is_some() => {}
                () = sleep_until(timer) => Box::pin(self.on_timer()).await,
                () = ended(&mut stopping) => break,
            }
            if self.launch_by.is_some() && self.container.attaching.none() {
                Box::pin(self.launch()).await;
            }
            Box::pin(self.settle()).await;
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
                let _ = registered.send(());
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
            Command::Exec { request, socket, answer } => match step(&self.state, Event::Exec) {
                Ok(_) => self.call(Op::Exec(request), socket, Call::Exec(answer)).await,
                Err(denied) => {
                    let error = self.refusal(denied, &self.record.id);
                    drop(answer.send(Err(error)));
                }
            },
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
            // It went away with its container; the news comes by the other direction.
            Err(error) if is_absence(&error) => call.fail(self.refusal(Denied::NotRunning, "")),
            Err(error) => {
                let what = format!("ask the monitor of container {}", self.record.id);
                call.fail(Error::failed(what, error));
            }
        }
    }

    /// Connects to a monitor that cannot be connected to now: too many wait for it already, or the
    /// engine lacks what it needs for that.
    fn seek_monitor(&self) {
        let (facts, run_dir) = (self.facts.clone(), self.paths.run_dir.clone());
        tokio::spawn(async move {
            let met = async {
                loop {
                    match Monitor::of_container(&run_dir).await {
                        Ok(monitor) => return Some(monitor),
                        Err(error) if nobody_listens(&error) => return None,
                        Err(_) => tokio::time::sleep(SEEK_PAUSE).await,
                    }
                }
            };
            tokio::select! {
                met = met => drop(facts.send(Fact::Met(met)).await),
                () = facts.closed() => {}
            }
        });
    }

    async fn on_fact(&mut self, fact: Fact) {
        let current = self.state.live().map(|live| live.pid);
        match fact {
            // That run has ended, and who waited was told so.
            Fact::Frozen(pid, _) | Fact::Thawed(pid, _) if Some(pid) != current => {}
            Fact::Frozen(_, Ok(())) => {
                let _ = self.apply(Event::Frozen);
                self.due.push_back(Due::Answer(Outcome::Frozen));
                // A SIGKILL that was on its way would wait in frozen processes for ever.
                if !self.ends.is_empty() {
                    let _ = self.apply(Event::Unpause);
                }
            }
            Fact::Frozen(_, Err(error)) => {
                let _ = self.apply(Event::FreezeFailed);
                answer_all(&mut self.freezes, Err(error));
            }
            Fact::Thawed(_, Ok(())) => {
                let _ = self.apply(Event::Thawed);
                self.due.push_back(Due::Answer(Outcome::Thawed));
            }
            Fact::Thawed(_, Err(error)) => answer_all(&mut self.thaws, Err(error)),
            Fact::Deleted(Ok(())) => {
                self.core.containers.remove(&self.record.id);
                if self.remove_volumes {
                    super::trash::discard_volumes(&self.core, &self.record).await;
                }
                let _ = self.apply(Event::Removed);
                self.due.push_back(Due::Answer(Outcome::Removed));
            }
            Fact::Deleted(Err(error)) => {
                self.life.error = error.to_string();
                let _ = self.apply(Event::RemoveFailed);
                answer_all(&mut self.removals, Err(error));
            }
            Fact::Met(None) => self.on_monitor_lost().await,
            Fact::Met(Some(monitor)) => self.greet(monitor).await,
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
            let _ = self.apply(Event::GraceOver);
        }
        if due(&mut self.restart_at) {
            let _ = self.apply(Event::BackoffOver);
        }
        if due(&mut self.launch_by) {
            self.launch().await;
        }
        if due(&mut self.launch_deadline) {
            self.give_up().await;
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
        self.launch_deadline = Some(Instant::now() + self.core.config.launch_limit);
        self.given_up = false;
    }
}

impl Call {
    pub(super) fn fail(self, error: Error) {
        match self {
            Call::Exec(answer) => drop(answer.send(Err(error))),
            Call::Other(answer) | Call::CatchUp(answer) => drop(answer.send(Err(error))),
            Call::Launch | Call::Greeting | Call::Silent => {}
        }
    }
}

fn is_absence(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
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
