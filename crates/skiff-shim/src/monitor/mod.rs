//! A monitor: the process that owns one container from its start to its end.
//!
//! ```text
//! daemon ──frames──▶ connection ─▶ requests ─▶ task (init, execs) ◀── pipes, terminal
//!        ◀─events──                              │  ▲
//!                                    log ◀───────┘  └──▶ client (sockets handed over)
//! ```
//!
//! It is a single thread around one epoll set. Invariants: nothing blocks except the launch itself,
//! writes to the log file and invocations of another runtime, which have a time limit; whatever a daemon or a client does, the container goes on; the exit
//! record is on disk before anybody is told. It decides nothing: policy is the engine's.

mod client;
mod connection;
mod container;
mod detach;
mod exit;
mod hub;
mod input;
mod listener;
mod poll;
mod queue;
mod requests;
mod streams;
mod task;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::epoll::Event as Ready;
use skiff_runtime::Prepared;
use skiff_runtime::cgroup::OomEvents;
use skiff_sys::fork::exit_now;
use skiff_sys::signals::{CHILD, SignalFd};

use self::connection::Connection;
use self::exit::Ending;
use self::hub::{Hub, IDLE};
use self::listener::Listener;
use self::poll::{Interest, Source, no_events, source_of};
use self::task::Task;
use crate::protocol::{Event, Message, Op};

/// The task that is the container's init; execs are numbered from 1.
const INIT: u32 = 0;

/// How often clients on their way out are looked at.
const TICK: Duration = Duration::from_millis(200);

/// How often clients are looked at that have not read the daemon's answer yet.
const HELD_TICK: Duration = Duration::from_millis(1);

/// How long the first request may take to arrive whole.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);

/// A monitor that has no container yet: everything that can be made ready before there is one.
#[derive(Debug)]
pub(crate) struct Idle {
    hub: Hub,
    children: SignalFd,
    null: OwnedFd,
    prepared: Prepared,
}

/// A monitor with its container.
#[derive(Debug)]
struct Monitor {
    hub: Hub,
    children: SignalFd,
    null: OwnedFd,
    /// `None` when the container has ended.
    listener: Option<Listener>,
    connections: BTreeMap<u32, Connection>,
    tasks: BTreeMap<u32, Task>,
    ending: Ending,
    container: container::Container,
    /// Who the container's root is on the host, in a user namespace.
    root: Option<(u32, u32)>,
    run_dir: PathBuf,
    started_at: i64,
    /// `None` until the container has run for a moment.
    oom: Option<OomEvents>,
    oom_kills: u64,
    /// Last number given to a connection or an exec.
    last_id: u32,
}

/// Reads what every start has to know of the host. Done once, in the keeper, so that monitors are
/// born with it.
pub(crate) fn warm_up() {
    let _ = skiff_runtime::facts::host();
    // An error comes again, with a container to blame it on.
    let _ = skiff_runtime::cgroup::host_layout();
    let _ = crate::log::now();
}

/// Memory that a launch needs, touched before: a page fault costs as much as a system call.
const WARM_HEAP: usize = 96 << 10;
const WARM_SCRATCH: usize = 32 << 10;

impl Idle {
    /// Prepares a monitor. All signals are blocked already.
    pub(crate) fn new() -> std::io::Result<Idle> {
        let mut hub = Hub::new()?;
        hub.scratch[..WARM_SCRATCH].fill(1);
        drop(std::hint::black_box(vec![1u8; WARM_HEAP]));
        let children = SignalFd::new(&[CHILD])?;
        hub.poll.add(&children, Source::Children, Interest::IN);
        let null = std::fs::File::options().read(true).write(true).open("/dev/null")?.into();
        Ok(Idle { hub, children, null, prepared: Prepared::make() })
    }

    /// Whether a connection may have this monitor.
    pub(crate) fn accepts(socket: &OwnedFd) -> bool {
        Connection::is_trusted(socket)
    }

    /// Serves the connection that took this monitor until its container has ended. Without a
    /// proper launch request it returns at once.
    pub(crate) fn serve(mut self, socket: OwnedFd) {
        let timeout = rustix::net::sockopt::Timeout::Recv;
        let _ = rustix::net::sockopt::set_socket_timeout(&socket, timeout, Some(LAUNCH_TIMEOUT));
        let mut connection = Connection::new(&self.hub, socket, Source::Connection(1));
        let request = loop {
            match connection.next() {
                Err(_) => return,
                Ok(Some(request)) => break request,
                Ok(None) if connection.receive(&mut self.hub, true).is_err() => return,
                Ok(None) => {}
            }
        };
        match request.op {
            Op::Launch(launch) => {
                if let Some(monitor) = self.launch(connection, request.seq, *launch) {
                    monitor.run();
                }
            }
            _ => {
                let refusal = requests::refused(request.seq, "this monitor has no container");
                let _ = connection.send(&self.hub, &refusal);
            }
        }
    }
}

