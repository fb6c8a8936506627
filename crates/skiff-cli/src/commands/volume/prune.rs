//! `volume prune`: remove volumes that nothing uses.

use skiff_api::VolumesPruneReport;
use skiff_model::size::human_size;

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::confirm::confirmed;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Remove all unused ones, not only those without a name").short('a'),
    Flag::filter(),
    Flag::switch("force", "Do not ask").short('f'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["volume prune"],
    usage: "[OPTIONS]",
    summary: "Delete volumes that no container uses",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Named ones as well", "volume prune -a")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let all = flags.on("all");
    let warning = if all {
        "WARNING! This will remove all local volumes not used by at least one container."
    } else {
        "WARNING! This will remove anonymous local volumes not used by at least one container."
    };
    if !flags.on("force") && !confirmed(warning)? {
        return Err(Failure::new("volume prune has been cancelled"));
    }
    let client = context.client()?;
    // Before 1.42 there was no difference between the two.
    let wide = (all && client.version()? >= (1, 42)).then_some("all=true");
    let query = Query::new("/volumes/prune").add_filters(flags.all("filter").chain(wide));
    let report: VolumesPruneReport = client.post(query)?.json()?;
    if !report.volumes_deleted.is_empty() {
        say!("Deleted Volumes:");
        report.volumes_deleted.iter().for_each(|name| say!("{name}"));
        say!();
    }
    say!("Total reclaimed space: {}", human_size(report.space_reclaimed as f64));
    Ok(())
}
