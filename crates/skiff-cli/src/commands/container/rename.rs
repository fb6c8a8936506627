//! `rename`: give a container another name.

use super::path;
use crate::client::Query;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["container rename", "rename"],
    usage: "CONTAINER NEW_NAME",
    summary: "Give a container another name",
    arity: Arity::Exactly(2),
    flags: &[],
    interspersed: true,
    examples: &[("Make room for a new one", "rename web web-old")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let [old, new] = [0, 1].map(|index| flags.args[index].trim());
    if old.is_empty() || new.is_empty() {
        return Err(Failure::new("Error: Neither old nor new names may be empty"));
    }
    let client = context.client()?;
    let path = Query::new(path(old, "/rename")).add("name", new);
    let renamed = client.post(path).and_then(crate::client::Response::finish);
    renamed.map_err(|error| {
        Failure::new(format!("{error}\nError: failed to rename container named {old}"))
    })
}
