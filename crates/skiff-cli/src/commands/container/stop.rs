//! `stop`: ask containers to end, and kill them when they do not.

use super::{for_each, path};
use crate::client::{Query, Response};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

/// Those of `restart`, too, which asks the same before it starts again.
pub(super) static FLAGS: &[Flag] = &[
    Flag::text("signal", "Signal to send first").short('s'),
    Flag::integer("timeout", "Seconds to wait before SIGKILL; -1 for no end").short('t'),
    Flag::integer("time", "Seconds to wait before SIGKILL").hidden(),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container stop", "stop"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "End containers, gently at first",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Give it a minute to finish", "stop -t 60 db")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    act(context, flags, "/stop")
}

/// Posts to the `action` of each container, with the signal and the time that the flags give.
pub(super) fn act(context: &mut Context, flags: &Matches, action: &str) -> Result<(), Failure> {
    if flags.is_set("time") && flags.is_set("timeout") {
        return Err(Failure::new("conflicting options: cannot specify both --timeout and --time"));
    }
    let timeout = flags.given("timeout").or(flags.given("time")).unwrap_or("");
    for_each(context.client()?, &flags.args, |client, name| {
        let path = Query::new(path(name, action))
            .add_given("signal", flags.text("signal"))
            .add_given("t", timeout);
        client.post(path).and_then(Response::finish)
    })
}
