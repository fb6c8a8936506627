//! Handing a seccomp filter's listener to the agent that the specification names
//! (`config-linux.md`, "The Container Process State").

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::Serialize;
use skiff_model::oci::State;
use skiff_sys::socket;

use crate::failure::{Context, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};
use crate::plan::ProcessPlan;

/// What the agent is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: Option<i32>,
    metadata: &'a str,
    state: &'a State,
}

/// Sends the listener, with the state of the container, to the agent's socket.
pub(crate) fn hand_over(
    process: &ProcessPlan,
    listener: &OwnedFd,
    state: &State,
) -> Result<(), LaunchError> {
    let agent = process.seccomp.as_ref().and_then(|seccomp| seccomp.agent.as_ref());
    let Some(agent) = agent else {
        let text = "the filter has a listener and no agent for it".to_owned();
        return Err(of_kind(LaunchErrorKind::InvalidConfig, text));
    };
    let path = agent.path.display();
    let told = ProcessState {
        oci_version: &state.oci_version,
        fds: ["seccompFd"],
        pid: state.pid,
        metadata: &agent.metadata,
        state,
    };
    let told =
        serde_json::to_vec(&told).map_err(std::io::Error::from).context(|| "encode state")?;
    let stream =
        UnixStream::connect(&agent.path).context(|| format!("connect to seccomp agent {path}"))?;
    socket::send(stream.as_fd(), &told, &[listener.as_fd()])
        .context(|| format!("send to seccomp agent {path}"))
        .map(drop)
}
