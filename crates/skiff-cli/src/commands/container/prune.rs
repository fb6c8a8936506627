//! `container prune`: remove all stopped containers.

use skiff_api::ContainersPruneReport;
use skiff_model::size::human_size;

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::confirm::confirmed;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[Flag::filter(), Flag::switch("force", "Do not ask").short('f')];

pub(crate) static COMMAND: Command = Command {
    paths: &["container prune"],
    usage: "[OPTIONS]",
    summary: "Delete containers that do not run",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Those older than a day", "container prune -f --filter until=24h")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let warning = "WARNING! This will remove all stopped containers.";
    if !flags.on("force") && !confirmed(warning)? {
        return Err(Failure::new("container prune has been cancelled"));
    }
    let path = Query::new("/containers/prune").add_filters(flags.all("filter"));
    let report: ContainersPruneReport = context.client()?.post(path)?.json()?;
    if !report.containers_deleted.is_empty() {
        say!("Deleted Containers:");
        report.containers_deleted.iter().for_each(|id| say!("{id}"));
        say!();
    }
    say!("Total reclaimed space: {}", human_size(report.space_reclaimed as f64));
    Ok(())
}
