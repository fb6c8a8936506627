//! `kill`: send a signal to containers.

use super::{for_each, path};
use crate::client::{Query, Response};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[Flag::text("signal", "Signal to send (default SIGKILL)").short('s')];

pub(crate) static COMMAND: Command = Command {
    paths: &["container kill", "kill"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "End containers at once, or send them a signal",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Have a server read its configuration again", "kill -s HUP web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    for_each(context.client()?, &flags.args, |client, name| {
        let path = Query::new(path(name, "/kill")).add_given("signal", flags.text("signal"));
        client.post(path).and_then(Response::finish)
    })
}
