//! `start`: lets a created container execute its program.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use skiff_sys::socket;
use std::os::fd::AsFd;

use super::args::Parsed;
use super::store::{Container, START_SOCKET};
use super::{CommandError, Global, Result, Verb};
use crate::{hooks, report};

pub(super) static VERB: Verb = Verb {
    name: "start",
    about: "executes the user defined process in a created container",
    usage: "<container-id>",
    flags: &[],
    flags_anywhere: true,
    arguments: (1, 1),
    run: start,
};

fn start(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let container = global.store.load(parsed.id())?;
    let Some(mut waiting) = connect(&container)? else {
        let text = if container.process().is_some() {
            "cannot start an already running container"
        } else {
            "cannot start a container that has stopped"
        };
        return Err(CommandError::new(text));
    };
    let fail = |error: std::io::Error| CommandError::io("start the container", error);
    waiting.write_all(b"S").map_err(fail)?;
    // The end comes with the execution, which closes the connection; words are an error's.
    let mut said = Vec::new();
    waiting.read_to_end(&mut said).map_err(fail)?;
    if !said.is_empty() {
        let error = report::parse_failure(&said);
        return Err(CommandError::new(error.message));
    }
    let _ = std::fs::remove_file(container.dir.join(START_SOCKET));
    let state = container.oci_state("running", Some(container.record.pid));
    let failures = hooks::run_all("poststart", &container.record.hooks.poststart, &state);
    // The specification: a failure is logged, and the life cycle goes on.
    failures.iter().for_each(|error| global.log.warn(&error.message));
    Ok(ExitCode::SUCCESS)
}

/// Connects to the waiting process. `None` if nobody waits.
fn connect(container: &Container) -> Result<Option<UnixStream>> {
    let fail = |error: std::io::Error| CommandError::io("reach the container", error);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(&container.dir, flags, Mode::empty())
        .map_err(|error| fail(error.into()))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|error| fail(error.into()))?;
    match socket::connect_at(socket.as_fd(), dir.as_fd(), START_SOCKET) {
        Ok(()) => Ok(Some(UnixStream::from(socket))),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(fail(error)),
        },
    }
}
