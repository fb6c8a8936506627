//! Clients' streams on the way to a container's monitor, which serves them from then on.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use skiff_api::detach_keys;
use skiff_shim::protocol::AttachRequest;

use super::driver::Command;
use super::operate::ask;
use super::registry::Ticket;
use super::state::{Event, State, step};
use super::{AttachOptions, AttachPlan, effect};
use crate::Core;
use crate::error::{Error, Result};

/// Docker's default for detaching from a terminal.
const DEFAULT_DETACH_KEYS: &str = "ctrl-p,ctrl-q";

/// Names clients; each engine's are its own, monitors do not compare them.
pub(crate) fn new_client() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The bytes of a detach sequence; `None` is the default, an empty text none.
pub(crate) fn detach_sequence(text: Option<&str>) -> Result<Vec<u8>> {
    detach_keys::parse(text.unwrap_or(DEFAULT_DETACH_KEYS))
        .map_err(|error| Error::invalid(format!("Invalid escape keys ({error}) provided")))
}

pub(super) fn plan(core: &Arc<Core>, name: &str, options: AttachOptions) -> Result<AttachPlan> {
    let container = core.containers.get(name)?;
    let detach_keys = detach_sequence(options.detach_keys.as_deref())?;
    // From here on a start waits for this client.
    let ticket = Ticket::new(container.clone());
    let view = container.view();
    if let Err(denied) = step(&view.state, Event::Attach) {
        // A stop or a pause that is under way does not change what can be seen.
        if denied != super::state::Denied::Later {
            return Err(denied.error(&view.record.id, &view.record.name, name));
        }
    }
    let tty = view.record.config.tty;
    Ok(AttachPlan {
        id: container.id.clone(),
        tty,
        multiplexed: !tty,
        options,
        detach_keys,
        ticket,
    })
}

pub(super) async fn hand_over(
    core: &Arc<Core>,
    plan: AttachPlan,
    socket: OwnedFd,
    early: Vec<u8>,
) -> Result<()> {
    let AttachPlan { id, tty, multiplexed, options, detach_keys, ticket } = plan;
    let container = ticket.container().clone();
    let view = container.view();
    effect::emit(&core.events, &view.record, "attach", []);
    let socket = if options.logs {
        send_logs(core, &id, (&options, multiplexed), socket).await?
    } else {
        socket
    };
    // What has ended has nothing more to say: closing the stream tells the client so.
    let ended = matches!(view.state, State::Exited | State::Dead) && options.logs;
    if !options.stream || ended {
        return Ok(());
    }
    let request = AttachRequest {
        client: new_client(),
        stdin: options.stdin && view.record.config.open_stdin,
        stdout: options.stdout,
        stderr: options.stderr,
        multiplexed,
        detach_keys: if tty { detach_keys } else { Vec::new() },
        early_input: early,
    };
    ask(&container, |answer| Command::Attach { request, socket, answer }).await
}

/// Sends what the container wrote before.
async fn send_logs(
    core: &Arc<Core>,
    id: &str,
    (options, multiplexed): (&AttachOptions, bool),
    socket: OwnedFd,
) -> Result<OwnedFd> {
    let wanted = crate::logs::LogOptions {
        stdout: options.stdout,
        stderr: options.stderr,
        raw: !multiplexed,
        ..crate::logs::LogOptions::default()
    };
    if !wanted.stdout && !wanted.stderr {
        return Ok(socket);
    }
    let mut logs = super::Containers(core.clone()).logs(id, wanted)?;
    let sent = tokio::task::spawn_blocking(move || {
        let mut stream = std::os::unix::net::UnixStream::from(socket);
        // It may be a socket of another family; only reads and writes are used.
        stream.set_nonblocking(false)?;
        while let Some(chunk) = logs.chunks.blocking_recv() {
            stream.write_all(&chunk)?;
        }
        Ok::<_, std::io::Error>(OwnedFd::from(stream))
    });
    sent.await
        .map_err(|error| Error::failed("send logs", error))?
        .map_err(|error| Error::failed("send logs", error))
}

pub(super) async fn resize(core: &Arc<Core>, name: &str, width: u16, height: u16) -> Result<()> {
    let container = core.containers.get(name)?;
    if container.view().state.live().is_none() {
        return Err(Error::conflict(format!("Container {} is not running", container.id)));
    }
    ask(&container, |answer| Command::Resize { exec: None, width, height, answer }).await?;
    let view = container.view();
    let size = [("height", height.to_string()), ("width", width.to_string())];
    effect::emit(&core.events, &view.record, "resize", size);
    Ok(())
}
