//! `pause`: stop the processes of containers in their tracks.

use super::{for_each, path};
use crate::client::Response;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["container pause", "pause"],
    usage: "CONTAINER [CONTAINER...]",
    summary: "Freeze containers with all their processes",
    arity: Arity::AtLeast(1),
    flags: &[],
    interspersed: true,
    examples: &[("Freeze a container", "pause web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    for_each(context.client()?, &flags.args, |client, name| {
        client.post(path(name, "/pause")).and_then(Response::finish)
    })
}
