//! `volume rm`: remove volumes.

use crate::client::{Query, Response, encode_component};
use crate::command::{Arity, Command};
use crate::commands::container::for_each;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[Flag::switch("force", "Do not mind if it is gone already").short('f')];

pub(crate) static COMMAND: Command = Command {
    paths: &["volume rm", "volume remove"],
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    summary: "Remove one or more volumes, unless a container uses them",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("With all that is in it", "volume rm data")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    for_each(context.client()?, &flags.args, |client, name| {
        let query = Query::new(format!("/volumes/{}", encode_component(name)))
            .add_switch("force", flags.on("force"));
        client.delete(query).and_then(Response::finish)
    })
}
