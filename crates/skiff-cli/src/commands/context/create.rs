//! `context create`: give a daemon a name.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::check_name;
use crate::client::Endpoint;
use crate::command::{Arity, Command};
use crate::config::{context_meta, context_meta_dir, context_tls_dir, home, write_private};
use crate::context::Context;
use crate::failure::{Failure, describe_io};
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::text("description", "What it is"),
    Flag::checked_list(
        "docker",
        "stringToString",
        check_pairs,
        "Where the daemon is: host=,ca=,cert=,key=,skip-tls-verify=",
    ),
    Flag::text("from", "Copy this context"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["context create"],
    usage: "[OPTIONS] CONTEXT",
    summary: "Name a daemon to talk to",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("A machine reached by ssh", "context create builder --docker host=ssh://me@builder"),
        (
            "One reached by TLS",
            "context create prod --docker host=tcp://prod:2376,ca=ca.pem,cert=cert.pem,key=key.pem",
        ),
    ],
    run,
};

fn check_pairs(text: &str) -> Result<(), String> {
    match text.split(',').find(|pair| !pair.contains('=')) {
        Some(pair) => Err(format!("{pair} must be formatted as key=value")),
        None => Ok(()),
    }
}

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = &flags.args[0];
    check_name(name)?;
    let dir = context.config_dir();
    if context_meta_dir(&dir, name).exists() {
        return Err(Failure::new(format!("context {name:?} already exists")));
    }
    let mut description = flags.text("description").to_owned();
    let mut endpoint = json!({});
    let mut files = Vec::new();
    if let Some(from) = flags.given("from") {
        let source = context_meta(&dir, from).map_err(Failure::new)?;
        endpoint = source["Endpoints"]["docker"].clone();
        if description.is_empty() {
            description = source["Metadata"]["Description"].as_str().unwrap_or("").to_owned();
        }
        let tls = context_tls_dir(&dir, from).join("docker");
        files.extend(["ca.pem", "cert.pem", "key.pem"].map(|file| (file, tls.join(file))));
        files.retain(|(_, path)| path.exists());
    }
    for pair in flags.all("docker").flat_map(|text| text.split(',')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "host" => {
                Endpoint::parse(value, None).map_err(|why| {
                    Failure::new(format!("unable to create docker endpoint config: {why}"))
                })?;
                endpoint["Host"] = value.into();
            }
            "ca" => files.push(("ca.pem", expand(value))),
            "cert" => files.push(("cert.pem", expand(value))),
            "key" => files.push(("key.pem", expand(value))),
            "skip-tls-verify" => endpoint["SkipTLSVerify"] = (value == "true").into(),
            "from" => {}
            _ => return Err(Failure::new(format!("unrecognized config key: {key}"))),
        }
    }
    if endpoint["Host"].as_str().is_none_or(str::is_empty) {
        return Err(Failure::new("docker endpoint configuration is required"));
    }
    if endpoint["SkipTLSVerify"].is_null() {
        endpoint["SkipTLSVerify"] = false.into();
    }
    let tls_dir = context_tls_dir(&dir, name).join("docker");
    for (file, source) in files {
        let bytes = fs::read(&source).map_err(|error| {
            Failure::new(format!("open {}: {}", source.display(), describe_io(&error)))
        })?;
        write_private(&tls_dir.join(file), &bytes)?;
    }
    let mut metadata = json!({});
    if !description.is_empty() {
        metadata["Description"] = description.into();
    }
    let meta = json!({ "Name": name, "Metadata": metadata, "Endpoints": { "docker": endpoint } });
    write_private(&context_meta_dir(&dir, name).join("meta.json"), meta.to_string().as_bytes())?;
    say!("{name}");
    tell!("Successfully created context {name:?}");
    Ok(())
}

fn expand(path: &str) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => home().join(rest),
        None => path.into(),
    }
}
