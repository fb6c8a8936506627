//! `state`: what is known of a container, as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use super::args::Parsed;
use super::store::{Container, Status};
use super::{CommandError, Global, Result, Verb, print};

pub(super) static VERB: Verb = Verb {
    name: "state",
    about: "output the state of a container",
    usage: "<container-id>",
    flags: &[],
    flags_anywhere: true,
    arguments: (1, 1),
    run: state,
};

/// The specification's state, and what runc adds to it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    oci_version: String,
    pub(super) id: String,
    pub(super) pid: i32,
    pub(super) status: &'static str,
    pub(super) bundle: PathBuf,
    rootfs: PathBuf,
    pub(super) created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    pub(super) owner: String,
}

impl Shown {
    pub(super) fn of(container: &Container) -> Self {
        let status = container.status();
        let record = container.record.clone();
        Self {
            oci_version: record.oci_version,
            id: record.id,
            pid: if status == Status::Stopped { 0 } else { record.pid },
            status: status.word(),
            bundle: record.bundle,
            rootfs: record.rootfs,
            created: record.created,
            annotations: record.annotations,
            owner: record.owner,
        }
    }
}

fn state(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let container = global.store.load(parsed.id())?;
    let text = serde_json::to_string_pretty(&Shown::of(&container))
        .map_err(|error| CommandError::new(error.to_string()))?;
    print(&(text + "\n"))
}