impl Monitor {
    fn run(mut self) -> ! {
        let mut events = no_events();
        // Requests that came together with the launch, and clients' early input.
        self.serve_requests(1);
        loop {
            let count = self.hub.poll.wait(&mut events, self.timeout());
            for event in &events[..count] {
                self.handle(event);
                self.publish();
            }
            if count == 0 {
                self.relax();
            }
            for task in self.tasks.values_mut().filter(|task| task.has_held_clients()) {
                task.retry_held(&mut self.hub);
            }
            self.advance_ending();
            self.publish();
            if self.ending.is_over() {
                // Cheaper than closing everything one by one.
                exit_now(0);
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if self.tasks.values().any(Task::has_held_clients) {
            return Some(HELD_TICK);
        }
        let leaving = self.tasks.values().any(Task::has_leaving_clients);
        if leaving || self.ending.has_begun() {
            return Some(TICK);
        }
        self.hub.busy_since.map(|_| IDLE)
    }

    fn handle(&mut self, event: &Ready) {
        let Some((source, ready)) = source_of(event) else { return };
        match source {
            Source::Listener => self.accept(),
            Source::Children => self.reap(),
            Source::Oom => self.on_oom(),
            Source::Connection(id) => self.on_connection(id, ready),
            Source::Output(task, channel) => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.on_output(&mut self.hub, channel);
                }
            }
            Source::Input(task) => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.on_input_ready(&mut self.hub);
                }
            }
            Source::Client { task, client } => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.on_client(&mut self.hub, client, ready);
                }
            }
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let Ok(socket) = listener.accept() else { return };
        if Connection::is_trusted(&socket) {
            let id = self.next_id();
            let connection = Connection::new(&self.hub, socket, Source::Connection(id));
            self.connections.insert(id, connection);
        }
    }

    fn on_connection(&mut self, id: u32, ready: Interest) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let mut result = Ok(());
        if ready.contains(Interest::OUT) {
            connection.flush(&self.hub);
        }
        if ready.intersects(Interest::IN | Interest::HUP | Interest::ERR) {
            result = connection.receive(&mut self.hub, false);
        }
        match result {
            Ok(()) => self.serve_requests(id),
            Err(_) => self.drop_connection(id),
        }
    }

    fn drop_connection(&mut self, id: u32) {
        if let Some(connection) = self.connections.remove(&id) {
            connection.close(&self.hub);
        }
    }

    /// Tells the daemons what has happened.
    fn publish(&mut self) {
        for event in std::mem::take(&mut self.hub.events) {
            self.tell(&Message::Event(event));
        }
    }

    fn tell(&mut self, message: &Message) {
        let mut dropped = Vec::new();
        for (id, connection) in &mut self.connections {
            if connection.listens && connection.send(&self.hub, message).is_err() {
                dropped.push(*id);
            }
        }
        for id in dropped {
            self.drop_connection(id);
        }
    }

    /// Nothing has happened for a moment: gives memory back.
    fn relax(&mut self) {
        let now = Instant::now();
        if self.hub.busy_since.is_none_or(|since| now.duration_since(since) < IDLE) {
            return;
        }
        self.hub.busy_since = None;
        self.hub.scratch.discard();
        for task in self.tasks.values_mut() {
            task.relax();
        }
        skiff_sys::pages::trim_heap();
        self.watch_oom();
    }

    /// Asks to be told of the container's memory running out. Not at the start, where it would
    /// cost time: a kill before this is found in the count when the container ends.
    fn watch_oom(&mut self) {
        if self.oom.is_some() || self.ending.has_begun() {
            return;
        }
        if let Some(oom) = self.container.oom_events() {
            let interest = if oom.interest() == rustix::event::PollFlags::PRI {
                Interest::PRI
            } else {
                Interest::IN
            };
            self.hub.poll.add(oom.as_fd(), Source::Oom, interest);
            self.oom = Some(oom);
        }
    }

    fn on_oom(&mut self) {
        if let Some(oom) = &self.oom {
            oom.drain();
        }
        self.count_oom_kills();
    }

    fn count_oom_kills(&mut self) {
        let kills = self.container.oom_kill_count();
        if kills > self.oom_kills {
            self.oom_kills = kills;
            self.hub.events.push(Event::Oom);
        }
    }

    fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }
}
