//! The life of a container, as a pure machine: which state follows which event, what is to be done
//! about it, and what is refused. No I/O, no clock; `driver.rs` feeds events and carries effects
//! out, and nothing else changes a container's state.
//!
//! ```text
//!            Created           Start            Started
//! Creating ───────▶ Created ─────────▶ Starting ─────────▶ Running ◀──Thawed── Paused
//!                      ▲                │  │  ▲              │ │ │ ───Pause──▶ Pausing ─Frozen─▲
//!                      └──StartFailed───┘  │  │              │ │ └──Stop──▶ Stopping ─▶(Exited)
//!                                          │  └─BackoffOver─ │ │
//!                           StartFailed    │             Restarting ◀─Exited+restart
//!                    Exited ◀──────────────┘                 │
//!                      ▲ ◀──────Exited+rest──────────────────┘
//!   Remove, or Exited+remove:  any ─▶ Removing ─Removed─▶ (gone)    Removing ─RemoveFailed─▶ Dead
//! ```
//!
//! A request that meets a state on its way to another is [`Denied::Later`]: the driver asks again
//! when that state is reached, so the answer is the one the settled state gives.

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its files are being made; nobody else can see it.
    Creating,
    /// It never ran (or never got as far as running).
    Created,
    /// A monitor is launching it.
    Starting(Origin),
    Running(Live),
    /// Its processes are being frozen.
    Pausing(Live),
    Paused(Live),
    /// It was asked to end.
    Stopping {
        live: Live,
        /// SIGKILL was sent, too.
        killed: bool,
        /// Do not remove it when it ends, although it is one that would be (`restart`).
        keep: bool,
    },
    Exited,
    /// It ended and will be started again when its back-off is over.
    Restarting,
    /// It is being removed; with a process, as soon as that has ended.
    Removing(Option<Live>),
    /// Removing it failed, or its record is damaged; it can only be removed.
    Dead,
}

/// A container's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// In the host's pid namespace.
    pub pid: i32,
    /// Nanoseconds since the epoch.
    pub started_at: i64,
}

/// What a container was before it was starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Created,
    Exited,
    /// Its restart policy starts it.
    Restarting,
}

/// What becomes of a container that ended: its restart policy and `--rm` decide (`restart.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Rest,
    Restart,
    Remove,
}

/// What happens to a container: requests first, then facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Start,
    /// Ask it to end with `signal`, kill it when the grace is over.
    Stop {
        signal: i32,
        keep: bool,
    },
    /// Send a signal. `ends` is set for signals that are meant to end it.
    Kill {
        signal: i32,
        ends: bool,
    },
    Pause,
    Unpause,
    Remove {
        force: bool,
    },
    Exec,
    Attach,

    /// Its files are complete.
    Created,
    /// Its process, of a container that is starting. For one that has a process already it is which
    /// one: its monitor did not answer at first.
    Started(Live),
    StartFailed,
    Frozen,
    FreezeFailed,
    Thawed,
    /// The time to end by itself, or by SIGKILL, is over.
    GraceOver,
    Exited(Next),
    BackoffOver,
    Removed,
    RemoveFailed,
}

/// What is to be done about an event, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Launch,
    /// Send a signal to its init.
    Signal(i32),
    Freeze,
    Thaw,
    /// Have [`Event::GraceOver`] come after the time asked for, or after [`KILL_GRACE_S`].
    ArmGrace,
    ArmKillGrace,
    DisarmGrace,
    ArmBackoff,
    DisarmBackoff,
    /// Remember that somebody wants it ended: its restart policy does not apply.
    MarkStopped,
    Emit(Notice),
    /// Write the record.
    Persist,
    /// It ended: wake who waits for that.
    WakeExit,
    /// It is gone: wake everybody.
    WakeRemoved,
    /// Delete its files, and have [`Event::Removed`] or [`Event::RemoveFailed`] come.
    Delete,
    /// It cannot be killed: tell who waits for its end.
    GiveUp,
}

