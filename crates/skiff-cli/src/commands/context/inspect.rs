//! `context inspect`: what a context says.

use serde_json::{Value, json};

use super::default_host;
use crate::client::ClientError;
use crate::command::{Arity, Command};
use crate::commands::inspect::{FORMAT, inspect_each};
use crate::config::{context_meta, context_meta_dir, context_tls_dir};
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
        describe(context, name)
            .map(|value| value.to_string().into_bytes())
            .map_err(ClientError::Protocol)
    })
}

fn describe(context: &Context, name: &str) -> Result<Value, String> {
    if name == "default" {
        return Ok(json!({
            "Name": "default",
            "Metadata": {},
            "Endpoints": {
                "docker": { "Host": default_host(context), "SkipTLSVerify": false }
            },
            "TLSMaterial": {},
            "Storage": { "MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>" }
        }));
    }
    let dir = context.config_dir();
    let mut value = context_meta(&dir, name)?;
    let tls = context_tls_dir(&dir, name);
    let files: Vec<&str> = ["ca.pem", "cert.pem", "key.pem"]
        .into_iter()
        .filter(|file| tls.join("docker").join(file).exists())
        .collect();
    value["TLSMaterial"] = if files.is_empty() { json!({}) } else { json!({ "docker": files }) };
    value["Storage"] = json!({
        "MetadataPath": context_meta_dir(&dir, name).to_string_lossy(),
        "TLSPath": tls.to_string_lossy()
    });
    Ok(value)
}
