//! What a container's monitor says: answers to requests, and what happened by itself.

use std::time::Duration;

use skiff_shim::protocol::{Answer, Event as MonitorEvent, ExitRecord, Message, Op, Reply, Status};

use super::driver::{Call, Driver, Due, Outcome};
use super::monitor::Monitor;
use super::state::{Denied, Event, Live, Next, State};
use crate::clock;
use crate::config::{Runtime, Runtimes};
use crate::error::{Error, Kind};
use crate::restart::Ending;

impl Driver {
    pub(super) async fn on_message(&mut self, message: std::io::Result<Option<Message>>) {
        match message {
            Ok(Some(Message::Reply(reply))) => self.on_reply(reply).await,
            Ok(Some(Message::Event(event))) => self.on_event(event),
            // Gone, or talking nonsense, which makes it gone for us.
            Ok(None) | Err(_) => self.on_monitor_lost().await,
        }
    }

    pub(super) async fn on_reply(&mut self, reply: Reply) {
        let Reply { seq, answer } = reply;
        let Some(call) = self.calls.remove(&seq) else { return };
        match (call, answer) {
            // It is to be killed, and its end will be told.
            (Call::Launch, Answer::Started { .. }) if self.given_up => {}
            (Call::Launch, Answer::Started { pid, at }) => self.on_started(pid, at),
            (Call::Greeting, Answer::Status(status)) => self.on_status(status),
            (Call::Launch, Answer::Failed(error)) => {
                self.monitor = None;
                self.on_start_failed(super::launch::failure(
                    self.runtime(&self.core.runtimes()),
                    &error,
                ));
            }
            (Call::Launch, Answer::Refused(why)) => {
                self.monitor = None;
                self.on_start_failed((Error::internal(why), 128));
            }
            (Call::Launch, Answer::Done | Answer::Status(_)) => {}
            (Call::Exec(done), Answer::Started { pid, .. }) => drop(done.send(Ok(pid))),
            (Call::Exec(done), Answer::Failed(error)) => {
                drop(done.send(Err(super::launch::exec_failure(
                    self.runtime(&self.core.runtimes()),
                    &error,
                ))));
            }
            (Call::CatchUp(done), _) => drop(done.send(Ok(()))),
            (Call::Other(done), Answer::Done | Answer::Started { .. }) => drop(done.send(Ok(()))),
            (call, Answer::Refused(why)) => call.fail(Error::conflict(why)),
            (call, Answer::Failed(error)) => call.fail(Error::internal(error.message)),
            (call, Answer::Done | Answer::Status(_)) => {
                call.fail(Error::internal("the monitor gave an answer that fits no question"));
            }
            (Call::Silent | Call::Greeting, Answer::Started { .. }) => {}
        }
    }

    pub(super) fn on_event(&mut self, event: MonitorEvent) {
        match event {
            MonitorEvent::Exited(_) if self.given_up => {
                self.leaving = self.monitor.take();
                self.fail_calls();
                self.on_start_failed((self.gave_up(), 128));
            }
            MonitorEvent::Exited(record) => self.on_exited(record),
            MonitorEvent::ExecExited { exec, exit_code } => self.on_exec_exited(&exec, exit_code),
            // Only the monitor of the former run says so, see `has_let_go`.
            MonitorEvent::Released => {}
            MonitorEvent::Oom => self.emit("oom", []),
            MonitorEvent::AttachEnded { client, detached } => {
                self.on_attach_ended(client, detached)
            }
        }
    }

    pub(super) fn on_attach_ended(&mut self, client: u64, detached: bool) {
        if !detached {
            return;
        }
        match self.core.execs.detached(client) {
            Some(exec) => self.emit("exec_detach", [("execID", exec)]),
            None => self.emit("detach", []),
        }
    }

    pub(super) fn on_exec_exited(&mut self, exec: &str, exit_code: i32) {
        if self.core.execs.exited(exec, exit_code) {
            let attributes = [("execID", exec.to_owned()), ("exitCode", exit_code.to_string())];
            self.emit("exec_die", attributes);
        }
    }

