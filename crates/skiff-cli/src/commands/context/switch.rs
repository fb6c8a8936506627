//! `context use`: choose the daemon for the commands to come.

use crate::command::{Arity, Command};
use crate::config::context_meta;
use crate::context::{Context, env};
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["context use"],
    usage: "CONTEXT",
    summary: "Choose the context that is used from now on",
    arity: Arity::Exactly(1),
    flags: &[],
    interspersed: true,
    examples: &[("Back to this machine", "context use default")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = &flags.args[0];
    if name != "default" {
        context_meta(&context.config_dir(), name).map_err(Failure::new)?;
    }
    let stored = if name == "default" { "" } else { name.as_str() };
    context.config().set_text("currentContext", stored)?;
    say!("{name}");
    tell!("Current context is now {name:?}");
    if name != "default" && env("DOCKER_HOST").is_some() {
        tell!(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use \
             {name:?}, either set the global --context flag, or unset DOCKER_HOST environment \
             variable."
        );
    }
    Ok(())
}
