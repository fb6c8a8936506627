//! Readings over time.

use std::sync::Arc;
use std::time::Duration;

use skiff_api::ContainerStats;
use tokio::sync::mpsc;

use super::collect;
use crate::container::registry::Container;
use crate::{Core, Result};

/// Between two readings of a stream.
const INTERVAL: Duration = Duration::from_secs(1);

/// Between the two readings of which a single answer is made: long enough for a percentage of a
/// clock that ticks every 10 ms.
const SHORT_INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn once(core: &Core, name: &str, one_shot: bool) -> Result<ContainerStats> {
    let container = core.containers.get(name)?;
    let first = sample(&container)?;
    if one_shot || container.view().state.live().is_none() {
        return Ok(first);
    }
    tokio::time::sleep(SHORT_INTERVAL).await;
    Ok(collect::with_previous(sample(&container)?, &first))
}

pub(super) async fn stream(core: &Arc<Core>, name: &str) -> Result<mpsc::Receiver<ContainerStats>> {
    let container = core.containers.get(name)?;
    let mut before = sample(&container)?;
    let core = core.clone();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // The first is now; nothing could be said yet.
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = sender.closed() => return,
            }
            if core.containers.get(&container.id).is_err() {
                return;
            }
            // A container that ends while it is read is read as ended at the next tick.
            let Ok(now) = sample(&container) else { continue };
            let answer = collect::with_previous(now.clone(), &before);
            before = now;
            if sender.send(answer).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn sample(container: &Container) -> Result<ContainerStats> {
    let view = container.view();
    match view.state.live() {
        Some(live) => collect::read(&view, live.pid),
        None => Ok(collect::empty(&view)),
    }
}
