//! `kill`: sends a signal to a container's first process, or to all of its processes.

use std::process::ExitCode;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use skiff_model::signal;
use skiff_sys::namespace as ns;
use std::os::fd::AsFd;

use super::args::{Flag, Parsed};
use super::store::Container;
use super::{CommandError, Global, Result, Verb};

pub(super) static VERB: Verb = Verb {
    name: "kill",
    about: "kill sends the specified signal (default: SIGTERM) to the container's init process",
    usage: "[command options] <container-id> [signal]",
    flags: &[Flag::switch("all").short("a")],
    flags_anywhere: true,
    arguments: (1, 2),
    run: kill,
};

/// SIGKILL
const KILL: i32 = 9;

fn kill(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let container = global.store.load(parsed.id())?;
    let word = parsed.rest.get(1).map_or("SIGTERM", String::as_str);
    let signal =
        signal::parse(word).ok_or_else(|| CommandError::new(format!("unknown signal {word:?}")))?;
    if parsed.has("all") {
        send_to_all(&container, signal)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(process) = container.process() else {
        return Err(CommandError::new("container not running"));
    };
    process.signal(signal).map_err(|error| CommandError::io("unable to signal init", error))?;
    if signal == KILL {
        let cgroup = container.cgroup();
        // Its processes do not die with the first one unless that is their namespace's init.
        if container.record.namespaces & ns::PID == 0 {
            let _ = cgroup.kill_all();
        }
        // A frozen process dies when it is thawed.
        if cgroup.is_frozen().unwrap_or(false) {
            cgroup.thaw()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn send_to_all(container: &Container, signal: i32) -> Result<()> {
    let cgroup = container.cgroup();
    if signal == KILL {
        return Ok(cgroup.kill_all()?);
    }
    for pid in cgroup.all_procs()? {
        // By pidfd, and only if it is still listed afterwards: the number may have gone on to
        // a process that is none of ours.
        let Some(raw) = Pid::from_raw(pid) else { continue };
        let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else { continue };
        if cgroup.all_procs()?.contains(&pid) {
            let _ = skiff_sys::process::send_signal(pidfd.as_fd(), signal);
        }
    }
    Ok(())
}
