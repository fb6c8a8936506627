//! `context show`: the name of the context in use.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["context show"],
    usage: "",
    summary: "Print the name of the current context",
    arity: Arity::None,
    flags: &[],
    interspersed: true,
    examples: &[("In a prompt", "context show")],
    run,
};

fn run(context: &mut Context, _: &Matches) -> Result<(), Failure> {
    say!("{}", context.context_name()?);
    Ok(())
}
