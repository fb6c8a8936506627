//! Which log a container has, and when it is complete.

use std::sync::Arc;

use super::{LogOptions, LogSource, Logs, read};
use crate::container::record::Paths;
use crate::container::state::State;
use crate::container::{Containers, WaitCondition};
use crate::{Core, Error, Kind, Result};

pub(super) fn logs(core: &Arc<Core>, name: &str, mut options: LogOptions) -> Result<Logs> {
    if !options.stdout && !options.stderr {
        return Err(Error::invalid("must specify at least one of 'stdout' or 'stderr'"));
    }
    let view = core.containers.get(name)?.view();
    let record = &view.record;
    if matches!(view.state, State::Dead | State::Removing(_)) {
        return Err(Error::conflict(
            "can not get logs from container which is dead or marked for removal",
        ));
    }
    if record.host_config.log_config.kind == "none" {
        return Err(Error::new(
            Kind::NotImplemented,
            "configured logging driver does not support reading",
        ));
    }
    let tty = record.config.tty;
    options.multiplexed = !tty && !options.raw;
    // What does not run adds nothing.
    options.follow &= view.state.is_active();
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
    let containers = Containers(core.clone());
    let id = record.id.clone();
    let source = LogSource {
        path: paths.log(&record.id),
        ended: Box::pin(async move {
            // An error says that it is gone, which is an end, too.
            if let Ok(wait) = containers.wait(&id, WaitCondition::NotRunning).await {
                wait.await;
            }
        }),
    };
    Ok(Logs { tty, chunks: read(source, &options, &core.log_watcher)? })
}