    /// Asks a monitor how the container is.
    pub(super) async fn greet(&mut self, monitor: Monitor) {
        self.monitor = Some(monitor);
        self.call(Op::Hello, None, Call::Greeting).await;
    }

    /// What a monitor says of a container that was taken for running, or starting, meanwhile.
    fn on_status(&mut self, status: Status) {
        let Status { pid, started_at, exited, .. } = status;
        if let State::Starting(_) = self.state {
            self.on_started(pid, started_at);
        } else {
            self.life.started_at = started_at;
            let _ = self.apply(Event::Started(Live { pid, started_at }));
        }
        if let Some(exit) = exited {
            self.on_exited(exit);
        }
    }

    pub(super) fn on_started(&mut self, pid: i32, at: i64) {
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
        self.given_up = false;
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
                    .with_kind(kind.unwrap_or(Kind::InvalidArgument))
            });
            drop(answer.send(Err(error)));
        }
        if self.record.host_config.auto_remove {
            self.remove_volumes = true;
            let _ = self.apply(Event::Remove { force: false });
        }
    }

    pub(super) fn on_exited(&mut self, exit: ExitRecord) {
        let Some(live) = self.state.live() else { return };
        self.leaving = self.monitor.take();
        // Before those who ask about execs are answered.
        for exec in self.core.execs.container_ended(&self.record.id) {
            self.emit("exec_die", [("execID", exec), ("exitCode", "137".to_owned())]);
        }
        self.fail_calls();
        self.end_health();
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
    pub(super) async fn on_monitor_lost(&mut self) {
        self.monitor = None;
        let exit = super::launch::read_exit_record(&self.paths);
        if exit.is_none() {
            if let Some(monitor) = self.still_there().await {
                self.fail_calls();
                return self.greet(monitor).await;
            }
            super::launch::clear_bundle(&self.paths).await;
        }
        if matches!(self.state, State::Starting(_)) {
            match &exit {
                // It was started and has ended while nobody listened.
                Some(exit) if !self.given_up => self.on_started(0, exit.at),
                Some(_) | None => {
                    let error = Error::internal(format!(
                        "failed to start container {}: its monitor went away",
                        self.record.id
                    ));
                    self.fail_calls();
                    return self.on_start_failed((error, 128));
                }
            }
        }
        let Some(live) = self.state.live() else { return };
        let exit = match exit {
            Some(exit) => exit,
            None => {
                // Whatever is left of the container has no parent, no log and no exit code.
                super::cgroup::kill(&self.record, Some(live.pid)).await;
                ExitRecord { exit_code: 137, oom_killed: false, at: clock::now() }
            }
        };
        self.on_exited(exit);
    }

    /// The monitor, if only its connection is gone: it drops those that leave too much unread.
    async fn still_there(&self) -> Option<Monitor> {
        let greeted = self.calls.values().any(|call| matches!(call, Call::Greeting));
        if greeted || self.state.live().is_none() {
            return None;
        }
        let connected = Monitor::of_container(&self.paths.run_dir);
        tokio::time::timeout(Duration::from_secs(1), connected).await.ok()?.ok()
    }

    /// Who runs the container. One whose runtime has left the settings was not started by us.
    fn runtime<'a>(&self, runtimes: &'a Runtimes) -> Runtime<'a> {
        runtimes.get(&self.record.host_config.runtime).unwrap_or(Runtime::BuiltIn)
    }

    pub(super) fn fail_calls(&mut self) {
        for (_, call) in std::mem::take(&mut self.calls) {
            call.fail(self.refusal(Denied::NotRunning, ""));
        }
    }
}

/// Whether this is the last that matters of a monitor whose container has ended: it has let go of
/// all that the next run needs, or is gone.
pub(super) fn has_let_go(message: &std::io::Result<Option<Message>>) -> bool {
    match message {
        Ok(Some(Message::Event(event))) => matches!(event, MonitorEvent::Released),
        Ok(Some(Message::Reply(reply))) => {
            matches!(&reply.answer, Answer::Status(status) if status.released)
        }
        Ok(None) | Err(_) => true,
    }
}
