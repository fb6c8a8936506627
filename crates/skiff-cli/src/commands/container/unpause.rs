//! `unpause`: let paused processes go on.

use super::{for_each, path};
use crate::client::Response;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["container unpause", "unpause"],
    usage: "CONTAINER [CONTAINER...]",
    summary: "Let paused containers go on",
    arity: Arity::AtLeast(1),
    flags: &[],
    interspersed: true,
    examples: &[("Let it go on", "unpause web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    for_each(context.client()?, &flags.args, |client, name| {
        client.post(path(name, "/unpause")).and_then(Response::finish)
    })
}