/// Events that clients of the API see. Texts and attributes are `driver.rs`'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    Start,
    Kill(i32),
    Die,
    Stop,
    Pause,
    Unpause,
    Destroy,
}

/// Seconds a process has to go away after SIGKILL.
pub const KILL_GRACE_S: u64 = 10;

const SIGKILL: i32 = 9;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Ask again in the next state.
    Later,
    /// There is no such container for anybody yet, or any more.
    Unknown,
    AlreadyRunning,
    AlreadyStopped,
    StartPaused,
    MarkedForRemoval,
    NotRunning,
    KillNotRunning,
    AlreadyPaused,
    NotPaused,
    Restarting,
    RemoveActive(&'static str),
    RemovePaused,
    RemovalInProgress,
    ExecPaused,
    AttachPaused,
    /// A fact that cannot happen in this state; a late message, to be ignored.
    Stale,
}

type Step = Result<(State, Vec<Effect>), Denied>;

/// What follows from `event` in `state`.
pub fn step(state: &State, event: Event) -> Step {
    match *state {
        State::Creating => creating(event),
        State::Created => resting(Origin::Created, event),
        State::Starting(origin) => starting(origin, event),
        State::Running(live) => running(live, event),
        State::Pausing(live) => pausing(live, event),
        State::Paused(live) => paused(live, event),
        State::Stopping { live, killed, keep } => stopping(live, killed, keep, event),
        State::Exited => resting(Origin::Exited, event),
        State::Restarting => restarting(event),
        State::Removing(live) => removing(live, event),
        State::Dead => dead(event),
    }
}

