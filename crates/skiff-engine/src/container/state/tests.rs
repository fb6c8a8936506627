//! Every transition, allowed and refused, and random lives.

use proptest::prelude::*;

use super::*;
use crate::error::Kind;

const LIVE: Live = Live { pid: 7, started_at: 1 };
const OTHER: Live = Live { pid: 8, started_at: 2 };

fn states() -> Vec<State> {
    vec![
        State::Creating,
        State::Created,
        State::Starting(Origin::Created),
        State::Starting(Origin::Exited),
        State::Starting(Origin::Restarting),
        State::Running(LIVE),
        State::Pausing(LIVE),
        State::Paused(LIVE),
        State::Stopping { live: LIVE, killed: false, keep: false },
        State::Stopping { live: LIVE, killed: true, keep: true },
        State::Exited,
        State::Restarting,
        State::Removing(None),
        State::Removing(Some(LIVE)),
        State::Dead,
    ]
}

/// What each request does in each settled state: the status word after it, or the refusal.
#[test]
fn requests_are_answered_as_docker_answers_them() {
    use Denied::*;
    let stop = Event::Stop { signal: 15, keep: false };
    let kill = Event::Kill { signal: 9, ends: true };
    let remove = Event::Remove { force: false };
    let force = Event::Remove { force: true };
    let running = State::Running(LIVE);
    let paused = State::Paused(LIVE);
    for (state, event, expected) in [
        (State::Created, Event::Start, Ok("created")),
        (State::Created, stop, Err(AlreadyStopped)),
        (State::Created, kill, Err(KillNotRunning)),
        (State::Created, Event::Pause, Err(NotRunning)),
        (State::Created, Event::Unpause, Err(NotPaused)),
        (State::Created, remove, Ok("removing")),
        (State::Created, force, Ok("removing")),
        (State::Created, Event::Exec, Err(NotRunning)),
        (State::Created, Event::Attach, Ok("created")),
        (running, Event::Start, Err(AlreadyRunning)),
        (running, stop, Ok("running")),
        (running, kill, Ok("running")),
        (running, Event::Pause, Ok("running")),
        (running, Event::Unpause, Err(NotPaused)),
        (running, remove, Err(RemoveActive("running"))),
        (running, force, Ok("removing")),
        (running, Event::Exec, Ok("running")),
        (running, Event::Attach, Ok("running")),
        (paused, Event::Start, Err(StartPaused)),
        (paused, stop, Ok("running")),
        (paused, kill, Ok("paused")),
        (paused, Event::Pause, Err(AlreadyPaused)),
        (paused, Event::Unpause, Ok("paused")),
        (paused, remove, Err(RemovePaused)),
        (paused, force, Ok("removing")),
        (paused, Event::Exec, Err(ExecPaused)),
        (paused, Event::Attach, Err(AttachPaused)),
        (State::Exited, Event::Start, Ok("exited")),
        (State::Exited, stop, Err(AlreadyStopped)),
        (State::Exited, kill, Err(KillNotRunning)),
        (State::Exited, Event::Pause, Err(NotRunning)),
        (State::Exited, Event::Unpause, Err(NotPaused)),
        (State::Exited, remove, Ok("removing")),
        (State::Exited, Event::Exec, Err(NotRunning)),
        (State::Restarting, Event::Start, Err(AlreadyRunning)),
        (State::Restarting, stop, Ok("exited")),
        (State::Restarting, kill, Ok("exited")),
        (State::Restarting, Event::Pause, Err(Restarting)),
        (State::Restarting, Event::Unpause, Err(NotPaused)),
        (State::Restarting, remove, Err(RemoveActive("restarting"))),
        (State::Restarting, force, Ok("removing")),
        (State::Restarting, Event::Exec, Err(Restarting)),
        (State::Restarting, Event::Attach, Err(Restarting)),
        (State::Removing(None), Event::Start, Err(MarkedForRemoval)),
        (State::Removing(None), stop, Err(AlreadyStopped)),
        (State::Removing(None), kill, Err(KillNotRunning)),
        (State::Removing(None), remove, Err(RemovalInProgress)),
        (State::Removing(Some(LIVE)), force, Err(RemovalInProgress)),
        (State::Dead, Event::Start, Err(MarkedForRemoval)),
        (State::Dead, stop, Err(AlreadyStopped)),
        (State::Dead, kill, Err(KillNotRunning)),
        (State::Dead, Event::Pause, Err(NotRunning)),
        (State::Dead, remove, Ok("removing")),
    ] {
        let found = step(&state, event).map(|(state, _)| state.status());
        assert_eq!(found, expected, "{event:?} in {state:?}");
    }
}

#[test]
fn requests_wait_for_states_that_are_on_their_way() {
    let requests = [
        Event::Start,
        Event::Stop { signal: 15, keep: false },
        Event::Kill { signal: 9, ends: true },
        Event::Pause,
        Event::Unpause,
        Event::Remove { force: true },
        Event::Exec,
    ];
    for state in [State::Starting(Origin::Created), State::Pausing(LIVE)] {
        for request in requests {
            assert_eq!(step(&state, request), Err(Denied::Later), "{request:?} in {state:?}");
        }
    }
}

