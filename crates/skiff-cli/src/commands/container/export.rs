//! `export`: a container's file system as a tar archive.

use super::path;
use crate::command::{Arity, Command};
use crate::commands::archive::save_to;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::terminal;

static FLAGS: &[Flag] = &[Flag::text("output", "Write to a file instead of STDOUT").short('o')];

pub(crate) static COMMAND: Command = Command {
    paths: &["container export", "export"],
    usage: "[OPTIONS] CONTAINER",
    summary: "Write a container's files as a tar archive",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Keep the files of a container", "export -o web.tar web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let output = flags.text("output");
    if output.is_empty() && terminal::stdout_is_terminal() {
        return Err(Failure::new("cowardly refusing to export to a terminal, specify a file path"));
    }
    let mut response = context.client()?.get(path(&flags.args[0], "/export"))?;
    save_to(&mut response, output)
}
