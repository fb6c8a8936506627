//! `container inspect`: everything about containers.

use super::path;
use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::inspect::{FORMAT, inspect_each};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] =
    &[FORMAT, Flag::switch("size", "Measure how much it has written").short('s')];

pub(crate) static COMMAND: Command = Command {
    paths: &["container inspect"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "Tell everything about containers",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Is it running?", "container inspect -f '{{.State.Running}}' web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let client = context.client()?;
    inspect_each(flags, &mut |name| {
        let path = Query::new(path(name, "/json")).add_switch("size", flags.on("size"));
        client.get(path)?.body()
    })
}