fn creating(event: Event) -> Step {
    match event {
        Event::Created => Ok((State::Created, vec![])),
        Event::Start
        | Event::Stop { .. }
        | Event::Kill { .. }
        | Event::Pause
        | Event::Unpause
        | Event::Remove { .. }
        | Event::Exec
        | Event::Attach => Err(Denied::Unknown),
        Event::Started(_)
        | Event::StartFailed
        | Event::Frozen
        | Event::FreezeFailed
        | Event::Thawed
        | Event::GraceOver
        | Event::Exited(_)
        | Event::BackoffOver
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

/// Created and Exited: nothing runs.
fn resting(origin: Origin, event: Event) -> Step {
    let here = match origin {
        Origin::Created => State::Created,
        Origin::Exited | Origin::Restarting => State::Exited,
    };
    match event {
        Event::Start => Ok((State::Starting(origin), vec![Effect::Launch])),
        Event::Stop { .. } => Err(Denied::AlreadyStopped),
        Event::Kill { .. } => Err(Denied::KillNotRunning),
        Event::Pause | Event::Exec => Err(Denied::NotRunning),
        Event::Unpause => Err(Denied::NotPaused),
        Event::Remove { .. } => Ok((State::Removing(None), vec![Effect::Delete])),
        Event::Attach => Ok((here, vec![])),
        Event::Created
        | Event::Started(_)
        | Event::StartFailed
        | Event::Frozen
        | Event::FreezeFailed
        | Event::Thawed
        | Event::GraceOver
        | Event::Exited(_)
        | Event::BackoffOver
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

fn starting(origin: Origin, event: Event) -> Step {
    match event {
        Event::Started(live) => {
            Ok((State::Running(live), vec![Effect::Emit(Notice::Start), Effect::Persist]))
        }
        Event::StartFailed => {
            let back = match origin {
                Origin::Created => State::Created,
                Origin::Exited | Origin::Restarting => State::Exited,
            };
            Ok((back, vec![Effect::Persist]))
        }
        Event::Start
        | Event::Stop { .. }
        | Event::Kill { .. }
        | Event::Pause
        | Event::Unpause
        | Event::Remove { .. }
        | Event::Exec => Err(Denied::Later),
        Event::Attach => Ok((State::Starting(origin), vec![])),
        Event::Created
        | Event::Frozen
        | Event::FreezeFailed
        | Event::Thawed
        | Event::GraceOver
        | Event::Exited(_)
        | Event::BackoffOver
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

/// A process has ended by itself, or by a signal: what every state with a process does.
fn ended(next: Next, stopped: bool) -> (State, Vec<Effect>) {
    let mut effects = vec![Effect::Emit(Notice::Die)];
    if stopped {
        effects.extend([Effect::DisarmGrace, Effect::Emit(Notice::Stop)]);
    }
    let state = match next {
        Next::Rest => State::Exited,
        Next::Restart => State::Restarting,
        Next::Remove => State::Removing(None),
    };
    effects.extend([Effect::Persist, Effect::WakeExit]);
    match next {
        Next::Rest => {}
        Next::Restart => effects.push(Effect::ArmBackoff),
        Next::Remove => effects.push(Effect::Delete),
    }
    (state, effects)
}

/// How long to wait after a stop's first signal: nothing comes after SIGKILL, so the time that the
/// client gives does not count then.
fn grace_after(signal: i32) -> Effect {
    if signal == SIGKILL { Effect::ArmKillGrace } else { Effect::ArmGrace }
}

fn running(live: Live, event: Event) -> Step {
    let here = State::Running(live);
    match event {
        Event::Start => Err(Denied::AlreadyRunning),
        Event::Stop { signal, keep } => Ok((
            State::Stopping { live, killed: signal == SIGKILL, keep },
            vec![
                Effect::MarkStopped,
                Effect::Signal(signal),
                Effect::Emit(Notice::Kill(signal)),
                grace_after(signal),
            ],
        )),
        Event::Kill { signal, ends } => {
            let mut effects = vec![Effect::Signal(signal), Effect::Emit(Notice::Kill(signal))];
            if ends {
                effects.insert(0, Effect::MarkStopped);
            }
            Ok((here, effects))
        }
        Event::Pause => Ok((State::Pausing(live), vec![Effect::Freeze])),
        Event::Unpause => Err(Denied::NotPaused),
        Event::Remove { force: false } => Err(Denied::RemoveActive("running")),
        Event::Remove { force: true } => Ok(kill_and_remove(live, false)),
        Event::Exec | Event::Attach => Ok((here, vec![])),
        Event::Started(live) => Ok((State::Running(live), vec![])),
        Event::Exited(next) => Ok(ended(next, false)),
        Event::Created
        | Event::StartFailed
        | Event::Frozen
        | Event::FreezeFailed
        | Event::Thawed
        | Event::GraceOver
        | Event::BackoffOver
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

fn kill_and_remove(live: Live, frozen: bool) -> (State, Vec<Effect>) {
    let mut effects = vec![
        Effect::MarkStopped,
        Effect::Signal(SIGKILL),
        Effect::Emit(Notice::Kill(SIGKILL)),
        Effect::ArmKillGrace,
    ];
    if frozen {
        effects.push(Effect::Thaw);
    }
    (State::Removing(Some(live)), effects)
}

fn pausing(live: Live, event: Event) -> Step {
    match event {
        Event::Frozen => {
            Ok((State::Paused(live), vec![Effect::Emit(Notice::Pause), Effect::Persist]))
        }
        Event::FreezeFailed => Ok((State::Running(live), vec![])),
        Event::Started(live) => Ok((State::Pausing(live), vec![])),
        Event::Exited(next) => Ok(ended(next, false)),
        Event::Start
        | Event::Stop { .. }
        | Event::Kill { .. }
        | Event::Pause
        | Event::Unpause
        | Event::Remove { .. }
        | Event::Exec
        | Event::Attach => Err(Denied::Later),
        Event::Created
        | Event::StartFailed
        | Event::Thawed
        | Event::GraceOver
        | Event::BackoffOver
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

fn paused(live: Live, event: Event) -> Step {
    let here = State::Paused(live);
    match event {
        Event::Start => Err(Denied::StartPaused),
        // A frozen process takes its signal when it is thawed.
        Event::Stop { signal, keep } => Ok((
            State::Stopping { live, killed: signal == SIGKILL, keep },
            vec![
                Effect::MarkStopped,
                Effect::Signal(signal),
                Effect::Emit(Notice::Kill(signal)),
                Effect::Thaw,
                grace_after(signal),
            ],
        )),
        Event::Kill { signal, ends } => {
            let mut effects = vec![Effect::Signal(signal), Effect::Emit(Notice::Kill(signal))];
            if ends {
                effects.insert(0, Effect::MarkStopped);
                effects.push(Effect::Thaw);
            }
            Ok((here, effects))
        }
        Event::Pause => Err(Denied::AlreadyPaused),
        Event::Unpause => Ok((here, vec![Effect::Thaw])),
        Event::Remove { force: false } => Err(Denied::RemovePaused),
        Event::Remove { force: true } => Ok(kill_and_remove(live, true)),
        Event::Exec => Err(Denied::ExecPaused),
        Event::Attach => Err(Denied::AttachPaused),
        Event::Thawed => {
            Ok((State::Running(live), vec![Effect::Emit(Notice::Unpause), Effect::Persist]))
        }
        Event::Started(live) => Ok((State::Paused(live), vec![])),
        Event::Exited(next) => Ok(ended(next, false)),
        Event::Created
        | Event::StartFailed
        | Event::Frozen
        | Event::FreezeFailed
        | Event::GraceOver
        | Event::BackoffOver
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

fn stopping(live: Live, killed: bool, keep: bool, event: Event) -> Step {
    let here = State::Stopping { live, killed, keep };
    match event {
        Event::Start => Err(Denied::AlreadyRunning),
        // A second request may be more urgent than the first, never less.
        Event::Stop { signal, keep: also } => {
            let mut effects = vec![Effect::Signal(signal), Effect::Emit(Notice::Kill(signal))];
            // After SIGKILL there is nothing left to be impatient about.
            if !killed {
                effects.push(grace_after(signal));
            }
            let killed = killed || signal == SIGKILL;
            Ok((State::Stopping { live, killed, keep: keep || also }, effects))
        }
        Event::Kill { signal, .. } => {
            Ok((here, vec![Effect::Signal(signal), Effect::Emit(Notice::Kill(signal))]))
        }
        Event::Pause | Event::Unpause => Err(Denied::Later),
        Event::Remove { force: false } => Err(Denied::RemoveActive("running")),
        Event::Remove { force: true } => Ok(kill_and_remove(live, false)),
        Event::Exec | Event::Attach => Ok((here, vec![])),
        Event::Thawed => Ok((here, vec![Effect::Emit(Notice::Unpause)])),
        Event::GraceOver if killed => Ok((State::Running(live), vec![Effect::GiveUp])),
        Event::GraceOver => Ok((
            State::Stopping { live, killed: true, keep },
            vec![
                Effect::Signal(SIGKILL),
                Effect::Emit(Notice::Kill(SIGKILL)),
                Effect::ArmKillGrace,
            ],
        )),
        Event::Started(live) => Ok((State::Stopping { live, killed, keep }, vec![])),
        Event::Exited(next) => {
            let next = if keep { Next::Rest } else { next };
            Ok(ended(next, true))
        }
        Event::Created
        | Event::StartFailed
        | Event::Frozen
        | Event::FreezeFailed
        | Event::BackoffOver
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

fn restarting(event: Event) -> Step {
    match event {
        Event::Start => Err(Denied::AlreadyRunning),
        Event::Stop { .. } => Ok((
            State::Exited,
            vec![
                Effect::MarkStopped,
                Effect::DisarmBackoff,
                Effect::Emit(Notice::Stop),
                Effect::Persist,
                Effect::WakeExit,
            ],
        )),
        Event::Kill { .. } => Ok((
            State::Exited,
            vec![Effect::MarkStopped, Effect::DisarmBackoff, Effect::Persist, Effect::WakeExit],
        )),
        Event::Pause | Event::Exec | Event::Attach => Err(Denied::Restarting),
        Event::Unpause => Err(Denied::NotPaused),
        Event::Remove { force: false } => Err(Denied::RemoveActive("restarting")),
        Event::Remove { force: true } => {
            Ok((State::Removing(None), vec![Effect::DisarmBackoff, Effect::Delete]))
        }
        Event::BackoffOver => Ok((State::Starting(Origin::Restarting), vec![Effect::Launch])),
        Event::Created
        | Event::Started(_)
        | Event::StartFailed
        | Event::Frozen
        | Event::FreezeFailed
        | Event::Thawed
        | Event::GraceOver
        | Event::Exited(_)
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

fn removing(live: Option<Live>, event: Event) -> Step {
    match (event, live) {
        (Event::Start, _) => Err(Denied::MarkedForRemoval),
        (Event::Stop { .. } | Event::Kill { .. } | Event::Pause | Event::Exec, Some(_)) => {
            Err(Denied::Later)
        }
        (Event::Stop { .. }, None) => Err(Denied::AlreadyStopped),
        (Event::Kill { .. }, None) => Err(Denied::KillNotRunning),
        (Event::Pause | Event::Exec, None) => Err(Denied::NotRunning),
        (Event::Unpause, _) => Err(Denied::NotPaused),
        (Event::Remove { .. }, _) => Err(Denied::RemovalInProgress),
        (Event::Attach, _) => Err(Denied::MarkedForRemoval),
        (Event::Started(live), Some(_)) => Ok((State::Removing(Some(live)), vec![])),
        (Event::Exited(_), Some(_)) => {
            let (_, mut effects) = ended(Next::Rest, false);
            effects.extend([Effect::DisarmGrace, Effect::Delete]);
            Ok((State::Removing(None), effects))
        }
        (Event::GraceOver, Some(live)) => Ok((State::Running(live), vec![Effect::GiveUp])),
        (Event::Thawed, Some(_)) => Ok((State::Removing(live), vec![])),
        (Event::Removed, None) => {
            Ok((State::Removing(None), vec![Effect::Emit(Notice::Destroy), Effect::WakeRemoved]))
        }
        (Event::RemoveFailed, None) => Ok((State::Dead, vec![Effect::Persist])),
        (Event::Started(_) | Event::Exited(_) | Event::GraceOver | Event::Thawed, None)
        | (Event::Removed | Event::RemoveFailed, Some(_))
        | (
            Event::Created
            | Event::StartFailed
            | Event::Frozen
            | Event::FreezeFailed
            | Event::BackoffOver,
            _,
        ) => Err(Denied::Stale),
    }
}

fn dead(event: Event) -> Step {
    match event {
        Event::Remove { .. } => Ok((State::Removing(None), vec![Effect::Delete])),
        Event::Start | Event::Attach => Err(Denied::MarkedForRemoval),
        Event::Stop { .. } => Err(Denied::AlreadyStopped),
        Event::Kill { .. } => Err(Denied::KillNotRunning),
        Event::Pause | Event::Exec => Err(Denied::NotRunning),
        Event::Unpause => Err(Denied::NotPaused),
        Event::Created
        | Event::Started(_)
        | Event::StartFailed
        | Event::Frozen
        | Event::FreezeFailed
        | Event::Thawed
        | Event::GraceOver
        | Event::Exited(_)
        | Event::BackoffOver
        | Event::Removed
        | Event::RemoveFailed => Err(Denied::Stale),
    }
}

impl State {
    /// The container's process, if it has one.
    pub fn live(&self) -> Option<Live> {
        match *self {
            State::Running(live)
            | State::Pausing(live)
            | State::Paused(live)
            | State::Stopping { live, .. } => Some(live),
            State::Removing(live) => live,
            State::Creating
            | State::Created
            | State::Starting(_)
            | State::Exited
            | State::Restarting
            | State::Dead => None,
        }
    }

    /// What Docker calls running: it has a process, or is about to have one again.
    pub fn is_active(&self) -> bool {
        self.live().is_some()
            || matches!(self, State::Restarting | State::Starting(Origin::Restarting))
    }
}

#[cfg(test)]
mod tests;
