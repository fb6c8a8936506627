//! `context create`: give a daemon a name.

use std::collections::BTreeMap;

use serde_json::json;

use super::check_new;
use super::definition::{DOCKER, Definition};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] =
    &[Flag::text("description", "What it is"), DOCKER, Flag::text("from", "Copy this context")];

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

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = &flags.args[0];
    check_new(context, name)?;
    let mut definition = match flags.given("from") {
        Some(from) => Definition::load(context, from)?,
        None if flags.is_set("docker") => {
            Definition { meta: json!({ "Metadata": {}, "Endpoints": {} }), files: BTreeMap::new() }
        }
        // Without a word on the daemon it is the one in use by default.
        None => {
            let mut default = Definition::load(context, "default")?;
            default.describe("Current DOCKER_HOST based configuration");
            default
        }
    };
    definition.point_to(context, flags)?;
    definition.describe(flags.text("description"));
    definition.store(context, name)?;
    say!("{name}");
    tell!("Successfully created context {name:?}");
    Ok(())
}
