//! Carrying out what the state machine decided: signals, the freezer, timers, events, the record,
//! and the end of a container's files.

use std::sync::Arc;
use std::time::Duration;

use skiff_api::Health;
use skiff_shim::protocol::Op;
use tokio::time::Instant;

use super::driver::{Call, Change, Driver, Fact, Outcome, answer_all};
use super::news::has_let_go;
use super::record::{self, Durability, Life, Phase, Record};
use super::state::{Effect, KILL_GRACE_S, Notice, State};
use super::{cgroup, launch, trash};
use crate::error::{Error, Kind, Result};
use crate::health;

/// How long a new run waits for the former one's monitor, which may wait for another runtime.
const PART_TIMEOUT: Duration =
    Duration::from_secs(10).saturating_add(skiff_shim::external::RELEASE_LIMIT);

const SIGKILL: i32 = 9;

impl Driver {
    pub(super) async fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Launch => {
                if self.launch_by.is_none() && self.launch_deadline.is_none() {
                    self.launch().await;
                }
            }
            Effect::Signal(signal) => {
                self.call(Op::Signal { exec: None, signal }, None, Call::Silent).await;
            }
            Effect::Freeze => self.freezer(true),
            Effect::Thaw => self.freezer(false),
            Effect::ArmGrace => {
                let grace = self.asked_grace.map(|grace| Instant::now() + grace);
                // A second stop may shorten the first one's patience, not lengthen it.
                self.grace = match (self.grace, grace) {
                    (Some(before), Some(now)) => Some(before.min(now)),
                    (before, now) => before.or(now),
                };
            }
            Effect::ArmKillGrace => {
                self.grace = Some(Instant::now() + Duration::from_secs(KILL_GRACE_S));
            }
            Effect::DisarmGrace => self.grace = None,
            Effect::ArmBackoff => self.restart_at = Some(Instant::now() + self.restart_delay),
            Effect::DisarmBackoff => self.restart_at = None,
            Effect::MarkStopped => self.life.stopped_by_user = true,
            Effect::Emit(notice) => self.notify(notice),
            Effect::Persist => self.persist(),
            Effect::WakeExit => {
                self.grace = None;
                launch::clean_run_dir(&self.paths);
                self.waiters.wake_ended(&self.life);
            }
            Effect::WakeRemoved => {
                self.gone = true;
                self.waiters.wake_all(&self.life);
            }
            Effect::Delete => self.delete().await,
            Effect::GiveUp => {
                let error = || {
                    Err(Error::internal(
                        "could not kill container: tried to kill container, but did not receive \
                         an exit event",
                    ))
                };
                answer_all(&mut self.ends, error());
                answer_all(&mut self.removals, error());
            }
        }
    }

    /// Tells those who waited for it.
    pub(super) fn answer(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Started => answer_all(&mut self.starts, Ok(())),
            Outcome::Ended => {
                answer_all(&mut self.ends, Ok(()));
                let why = || {
                    let id = &self.record.id;
                    Err(Error::conflict(format!("container {id} is not running")))
                };
                let (freezes, thaws) = (why(), why());
                answer_all(&mut self.freezes, freezes);
                answer_all(&mut self.thaws, thaws);
            }
            Outcome::Frozen => answer_all(&mut self.freezes, Ok(())),
            Outcome::Thawed => answer_all(&mut self.thaws, Ok(())),
            Outcome::Removed => answer_all(&mut self.removals, Ok(())),
        }
    }

    /// Has a monitor start the container; how it went comes as a reply.
    pub(super) async fn launch(&mut self) {
        self.arm_launch_deadline();
        if let Err(failure) = self.try_launch().await {
            self.on_start_failed(failure);
        }
    }

    async fn try_launch(&mut self) -> Result<(), (Error, i32)> {
        use std::os::fd::AsFd;
        let internal = |error| (error, 128);
        find_network(&self.record)
            .map_err(|error| (error.context("failed to set up container networking"), 128))?;
        self.part().await.map_err(internal)?;
        self.unmark_volatile();
        // First, so that the monitor wakes up while the request is made.
        let mut monitor = self.core.keeper.monitor().await.map_err(internal)?;
        let mut request =
            launch::prepare(&self.core, &self.record, &self.paths).await.map_err(internal)?;
        let (attach, sockets): (Vec<_>, Vec<_>) = self.queued.drain(..).unzip();
        request.attach = attach;
        let fds: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let seq = monitor.send(Op::Launch(Box::new(request)), &fds).await.map_err(|error| {
            internal(Error::failed(format!("launch container {}", self.record.id), error))
        })?;
        self.calls.insert(seq, Call::Launch);
        self.monitor = Some(monitor);
        Ok(())
    }

    /// Waits until the monitor of the former run has let go of its control group, its mounts and its
    /// socket. It may live on: a client that does not read must not keep the container from being
    /// started.
    async fn part(&mut self) -> Result<()> {
        let Some(leaving) = self.leaving.as_mut() else { return Ok(()) };
        let gone = async { while !has_let_go(&leaving.next().await) {} };
        if tokio::time::timeout(PART_TIMEOUT, gone).await.is_err() {
            let id = &self.record.id;
            return Err(Error::internal(format!(
                "container {id}: its former run is not cleared away yet"
            )));
        }
        self.leaving = None;
        Ok(())
    }

    /// Fails a start that takes too long. The monitor may still succeed: what it starts is killed at
    /// once, and until it has said how it ended the container counts as starting, so that nobody
    /// starts it a second time.
    pub(super) async fn give_up(&mut self) {
        self.given_up = true;
        let error = self.gave_up();
        answer_all(&mut self.starts, Err(error));
        self.call(Op::Signal { exec: None, signal: SIGKILL }, None, Call::Silent).await;
    }

    pub(super) fn gave_up(&self) -> Error {
        let id = &self.record.id;
        Error::internal(format!("failed to start container {id}: its monitor does not answer"))
    }

    /// The kernel marks the work directory of a mount that is never synced, and refuses to mount it
    /// again, since after a crash files may lack what was written. There was none: a container that
    /// is removed when it ends is gone after a crash.
    fn unmark_volatile(&self) {
        if !self.record.host_config.auto_remove || self.life.started_at == 0 {
            return;
        }
        let mark = self.paths.work().join("work/incompat/volatile");
        match std::fs::remove_dir_all(&mark) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => crate::log::warn(&format!("remove {}: {error}", mark.display())),
        }
    }

    /// Freezes or thaws, in a thread that may wait for it.
    fn freezer(&self, freeze: bool) {
        let Some(live) = self.state.live() else { return };
        let facts = self.facts.clone();
        let record = self.record.clone();
        tokio::task::spawn_blocking(move || {
            let group = cgroup::of(&record, live.pid);
            let outcome = group.and_then(|group| {
                let done = if freeze { group.freeze() } else { group.thaw() };
                // An init that was on its way out is not in the group: it waits for its children,
                // which could not end while they are frozen.
                if freeze
                    && done.is_ok()
                    && let Err(ended) = cgroup::of(&record, live.pid)
                {
                    drop(group.thaw());
                    return Err(ended);
                }
                let what = if freeze { "pause" } else { "unpause" };
                done.map_err(|error| {
                    let id = &record.id;
                    // The group went while we looked: so did the container.
                    if error.is_missing_file() {
                        return Error::conflict(format!("container {id} is not running"));
                    }
                    Error::failed(format!("cannot {what} container {id}"), error)
                })
            });
            let fact = match freeze {
                true => Fact::Frozen(live.pid, outcome),
                false => Fact::Thawed(live.pid, outcome),
            };
            drop(facts.blocking_send(fact));
        });
    }

    fn notify(&self, notice: Notice) {
        match notice {
            Notice::Start => self.emit("start", []),
            Notice::Kill(signal) => self.emit("kill", [("signal", signal.to_string())]),
            Notice::Die => {
                let ran = self.life.finished_at.saturating_sub(self.life.started_at);
                let seconds = ran.max(0) / 1_000_000_000;
                self.emit(
                    "die",
                    [
                        ("execDuration", seconds.to_string()),
                        ("exitCode", self.life.exit_code.to_string()),
                    ],
                );
            }
            Notice::Stop => self.emit("stop", []),
            Notice::Pause => self.emit("pause", []),
            Notice::Unpause => self.emit("unpause", []),
            Notice::Destroy => self.emit("destroy", []),
        }
    }

    pub(super) fn emit<const N: usize>(&self, action: &str, more: [(&str, String); N]) {
        emit(&self.core.events, &self.record, action, more);
    }

    /// Writes the record, so that what happened is known after a reboot.
    pub(super) fn persist(&mut self) {
        // It would be removed at the next start anyway; its monitor says whether it runs.
        if self.record.host_config.auto_remove {
            return;
        }
        let mut record = (*self.record).clone();
        record.life = Life { phase: phase(&self.state), ..self.life.clone() };
        if let Err(error) = record::save(&self.paths.dir, &record, Durability::Written) {
            crate::log::warn(&format!("container {}: {error}", self.record.id));
        }
    }

    async fn delete(&mut self) {
        self.queued.clear();
        // Who asks for a removal may look for leftovers at once; who let the container go by
        // itself is told at once.
        if !self.removals.is_empty() {
            // In vain: the files go all the same.
            drop(self.part().await);
        }
        let outcome = trash::discard(&self.core, &self.record, &self.paths);
        drop(self.facts.send(Fact::Deleted(outcome)).await);
    }

    /// Replaces the record by a changed one.
    pub(super) async fn on_change(&mut self, change: Change) -> Result<Arc<Record>> {
        if matches!(self.state, State::Removing(_) | State::Dead) {
            return Err(Error::conflict(
                "Container is marked for removal and cannot be \"update\".",
            ));
        }
        let mut changed = change(&self.record)?;
        changed.life = Life { phase: phase(&self.state), ..self.life.clone() };
        let dir = self.paths.dir.clone();
        let durability =
            if changed.host_config.auto_remove { Durability::Written } else { Durability::Synced };
        let saved = tokio::task::spawn_blocking(move || {
            record::save(&dir, &changed, durability).map(|()| changed)
        });
        let changed =
            saved.await.map_err(|error| Error::failed("save the changed record", error))??;
        let before = std::mem::replace(&mut self.record, Arc::new(changed));
        self.publish();
        Ok(before)
    }

    /// Begins probing, if the container has a health check.
    pub(super) fn begin_health(&mut self) {
        let Some(check) = health::Check::of(&self.record.config) else { return };
        self.health = Some(Arc::new(Health { status: "starting".to_owned(), ..Health::default() }));
        self.publish();
        let probing = health::begin(&self.core, &self.container, check, self.life.started_at);
        self.probing = Some(probing);
    }

    pub(super) fn end_health(&mut self) {
        if let Some(probing) = self.probing.take() {
            probing.abort();
        }
        // As Docker: a container that does not run is not healthy.
        if let Some(health) = &self.health {
            let mut health = (**health).clone();
            health.status = "unhealthy".to_owned();
            self.health = Some(Arc::new(health));
        }
    }

    pub(super) fn on_health(&mut self, health: Health) {
        if self.state.live().is_none() {
            return;
        }
        let before = self.health.as_ref().map_or("", |health| health.status.as_str());
        if before != health.status {
            self.emit(&format!("health_status: {}", health.status), []);
        }
        self.health = Some(Arc::new(health));
        self.publish();
    }
}

