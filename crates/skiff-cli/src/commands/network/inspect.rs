//! `network inspect`: everything about networks.

use crate::client::{Query, encode_component};
use crate::command::{Arity, Command};
use crate::commands::inspect::{FORMAT, inspect_each};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[FORMAT, Flag::switch("verbose", "Show more").short('v')];

pub(crate) static COMMAND: Command = Command {
    paths: &["network inspect"],
    usage: "[OPTIONS] NETWORK [NETWORK...]",
    summary: "Tell everything about networks",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Who is on it", "network inspect -f '{{json .Containers}}' bridge")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let client = context.client()?;
    inspect_each(flags, &mut |name| {
        let query = Query::new(format!("/networks/{}", encode_component(name)))
            .add_given("verbose", if flags.on("verbose") { "true" } else { "" });
        client.get(query)?.body()
    })
}
