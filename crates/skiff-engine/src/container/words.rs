//! Docker's words for a container's state: the status word, the STATUS column of `ps`, and the text
//! of every refusal. Clients match on these texts; nothing else in the engine spells them.

use skiff_api::Health;
use skiff_model::duration::human_duration;

use super::state::{Denied, Origin, State};
use crate::error::Error;

impl State {
    /// Docker's word for it (`State.Status`).
    pub fn status(&self) -> &'static str {
        match self {
            State::Creating | State::Created | State::Starting(Origin::Created) => "created",
            State::Running(_) | State::Pausing(_) | State::Stopping { .. } => "running",
            State::Paused(_) => "paused",
            State::Exited | State::Starting(Origin::Exited) => "exited",
            State::Restarting | State::Starting(Origin::Restarting) => "restarting",
            State::Removing(_) => "removing",
            State::Dead => "dead",
        }
    }
}

/// The last end of a container, for [`describe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastEnd {
    pub exit_code: i32,
    /// Nanoseconds since the epoch.
    pub at: i64,
}

/// The STATUS column of `ps`: `Up 5 minutes (Paused)`. `now` in nanoseconds since the epoch.
pub(crate) fn describe(
    state: &State,
    end: Option<LastEnd>,
    health: Option<&Health>,
    now: i64,
) -> String {
    let ago = |at: i64| human_duration(now.saturating_sub(at));
    match (state, end) {
        (State::Paused(live), _) => format!("Up {} (Paused)", ago(live.started_at)),
        (State::Running(live) | State::Pausing(live) | State::Stopping { live, .. }, _) => {
            let up = ago(live.started_at);
            match health.map(|health| health.status.as_str()) {
                None | Some("" | "none") => format!("Up {up}"),
                Some("starting") => format!("Up {up} (health: starting)"),
                Some(status) => format!("Up {up} ({status})"),
            }
        }
        (State::Restarting | State::Starting(Origin::Restarting), Some(end)) => {
            format!("Restarting ({}) {} ago", end.exit_code, ago(end.at))
        }
        (State::Restarting | State::Starting(Origin::Restarting), None) => "Restarting".to_owned(),
        (State::Removing(_), _) => "Removal In Progress".to_owned(),
        (State::Dead, _) => "Dead".to_owned(),
        (State::Creating | State::Created | State::Starting(Origin::Created), _) => {
            "Created".to_owned()
        }
        (State::Exited | State::Starting(Origin::Exited), Some(end)) => {
            format!("Exited ({}) {} ago", end.exit_code, ago(end.at))
        }
        (State::Exited | State::Starting(Origin::Exited), None) => String::new(),
    }
}

impl Denied {
    /// The refusal in Docker's words. `asked` is the name the client used.
    pub fn error(self, id: &str, name: &str, asked: &str) -> Error {
        match self {
            Denied::Later | Denied::Stale => {
                Error::internal(format!("container {id} is busy with another operation"))
            }
            Denied::Unknown => Error::not_found(format!("No such container: {asked}")),
            Denied::AlreadyRunning => Error::not_modified("container is already running"),
            Denied::AlreadyStopped => Error::not_modified("container is already stopped"),
            Denied::StartPaused => {
                Error::conflict("cannot start a paused container, try unpause instead")
            }
            Denied::MarkedForRemoval => {
                Error::conflict("container is marked for removal and cannot be started")
            }
            Denied::NotRunning => Error::conflict(format!("container {id} is not running")),
            Denied::KillNotRunning => Error::conflict(format!(
                "cannot kill container: {asked}: container {id} is not running"
            )),
            Denied::AlreadyPaused => Error::conflict(format!("container {id} is already paused")),
            Denied::NotPaused => Error::internal(format!("Container {id} is not paused")),
            Denied::Restarting => Error::conflict(format!(
                "Container {id} is restarting, wait until the container is running"
            )),
            Denied::RemoveActive(status) => Error::conflict(format!(
                "cannot remove container \"{name}\": container is {status}: \
                 stop the container before removing or force remove"
            )),
            Denied::RemovePaused => Error::conflict(format!(
                "cannot remove container \"{name}\": container is paused and must be unpaused first"
            )),
            Denied::RemovalInProgress => {
                Error::conflict(format!("removal of container {asked} is already in progress"))
            }
            Denied::ExecPaused => Error::conflict(format!(
                "Container {asked} is paused, unpause the container before exec"
            )),
            Denied::AttachPaused => Error::conflict(format!(
                "container {asked} is paused, unpause the container before attach"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::state::Live;

    const NOW: i64 = 1_700_000_000_000_000_000;
    const MINUTE: i64 = 60_000_000_000;

    fn health(status: &str) -> Health {
        Health { status: status.to_owned(), ..Health::default() }
    }

    #[test]
    fn the_status_column_reads_as_dockers() {
        let live = Live { pid: 1, started_at: NOW - 5 * MINUTE };
        let end = Some(LastEnd { exit_code: 137, at: NOW - 2 * MINUTE });
        let stopping = State::Stopping { live, killed: false, keep: false };
        for (state, end, health, text) in [
            (State::Created, None, None, "Created"),
            (State::Starting(Origin::Created), None, None, "Created"),
            (State::Starting(Origin::Exited), end, None, "Exited (137) 2 minutes ago"),
            (State::Running(live), None, None, "Up 5 minutes"),
            (State::Running(live), end, Some(health("healthy")), "Up 5 minutes (healthy)"),
            (
                State::Running(live),
                end,
                Some(health("starting")),
                "Up 5 minutes (health: starting)",
            ),
            (State::Running(live), end, Some(health("none")), "Up 5 minutes"),
            (State::Pausing(live), None, None, "Up 5 minutes"),
            (State::Paused(live), None, Some(health("healthy")), "Up 5 minutes (Paused)"),
            (stopping, None, None, "Up 5 minutes"),
            (State::Exited, end, None, "Exited (137) 2 minutes ago"),
            (State::Restarting, end, None, "Restarting (137) 2 minutes ago"),
            (State::Removing(None), end, None, "Removal In Progress"),
            (State::Dead, end, None, "Dead"),
        ] {
            assert_eq!(describe(&state, end, health.as_ref(), NOW), text, "{state:?}");
        }
    }

    #[test]
    fn the_status_word_is_one_of_dockers_seven() {
        let live = Live { pid: 1, started_at: 0 };
        for (state, word) in [
            (State::Creating, "created"),
            (State::Created, "created"),
            (State::Starting(Origin::Created), "created"),
            (State::Starting(Origin::Exited), "exited"),
            (State::Starting(Origin::Restarting), "restarting"),
            (State::Running(live), "running"),
            (State::Pausing(live), "running"),
            (State::Paused(live), "paused"),
            (State::Stopping { live, killed: true, keep: false }, "running"),
            (State::Exited, "exited"),
            (State::Restarting, "restarting"),
            (State::Removing(Some(live)), "removing"),
            (State::Removing(None), "removing"),
            (State::Dead, "dead"),
        ] {
            assert_eq!(state.status(), word, "{state:?}");
        }
    }
}
