//! `context update`: describe a context anew, or point it elsewhere.

use super::check_name;
use super::definition::{DOCKER, Definition};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[Flag::text("description", "What it is"), DOCKER];

pub(crate) static COMMAND: Command = Command {
    paths: &["context update"],
    usage: "[OPTIONS] CONTEXT",
    summary: "Change a context",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("The machine moved", "context update builder --docker host=ssh://me@elsewhere")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = &flags.args[0];
    check_name(name)?;
    let mut definition = Definition::load(context, name)?;
    definition.point_to(context, flags)?;
    definition.describe(flags.text("description"));
    definition.store(context, name)?;
    say!("{name}");
    tell!("Successfully updated context {name:?}");
    Ok(())
}
