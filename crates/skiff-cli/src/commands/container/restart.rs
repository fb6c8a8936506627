//! `restart`: stop and start again.

use super::stop;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["container restart", "restart"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "Stop containers and start them again",
    arity: Arity::AtLeast(1),
    flags: &[stop::FLAGS],
    interspersed: true,
    examples: &[("Restart without waiting", "restart -t 0 web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    stop::act(context, flags, "/restart")
}
