//! `network rm`: remove networks.

use crate::client::{Response, encode_component};
use crate::command::{Arity, Command};
use crate::commands::container::for_each;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[Flag::switch("force", "Do not mind if it is gone already").short('f')];

pub(crate) static COMMAND: Command = Command {
    paths: &["network rm", "network remove"],
    usage: "NETWORK [NETWORK...]",
    summary: "Delete networks",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("One that nobody uses any more", "network rm backend")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    for_each(context.client()?, &flags.args, |client, name| {
        let path = format!("/networks/{}", encode_component(name));
        match client.delete(path).and_then(Response::finish) {
            Err(error) if flags.on("force") && error.is_not_found() => Ok(()),
            result => result,
        }
    })
}