#[test]
fn facts_lead_where_they_should() {
    let stopping = |keep| State::Stopping { live: LIVE, killed: false, keep };
    for (state, event, expected) in [
        (State::Creating, Event::Created, State::Created),
        (State::Starting(Origin::Created), Event::Started(LIVE), State::Running(LIVE)),
        (State::Running(LIVE), Event::Started(OTHER), State::Running(OTHER)),
        (State::Paused(LIVE), Event::Started(OTHER), State::Paused(OTHER)),
        (State::Removing(Some(LIVE)), Event::Started(OTHER), State::Removing(Some(OTHER))),
        (State::Starting(Origin::Created), Event::StartFailed, State::Created),
        (State::Starting(Origin::Exited), Event::StartFailed, State::Exited),
        (State::Starting(Origin::Restarting), Event::StartFailed, State::Exited),
        (State::Running(LIVE), Event::Exited(Next::Rest), State::Exited),
        (State::Running(LIVE), Event::Exited(Next::Restart), State::Restarting),
        (State::Running(LIVE), Event::Exited(Next::Remove), State::Removing(None)),
        (State::Pausing(LIVE), Event::Frozen, State::Paused(LIVE)),
        (State::Pausing(LIVE), Event::FreezeFailed, State::Running(LIVE)),
        (State::Pausing(LIVE), Event::Exited(Next::Rest), State::Exited),
        (State::Paused(LIVE), Event::Thawed, State::Running(LIVE)),
        (State::Paused(LIVE), Event::Exited(Next::Rest), State::Exited),
        (stopping(false), Event::Exited(Next::Remove), State::Removing(None)),
        (stopping(true), Event::Exited(Next::Remove), State::Exited),
        (stopping(false), Event::Thawed, stopping(false)),
        (
            stopping(false),
            Event::GraceOver,
            State::Stopping { live: LIVE, killed: true, keep: false },
        ),
        (
            State::Stopping { live: LIVE, killed: true, keep: false },
            Event::GraceOver,
            State::Running(LIVE),
        ),
        (State::Restarting, Event::BackoffOver, State::Starting(Origin::Restarting)),
        (State::Removing(Some(LIVE)), Event::Exited(Next::Rest), State::Removing(None)),
        (State::Removing(Some(LIVE)), Event::GraceOver, State::Running(LIVE)),
        (State::Removing(None), Event::RemoveFailed, State::Dead),
    ] {
        let found = step(&state, event).map(|(state, _)| state);
        assert_eq!(found, Ok(expected), "{event:?} in {state:?}");
    }
}

#[test]
fn a_stop_asks_then_kills_then_gives_up() {
    let (state, effects) =
        step(&State::Running(LIVE), Event::Stop { signal: 15, keep: false }).unwrap();
    assert_eq!(
        effects,
        [Effect::MarkStopped, Effect::Signal(15), Effect::Emit(Notice::Kill(15)), Effect::ArmGrace]
    );
    let (state, effects) = step(&state, Event::GraceOver).unwrap();
    assert_eq!(effects, [Effect::Signal(9), Effect::Emit(Notice::Kill(9)), Effect::ArmKillGrace]);
    let (state, effects) = step(&state, Event::GraceOver).unwrap();
    assert_eq!((state, effects), (State::Running(LIVE), vec![Effect::GiveUp]));
}

#[test]
fn a_forced_removal_of_a_paused_container_thaws_it_for_its_end() {
    let (state, effects) = step(&State::Paused(LIVE), Event::Remove { force: true }).unwrap();
    assert!(effects.contains(&Effect::Signal(9)) && effects.contains(&Effect::Thaw));
    let (state, effects) = step(&state, Event::Exited(Next::Restart)).unwrap();
    assert_eq!(state, State::Removing(None));
    assert_eq!(effects.last(), Some(&Effect::Delete));
    let (_, effects) = step(&state, Event::Removed).unwrap();
    assert_eq!(effects, [Effect::Emit(Notice::Destroy), Effect::WakeRemoved]);
}

