//! `delete`: takes away what is left of a container, or with `--force` all of it.

use std::process::ExitCode;
use std::time::Duration;

use skiff_sys::namespace as ns;

use super::args::{Flag, Parsed};
use super::store::{Container, Status};
use super::{CommandError, Global, Result, Verb};
use crate::{apply, hooks};

pub(super) static VERB: Verb = Verb {
    name: "delete",
    about: "delete any resources held by the container often used with detached container",
    usage: "[command options] <container-id>",
    flags: &[Flag::switch("force").short("f")],
    flags_anywhere: true,
    arguments: (1, 1),
    run: delete,
};

/// SIGKILL
const KILL: i32 = 9;

/// A process that takes longer to die than this is stuck in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

fn delete(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let id = parsed.id();
    let force = parsed.has("force");
    let container = match global.store.load(id) {
        Ok(container) => container,
        Err(error) if force => {
            // Forced, what does not exist is deleted already.
            let absent = error.message == "container does not exist";
            let unfinished = absent && global.store.remove_unfinished(id)?;
            return if absent || unfinished { Ok(ExitCode::SUCCESS) } else { Err(error) };
        }
        Err(error) => return Err(error),
    };
    match container.status() {
        Status::Stopped => {}
        // What was created and never started is deleted without further ado.
        Status::Created => kill(&container)?,
        _ if force => kill(&container)?,
        status => {
            let word = status.word();
            let text = format!("cannot delete container {id} that is not stopped: {word}");
            return Err(CommandError::new(text));
        }
    }
    destroy(global, container)?;
    Ok(ExitCode::SUCCESS)
}

fn kill(container: &Container) -> Result<()> {
    let Some(process) = container.process() else { return Ok(()) };
    let cgroup = container.cgroup();
    // Without a pid namespace of its own its processes do not die with the first one.
    let _ = process.signal(KILL);
    let _ = cgroup.kill_all();
    let _ = cgroup.thaw();
    if process.wait(PATIENCE) {
        return Ok(());
    }
    Err(CommandError::new("container init still running"))
}

/// Takes away control group and record of a container whose first process has ended.
pub(super) fn destroy(global: &Global, container: Container) -> Result<()> {
    let cgroup = container.cgroup();
    if cgroup.remove().is_err() {
        cgroup.kill_all()?;
        cgroup.remove()?;
    }
    if container.record.namespaces & ns::MOUNT == 0 {
        apply::remove_shared(&container.record.rootfs);
    }
    let state = container.oci_state("stopped", None);
    let list = container.record.hooks.poststop.clone();
    container.forget()?;
    for error in hooks::run_all("poststop", &list, &state) {
        global.log.warn(&error.message);
    }
    Ok(())
}
