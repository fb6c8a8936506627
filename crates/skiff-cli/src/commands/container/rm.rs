//! `rm`: remove containers.

use super::{for_each_changed, path};
use crate::client::{Query, Response};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::switch("force", "Remove it even while it runs (with SIGKILL)").short('f'),
    Flag::switch("link", "Remove the link only").short('l'),
    Flag::switch("volumes", "Remove its anonymous volumes too").short('v'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container rm", "container remove", "rm"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "Delete containers",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Whatever its state, with its volumes", "rm -fv web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let force = flags.on("force");
    for_each_changed(context.client()?, &flags.args, |client, name| {
        let name = name.trim_matches('/');
        let path = Query::new(path(name, ""))
            .add_switch("v", flags.on("volumes"))
            .add_switch("link", flags.on("link"))
            .add_switch("force", force);
        match client.delete(path).and_then(Response::finish) {
            // What is to be gone by force may be gone already.
            Err(error) if force && error.is_not_found() => {
                tell!("{error}");
                Ok(false)
            }
            result => result.map(|()| true),
        }
    })
}
