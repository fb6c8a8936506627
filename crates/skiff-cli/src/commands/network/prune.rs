//! `network prune`: remove networks that nothing uses.

use skiff_api::NetworksPruneReport;

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::confirm::confirmed;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[Flag::filter(), Flag::switch("force", "Do not ask").short('f')];

pub(crate) static COMMAND: Command = Command {
    paths: &["network prune"],
    usage: "[OPTIONS]",
    summary: "Delete networks that no container uses",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Those older than a day", "network prune -f --filter until=24h")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.";
    if !flags.on("force") && !confirmed(warning)? {
        return Err(Failure::new("network prune has been cancelled"));
    }
    let query = Query::new("/networks/prune").add_filters(flags.all("filter"));
    let report: NetworksPruneReport = context.client()?.post(query)?.json()?;
    if !report.networks_deleted.is_empty() {
        say!("Deleted Networks:");
        report.networks_deleted.iter().for_each(|name| say!("{name}"));
        say!();
    }
    Ok(())
}
