//! How a container is that is recorded: what its monitor says, or what is left of it.
//!
//! The order loses nothing: the monitor's socket is tried first; where nobody listens, the exit
//! record is read, which a monitor renames into place before its socket closes.
//!
//! Invariant: a monitor counts as dead only when it is, which is when nobody listens on its socket.
//! One that lives and does not answer (it is stopped, waits for another runtime or for a disk) keeps
//! its container; its driver has the answer when it comes.

use std::fs;
use std::time::Duration;

use skiff_shim::protocol::{Answer, ExitRecord, Message, Op, Status};

use super::driver::{Initial, Tie};
use super::monitor::{Monitor, nobody_listens};
use super::record::{self, Durability, Life, Paths, Phase, Record};
use super::state::{Live, Origin, State};
use super::{cgroup, launch};
use crate::{clock, log};

/// How long the start of the engine waits for a monitor to say how its container is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);

/// What became of a container's monitor.
enum Found {
    Answers(Monitor, Status),
    /// It was asked, by the request of that number.
    Silent(Monitor, u64),
    /// It could not even be asked yet.
    Unreachable,
    Gone,
}

/// Finds out how a container is.
pub(super) async fn revive(mut record: Record, paths: Paths) -> Initial {
    let before = record.life.clone();
    let mut tie = Tie::None;
    match (hello(&paths).await, launch::read_exit_record(&paths)) {
        (Found::Answers(monitor, status), _) => match status.exited {
            Some(exit) => ended(&mut record, &exit),
            None => return alive(record, monitor, &status),
        },
        // It is letting go of what the container had.
        (Found::Silent(monitor, _), Some(exit)) => {
            ended(&mut record, &exit);
            tie = Tie::Leaving(monitor);
        }
        (Found::Gone | Found::Unreachable, Some(exit)) => ended(&mut record, &exit),
        (Found::Silent(monitor, seq), None) => {
            let init = monitor.peer().and_then(first_child);
            return silent(record, init, Tie::Silent(monitor, seq));
        }
        (Found::Unreachable, None) => return silent(record, None, Tie::Unreachable),
        (Found::Gone, None) => lost(&mut record, &paths).await,
    }
    // Before the exit record goes.
    if record.life != before
        && let Err(error) = record::save(&paths.dir, &record, Durability::Written)
    {
        log::warn(&format!("container {}: {error}", record.id));
    }
    launch::clean_run_dir(&paths);
    if let Tie::None = tie {
        launch::clear_bundle(&paths).await;
    }
    let state = match record.life.phase {
        Phase::Created => State::Created,
        Phase::Dead | Phase::Removing => State::Dead,
        Phase::Running | Phase::Paused | Phase::Restarting | Phase::Exited => State::Exited,
    };
    Initial { record, state, tie, restart: false }
}

/// Asks the container's monitor, if there is one.
async fn hello(paths: &Paths) -> Found {
    let connected = tokio::time::timeout(HELLO_TIMEOUT, Monitor::of_container(&paths.run_dir));
    let mut monitor = match connected.await {
        Ok(Ok(monitor)) => monitor,
        Ok(Err(error)) if nobody_listens(&error) => return Found::Gone,
        Ok(Err(_)) | Err(_) => return Found::Unreachable,
    };
    let Ok(seq) = monitor.send(Op::Hello, &[]).await else { return Found::Gone };
    let answer = async {
        loop {
            match monitor.next().await.ok()?? {
                Message::Reply(reply) if reply.seq == seq => match reply.answer {
                    Answer::Status(status) => return Some(status),
                    _ => return None,
                },
                // An end that comes before the answer is in the answer, too.
                Message::Reply(_) | Message::Event(_) => {}
            }
        }
    };
    match tokio::time::timeout(HELLO_TIMEOUT, answer).await {
        Ok(Some(status)) => Found::Answers(monitor, status),
        Ok(None) => Found::Gone,
        Err(_) => Found::Silent(monitor, seq),
    }
}

fn alive(mut record: Record, monitor: Monitor, status: &Status) -> Initial {
    let live = Live { pid: status.pid, started_at: status.started_at };
    record.life.started_at = status.started_at;
    let state = with_process(&mut record, live);
    Initial { record, state, tie: Tie::Known(monitor), restart: false }
}

/// A container whose monitor lives and says nothing: what was written down last counts, until it
/// does.
fn silent(mut record: Record, init: Option<i32>, tie: Tie) -> Initial {
    let starting = match record.life.phase {
        // Nobody writes down that it runs.
        _ if record.host_config.auto_remove => None,
        Phase::Created => Some(Origin::Created),
        Phase::Exited => Some(Origin::Exited),
        Phase::Restarting => Some(Origin::Restarting),
        Phase::Running | Phase::Paused | Phase::Removing | Phase::Dead => None,
    };
    log::warn(&format!("container {}: its monitor lives and does not answer yet", record.id));
    let state = match starting {
        Some(origin) => State::Starting(origin),
        None => {
            let life = &mut record.life;
            life.started_at = if life.started_at == 0 { clock::now() } else { life.started_at };
            let live = Live { pid: init.unwrap_or(0), started_at: life.started_at };
            with_process(&mut record, live)
        }
    };
    Initial { record, state, tie, restart: false }
}

fn with_process(record: &mut Record, live: Live) -> State {
    record.life.exit_code = 0;
    record.life.error.clear();
    let group = cgroup::of(record, live.pid);
    let frozen = group.is_ok_and(|group| group.is_frozen().unwrap_or(false));
    if frozen { State::Paused(live) } else { State::Running(live) }
}

/// The container's init: its monitor has no child that is older.
fn first_child(monitor: i32) -> Option<i32> {
    let path = format!("/proc/{monitor}/task/{monitor}/children");
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

fn ended(record: &mut Record, exit: &ExitRecord) {
    record.life = Life {
        phase: Phase::Exited,
        // It ran, even if nobody has written that down.
        started_at: if record.life.started_at == 0 { exit.at } else { record.life.started_at },
        finished_at: exit.at,
        exit_code: exit.exit_code,
        oom_killed: exit.oom_killed,
        ..record.life.clone()
    };
}

/// The host went down, or the monitor was killed: nobody saw how the container ended, if it has.
async fn lost(record: &mut Record, paths: &Paths) {
    let unrecorded = record.host_config.auto_remove && paths.run_dir.exists();
    if !unrecorded && !matches!(record.life.phase, Phase::Running | Phase::Paused) {
        return;
    }
    // What another runtime has left is left to that.
    if paths.run_dir.exists() && !paths.bundle().exists() {
        cgroup::kill(record, None).await;
    }
    ended(record, &ExitRecord { exit_code: 255, oom_killed: false, at: clock::now() });
}
