//! `pause` and `resume`: the freezer.

use std::process::ExitCode;

use super::args::Parsed;
use super::store::Status;
use super::{CommandError, Global, Result, Verb};

pub(super) static PAUSE: Verb = Verb {
    name: "pause",
    about: "pause suspends all processes inside the container",
    usage: "<container-id>",
    flags: &[],
    flags_anywhere: true,
    arguments: (1, 1),
    run: pause,
};

pub(super) static RESUME: Verb = Verb {
    name: "resume",
    about: "resumes all processes that have been previously paused",
    usage: "<container-id>",
    flags: &[],
    flags_anywhere: true,
    arguments: (1, 1),
    run: resume,
};

fn pause(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let container = global.store.load(parsed.id())?;
    match container.status() {
        Status::Running | Status::Created => match container.cgroup().freeze() {
            // It ended while we looked.
            Err(error) if error.is_missing_file() => {
                return Err(CommandError::new("container not running"));
            }
            other => other?,
        },
        _ => return Err(CommandError::new("container not running")),
    }
    Ok(ExitCode::SUCCESS)
}

fn resume(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let container = global.store.load(parsed.id())?;
    match container.status() {
        Status::Paused => container.cgroup().thaw()?,
        _ => return Err(CommandError::new("container not paused")),
    }
    Ok(ExitCode::SUCCESS)
}
