//! `context inspect`: what a context says.

use std::collections::BTreeMap;

use serde_json::json;

use super::definition::Definition;
use crate::client::ClientError;
use crate::command::{Arity, Command};
use crate::commands::inspect::{FORMAT, inspect_each};
use crate::config::{context_meta_dir, context_tls_dir};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[FORMAT];

pub(crate) static COMMAND: Command = Command {
    paths: &["context inspect"],
    usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
    summary: "Tell everything about contexts",
    arity: Arity::Any,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Address of the daemon", "context inspect -f '{{.Endpoints.docker.Host}}'")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let mut names = flags.args.clone();
    if names.is_empty() {
        names.push(context.context_name()?);
    }
    let whole =
        Matches { groups: flags.groups, values: flags.values.clone(), args: names, help: false };
    inspect_each(&whole, &mut |name| {
        describe(context, name).map(String::into_bytes).map_err(ClientError::Protocol)
    })
}

/// The context in Docker's order, which is that of its description with more behind it.
fn describe(context: &Context, name: &str) -> Result<String, String> {
    let definition = Definition::load(context, name).map_err(|failure| failure.message)?;
    let mut material: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (endpoint, file) in definition.files.keys().filter_map(|place| place.split_once('/')) {
        material.entry(endpoint).or_default().push(file);
    }
    let [meta_path, tls_path] = if name == "default" {
        ["<IN MEMORY>"; 2].map(str::to_owned)
    } else {
        let dir = context.config_dir();
        [context_meta_dir(&dir, name), context_tls_dir(&dir, name)]
            .map(|path| path.to_string_lossy().into_owned())
    };
    let storage = json!({ "MetadataPath": meta_path, "TLSPath": tls_path });
    let meta = definition.meta_text();
    let open = meta.strip_suffix('}').unwrap_or(&meta);
    Ok(format!("{open},\"TLSMaterial\":{},\"Storage\":{storage}}}", json!(material)))
}
