//! Starting an exec instance, and asking about it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use skiff_api::{ExecConfig, ExecInspect, ExecProcessConfig};
use skiff_runtime::launch::{ExecLaunch, UserRequest};
use skiff_shim::protocol::{AttachRequest, ExecRequest};

use super::table::Phase;
use super::{ExecPlan, ExecStartOptions, create};
use crate::Core;
use crate::container::attach::{detach_sequence, new_client};
use crate::container::driver::Command;
use crate::container::registry::{Container, View};
use crate::container::{effect, launch, operate, spec};
use crate::error::{Error, Kind, Result};

/// How long an inspect waits for the end of an exec whose monitor is gone.
const END_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

fn no_such(id: &str) -> Error {
    Error::not_found(format!("No such exec instance: {id}"))
}

/// The container an instance may be started in.
fn startable(core: &Core, id: &str) -> Result<(Arc<Container>, ExecConfig)> {
    let (container, config) = {
        let instances = core.execs.lock();
        let exec = instances.get(id).ok_or_else(|| no_such(id))?;
        match exec.phase {
            Phase::Created => {}
            Phase::Starting | Phase::Running { .. } => {
                return Err(Error::conflict(format!(
                    "Error: Exec command {id} is already running"
                )));
            }
            Phase::Ended { .. } => {
                return Err(Error::conflict(format!("Error: Exec command {id} has already run")));
            }
        }
        (exec.container.clone(), exec.config.clone())
    };
    let container = core.containers.get(&container)?;
    create::permitted(&container.view(), &container.id)?;
    Ok((container, config))
}

pub(super) fn plan(core: &Core, id: &str, options: &ExecStartOptions) -> Result<ExecPlan> {
    let (_, config) = startable(core, id)?;
    if options.console_size.is_some() && !config.tty {
        return Err(Error::invalid("console size is only supported when allocating a tty"));
    }
    Ok(ExecPlan { tty: config.tty })
}

pub(super) async fn start(
    core: &Arc<Core>,
    id: &str,
    options: ExecStartOptions,
    stream: Option<(OwnedFd, Vec<u8>)>,
) -> Result<()> {
    // What is said on the stream if the start fails.
    let echo = match &stream {
        Some((socket, _)) => socket.try_clone().ok(),
        None => None,
    };
    let outcome = begin(core, id, options, stream).await;
    if let (Err(error), Some(socket)) = (&outcome, echo) {
        let tty = core.execs.lock().get(id).is_some_and(|exec| exec.config.tty);
        tell(socket, tty, &format!("{error}\r\n"));
    }
    outcome
}

/// Writes an error on a client's stream, if it takes it at once.
fn tell(socket: OwnedFd, tty: bool, text: &str) {
    let mut bytes = Vec::with_capacity(text.len() + 8);
    if !tty {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(&length.to_be_bytes());
    }
    bytes.extend_from_slice(text.as_bytes());
    let flags = rustix::net::SendFlags::NOSIGNAL | rustix::net::SendFlags::DONTWAIT;
    // A client that is gone needs no error.
    let _ = rustix::net::send(socket.as_fd(), &bytes, flags);
}

async fn begin(
    core: &Arc<Core>,
    id: &str,
    options: ExecStartOptions,
    stream: Option<(OwnedFd, Vec<u8>)>,
) -> Result<()> {
    let (container, mut config) = startable(core, id)?;
    if let Some((height, width)) = options.console_size {
        config.console_size = Some([u32::from(height), u32::from(width)]);
    }
    let client = new_client();
    {
        let mut instances = core.execs.lock();
        let exec = instances.get_mut(id).ok_or_else(|| no_such(id))?;
        // Of two starts at once, one wins.
        if exec.phase != Phase::Created {
            return Err(Error::conflict(format!("Error: Exec command {id} is already running")));
        }
        exec.phase = Phase::Starting;
        exec.client = stream.is_some().then_some(client);
    }
    let view = container.view();
    let started = async {
        let attached = stream.is_some() && !options.detach;
        let (socket, early_input) = match stream {
            Some((socket, early)) if attached => (Some(socket), early),
            _ => (None, Vec::new()),
        };
        let detach_keys = if config.tty {
            let keys = config.detach_keys.as_str();
            detach_sequence((!keys.is_empty()).then_some(keys))?
        } else {
            Vec::new()
        };
        let attach = attached.then_some(AttachRequest {
            client,
            stdin: config.attach_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr,
            multiplexed: !config.tty,
            detach_keys,
            early_input,
        });
        let request = request(core, &view, id, &config, attach)?;
        let action = format!("exec_start: {}", config.cmd.join(" "));
        effect::emit(&core.events, &view.record, &action, [("execID", id.to_owned())]);
        operate::ask(&container, |answer| Command::Exec {
            request: Box::new(request),
            socket,
            answer,
        })
        .await
    };
    match started.await {
        Ok(pid) => {
            core.execs.started(id, pid);
            Ok(())
        }
        Err(error) => {
            core.execs.exited(id, exit_code_of(&error));
            Err(error)
        }
    }
}

