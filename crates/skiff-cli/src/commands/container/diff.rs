//! `diff`: what a container changed in its file system.

use skiff_api::{ChangeItem, List};

use super::path;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;
use crate::output::print_text;

pub(crate) static COMMAND: Command = Command {
    paths: &["container diff", "diff"],
    usage: "CONTAINER",
    summary: "Show which files a container has added, changed or deleted",
    arity: Arity::Exactly(1),
    flags: &[],
    interspersed: true,
    examples: &[("A is added, C changed, D deleted", "diff web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = &flags.args[0];
    if name.is_empty() {
        return Err(Failure::new("Container name cannot be empty"));
    }
    let changes: List<ChangeItem> = context.client()?.get_json(path(name, "/changes"))?;
    let letter = |kind| match kind {
        1 => 'A',
        2 => 'D',
        _ => 'C',
    };
    let lines: String =
        changes.iter().map(|change| format!("{} {}\n", letter(change.kind), change.path)).collect();
    print_text(&lines)?;
    Ok(())
}