/// There are only those that every host has.
fn find_network(record: &Record) -> Result<()> {
    match record.host_config.network_mode.as_str() {
        "" | "default" | "bridge" | "none" | "host" => Ok(()),
        mode if mode.starts_with("container:") => Ok(()),
        name => Err(Error::not_found(format!("network {name} not found"))),
    }
}

/// Emits an event of a container, with the attributes every one has.
pub(crate) fn emit<const N: usize>(
    events: &crate::Events,
    record: &Record,
    action: &str,
    more: [(&str, String); N],
) {
    let mut attributes: std::collections::BTreeMap<String, String> =
        record.config.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    attributes.insert("image".to_owned(), record.config.image.clone());
    attributes.insert("name".to_owned(), record.name.clone());
    attributes.extend(more.map(|(key, value)| (key.to_owned(), value)));
    events.emit("container", action, &record.id, attributes);
}

/// The settled state that the record keeps.
fn phase(state: &State) -> Phase {
    match state {
        State::Creating | State::Created | State::Starting(super::state::Origin::Created) => {
            Phase::Created
        }
        State::Running(_) | State::Pausing(_) | State::Stopping { .. } => Phase::Running,
        State::Paused(_) => Phase::Paused,
        State::Exited | State::Starting(super::state::Origin::Exited) => Phase::Exited,
        State::Restarting | State::Starting(super::state::Origin::Restarting) => Phase::Restarting,
        State::Removing(_) => Phase::Removing,
        State::Dead => Phase::Dead,
    }
}

/// What a failed start is for the API: Docker answers 400 for a program that cannot be run.
pub(super) fn start_error(message: String, program: bool) -> Error {
    let kind = if program { Kind::InvalidArgument } else { Kind::Internal };
    Error::new(kind, message)
}
