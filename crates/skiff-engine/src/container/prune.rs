//! `docker container prune`.

use std::sync::Arc;

use skiff_api::filters::Filters;
use skiff_api::{ContainersPruneReport, List};

use super::driver::{Command, Wish};
use super::state::State;
use super::{Containers, RemoveOptions, operate};
use crate::error::{Error, Kind, Result};
use crate::{Core, clock};

pub(super) async fn prune(core: &Arc<Core>, filters: &Filters) -> Result<ContainersPruneReport> {
    filters
        .accept_only(&["label", "label!", "until"])
        .map_err(|error| Error::invalid(error.to_string()))?;
    let until = until(filters)?;
    let mut report =
        ContainersPruneReport { containers_deleted: List::empty(), ..Default::default() };
    for container in core.containers.all() {
        let view = container.view();
        let wanted = matches!(view.state, State::Created | State::Exited | State::Dead)
            && filters.accepts_labels(&view.record.config.labels)
            && until.is_none_or(|until| view.record.created < until);
        if !wanted {
            continue;
        }
        let (all, id) = (Containers(core.clone()), container.id.clone());
        let size = tokio::task::spawn_blocking(move || all.size(&id)).await;
        let wish = Wish::Remove(RemoveOptions::default());
        let removed = operate::ask(&container, |answer| Command::Life {
            asked: container.id.clone(),
            wish,
            answer,
        });
        match removed.await {
            Ok(()) => {
                let rw = size.ok().and_then(Result::ok).map_or(0, |size| size.rw);
                report.space_reclaimed += u64::try_from(rw).unwrap_or(0);
                report.containers_deleted.push(container.id.clone());
            }
            // Started or removed by somebody else meanwhile.
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    let reclaimed = [("reclaimed".to_owned(), report.space_reclaimed.to_string())];
    core.events.emit("container", "prune", "", reclaimed.into());
    Ok(report)
}

/// The time `until` names, in nanoseconds since the epoch.
fn until(filters: &Filters) -> Result<Option<i64>> {
    let mut values = filters.values("until");
    let Some(text) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid("more than one until filter specified"));
    }
    let now = jiff::Timestamp::from_nanosecond(i128::from(clock::now())).unwrap_or_default();
    skiff_api::timestamp::parse(text, now, &jiff::tz::TimeZone::system())
        .map(|time| Some(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)))
        .map_err(|error| Error::invalid(format!("invalid until filter: {error}")))
}