#[test]
fn refusals_have_dockers_words_and_kinds() {
    for (denied, kind, text) in [
        (Denied::AlreadyRunning, Kind::NotModified, "container is already running"),
        (Denied::AlreadyStopped, Kind::NotModified, "container is already stopped"),
        (
            Denied::StartPaused,
            Kind::Conflict,
            "cannot start a paused container, try unpause instead",
        ),
        (
            Denied::MarkedForRemoval,
            Kind::Conflict,
            "container is marked for removal and cannot be started",
        ),
        (Denied::NotRunning, Kind::Conflict, "container ID is not running"),
        (
            Denied::KillNotRunning,
            Kind::Conflict,
            "cannot kill container: x: container ID is not running",
        ),
        (Denied::AlreadyPaused, Kind::Conflict, "container ID is already paused"),
        (Denied::NotPaused, Kind::Internal, "Container ID is not paused"),
        (
            Denied::RemoveActive("running"),
            Kind::Conflict,
            "cannot remove container \"name\": container is running: stop the container before \
             removing or force remove",
        ),
        (
            Denied::RemovePaused,
            Kind::Conflict,
            "cannot remove container \"name\": container is paused and must be unpaused first",
        ),
        (
            Denied::RemovalInProgress,
            Kind::Conflict,
            "removal of container x is already in progress",
        ),
        (Denied::Unknown, Kind::NotFound, "No such container: x"),
        (
            Denied::Restarting,
            Kind::Conflict,
            "Container ID is restarting, wait until the container is running",
        ),
        (
            Denied::ExecPaused,
            Kind::Conflict,
            "Container x is paused, unpause the container before exec",
        ),
    ] {
        let error = denied.error("ID", "name", "x");
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text), "{denied:?}");
    }
}

fn events() -> impl Strategy<Value = Event> {
    let next = prop_oneof![Just(Next::Rest), Just(Next::Restart), Just(Next::Remove)];
    prop_oneof![
        Just(Event::Start),
        (1..32, any::<bool>()).prop_map(|(signal, keep)| Event::Stop { signal, keep }),
        (1..32, any::<bool>()).prop_map(|(signal, ends)| Event::Kill { signal, ends }),
        Just(Event::Pause),
        Just(Event::Unpause),
        any::<bool>().prop_map(|force| Event::Remove { force }),
        Just(Event::Exec),
        Just(Event::Attach),
        Just(Event::Created),
        (1..100_i32).prop_map(|pid| Event::Started(Live { pid, started_at: 5 })),
        Just(Event::StartFailed),
        Just(Event::Frozen),
        Just(Event::FreezeFailed),
        Just(Event::Thawed),
        Just(Event::GraceOver),
        next.prop_map(Event::Exited),
        Just(Event::BackoffOver),
        Just(Event::Removed),
        Just(Event::RemoveFailed),
    ]
}

proptest! {
    /// Whatever happens in whatever order: a process appears only by a start and goes only by an
    /// exit, a container without one is never signalled, and what is removed stays removed.
    #[test]
    fn random_lives_keep_the_rules(events in prop::collection::vec(events(), 0..200)) {
        let mut state = State::Creating;
        let mut deleted = false;
        for event in events {
            let before = state;
            let Ok((after, effects)) = step(&before, event) else { continue };
            match event {
                Event::Started(live) => prop_assert_eq!(after.live(), Some(live)),
                Event::Exited(_) => prop_assert_eq!(after.live(), None),
                _ => prop_assert_eq!(after.live(), before.live()),
            }
            for effect in &effects {
                if matches!(effect, Effect::Signal(_) | Effect::Freeze | Effect::Thaw) {
                    prop_assert!(before.live().is_some(), "{:?} in {:?}", effect, before);
                }
            }
            let launches = effects.contains(&Effect::Launch);
            prop_assert_eq!(launches, matches!(after, State::Starting(_))
                && !matches!(before, State::Starting(_)));
            if effects.contains(&Effect::Delete) {
                prop_assert_eq!(after, State::Removing(None));
                deleted = true;
            }
            if matches!(before, State::Removing(None) | State::Dead) && deleted {
                prop_assert!(matches!(after, State::Removing(None) | State::Dead));
            }
            state = after;
        }
    }

    /// From wherever a container is, the end of its process is always understood.
    #[test]
    fn an_end_is_never_lost(index in 0..15_usize) {
        let state = states()[index];
        let ended = step(&state, Event::Exited(Next::Rest));
        prop_assert_eq!(ended.is_ok(), state.live().is_some());
    }
}

#[test]
fn a_stop_after_sigkill_does_not_shorten_the_wait_for_the_end() {
    let live = Live { pid: 1, started_at: 0 };
    let killed = State::Stopping { live, killed: true, keep: false };
    let asked = State::Stopping { live, killed: false, keep: false };
    for (state, signal, armed) in [
        (killed, 15, None),
        (killed, 9, None),
        (asked, 15, Some(Effect::ArmGrace)),
        (asked, 9, Some(Effect::ArmKillGrace)),
        (State::Running(live), 9, Some(Effect::ArmKillGrace)),
        (State::Paused(live), 9, Some(Effect::ArmKillGrace)),
        (State::Paused(live), 15, Some(Effect::ArmGrace)),
    ] {
        let (_, effects) = step(&state, Event::Stop { signal, keep: false }).unwrap();
        let arms = |effect: &Effect| matches!(effect, Effect::ArmGrace | Effect::ArmKillGrace);
        assert_eq!(effects.into_iter().find(arms), armed, "{state:?} {signal}");
    }
}
