//! `system launch-daemon`: the step between a command that misses its daemon and the daemon; see
//! `autostart`. Not for people.

use crate::autostart;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["system launch-daemon"],
    usage: "-- [DAEMON OPTIONS]",
    summary: "",
    arity: Arity::Any,
    flags: &[],
    interspersed: false,
    examples: &[],
    run,
};

fn run(_: &mut Context, flags: &Matches) -> Result<(), Failure> {
    autostart::launch(&flags.args)
}