/// The exit code that goes with an exec that could not be started, as Docker has it.
fn exit_code_of(error: &Error) -> i32 {
    let text = error.to_string();
    let contains = |part: &str| text.contains(part);
    if error.kind() != Kind::InvalidArgument {
        126
    } else if contains("executable file not found")
        || contains("no such file or directory")
        || contains("system cannot find the file specified")
    {
        127
    } else {
        126
    }
}

fn request(
    core: &Core,
    view: &View,
    id: &str,
    config: &ExecConfig,
    attach: Option<AttachRequest>,
) -> Result<ExecRequest> {
    let record = &view.record;
    let host = &record.host_config;
    let process = spec::exec_process(&record.config, host, &core.facts, config)?;
    let bounding = process.capabilities.as_ref().map_or(&[][..], |sets| &sets.bounding);
    let privileged = host.privileged || config.privileged;
    let seccomp = if privileged { None } else { launch::filter(&core.config, host, bounding)? };
    let user = if config.user.is_empty() { &record.config.user } else { &config.user };
    Ok(ExecRequest {
        exec: id.to_owned(),
        tty: config.tty,
        open_stdin: config.attach_stdin,
        launch: ExecLaunch {
            process,
            user: Some(UserRequest {
                user: user.clone(),
                additional_groups: host.group_add.to_vec(),
            }),
            seccomp,
        },
        attach,
    })
}

pub(super) async fn resize(core: &Arc<Core>, id: &str, width: u16, height: u16) -> Result<()> {
    let container = {
        let instances = core.execs.lock();
        let exec = instances.get(id).ok_or_else(|| no_such(id))?;
        if !matches!(exec.phase, Phase::Running { .. } | Phase::Starting) {
            return Err(Error::conflict(format!("exec {id} is not running")));
        }
        exec.container.clone()
    };
    let container = core.containers.get(&container)?;
    let exec = Some(id.to_owned());
    operate::ask(&container, |answer| Command::Resize { exec, width, height, answer }).await
}

pub(super) async fn wait(core: &Core, id: &str) -> Result<ExecInspect> {
    let mut ended = core.execs.lock().get(id).ok_or_else(|| no_such(id))?.ended.subscribe();
    // An error: it was forgotten with its container, which the look will say.
    let _ = ended.wait_for(|ended| *ended).await;
    look(core, id)
}

pub(super) async fn inspect(core: &Core, id: &str) -> Result<ExecInspect> {
    let now = look(core, id)?;
    let (under_way, mut ended) = {
        let instances = core.execs.lock();
        let exec = instances.get(id).ok_or_else(|| no_such(id))?;
        // Also while it starts: its whole life may be on the way from the monitor.
        let under_way = matches!(exec.phase, Phase::Starting | Phase::Running { .. });
        (under_way, exec.ended.subscribe())
    };
    if !under_way {
        return look(core, id);
    }
    let container = core.containers.get(&now.container_id)?;
    if operate::ask(&container, |answer| Command::CatchUp { answer }).await.is_err() {
        // The container is about to end, and every exec with it.
        let ending = ended.wait_for(|ended| *ended);
        drop(tokio::time::timeout(END_TIMEOUT, ending).await);
    }
    look(core, id).or(Ok(now))
}

fn look(core: &Core, id: &str) -> Result<ExecInspect> {
    let instances = core.execs.lock();
    let exec = instances.get(id).ok_or_else(|| no_such(id))?;
    let config = &exec.config;
    let (running, exit_code, pid) = match exec.phase {
        Phase::Created | Phase::Starting => (false, None, 0),
        Phase::Running { pid } => (true, None, pid),
        Phase::Ended { exit_code, pid, .. } => (false, Some(i64::from(exit_code)), pid),
    };
    let mut words = config.cmd.iter().cloned();
    Ok(ExecInspect {
        id: id.to_owned(),
        running,
        exit_code,
        process_config: ExecProcessConfig {
            tty: config.tty,
            entrypoint: words.next().unwrap_or_default(),
            arguments: words.collect(),
            privileged: Some(config.privileged),
            user: config.user.clone(),
        },
        open_stdin: config.attach_stdin,
        open_stderr: config.attach_stderr,
        open_stdout: config.attach_stdout,
        can_remove: false,
        container_id: exec.container.clone(),
        detach_keys: config.detach_keys.clone(),
        pid: i64::from(pid),
    })
}
