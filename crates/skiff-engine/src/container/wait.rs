//! Clients that wait for a container to end or to be gone.

use skiff_api::{WaitExitError, WaitResponse};
use tokio::sync::oneshot;

use super::WaitCondition;
use super::record::Life;
use super::state::State;

/// Those who wait for one container.
#[derive(Default)]
pub(super) struct Waiters(Vec<(WaitCondition, oneshot::Sender<WaitResponse>)>);

impl Waiters {
    /// Adds one, or answers at once when what it waits for is the case.
    pub(super) fn add(
        &mut self,
        condition: WaitCondition,
        ended: oneshot::Sender<WaitResponse>,
        state: &State,
        life: &Life,
    ) {
        let active = state.is_active() || matches!(state, State::Starting(_));
        if condition == WaitCondition::NotRunning && !active {
            drop(ended.send(response(life)));
            return;
        }
        // Clients that went away while a container ran for months.
        self.0.retain(|(_, waiter)| !waiter.is_closed());
        self.0.push((condition, ended));
    }

    /// The container ended.
    pub(super) fn wake_ended(&mut self, life: &Life) {
        self.wake(life, |condition| match condition {
            WaitCondition::NotRunning | WaitCondition::NextExit => true,
            WaitCondition::Removed => false,
        });
    }

    /// The container is gone.
    pub(super) fn wake_all(&mut self, life: &Life) {
        self.wake(life, |_| true);
    }

    fn wake(&mut self, life: &Life, wanted: impl Fn(WaitCondition) -> bool) {
        for (condition, ended) in std::mem::take(&mut self.0) {
            if wanted(condition) {
                // A container that is gone is what was waited for, however its start went.
                let response = match condition {
                    WaitCondition::Removed => WaitResponse { error: None, ..response(life) },
                    WaitCondition::NotRunning | WaitCondition::NextExit => response(life),
                };
                drop(ended.send(response));
            } else {
                self.0.push((condition, ended));
            }
        }
    }
}

fn response(life: &Life) -> WaitResponse {
    let error = (!life.error.is_empty()).then(|| WaitExitError { message: life.error.clone() });
    WaitResponse { status_code: i64::from(life.exit_code), error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::Live;

    #[test]
    fn each_condition_is_answered_in_its_moment() {
        use WaitCondition::{NextExit, NotRunning, Removed};
        let running = State::Running(Live { pid: 1, started_at: 0 });
        let life = Life { exit_code: 3, ..Life::default() };
        for (state, condition, at_once, at_end) in [
            (State::Created, NotRunning, true, true),
            (State::Exited, NotRunning, true, true),
            (State::Exited, NextExit, false, true),
            (State::Exited, Removed, false, false),
            (running, NotRunning, false, true),
            (running, NextExit, false, true),
            (running, Removed, false, false),
            (State::Restarting, NotRunning, false, true),
            (State::Removing(None), NotRunning, true, true),
        ] {
            let mut waiters = Waiters::default();
            let (ended, mut answer) = oneshot::channel();
            waiters.add(condition, ended, &state, &life);
            assert_eq!(answer.try_recv().is_ok(), at_once, "{state:?} {condition:?}");
            waiters.wake_ended(&life);
            assert_eq!(at_once || answer.try_recv().is_ok(), at_end, "{state:?} {condition:?}");
            waiters.wake_all(&life);
            let code = answer.try_recv().map(|response| response.status_code);
            assert!(at_end || code == Ok(3), "{state:?} {condition:?}");
        }
    }
}
