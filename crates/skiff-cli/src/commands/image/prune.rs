//! `image prune`: remove images that nothing uses.

use skiff_api::ImagesPruneReport;
use skiff_model::size::human_size;

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::confirm::confirmed;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Remove all that no container uses, not only those without a name")
        .short('a'),
    Flag::filter(),
    Flag::switch("force", "Do not ask").short('f'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image prune"],
    usage: "[OPTIONS]",
    summary: "Delete images that nothing uses",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[(
        "All that are unused and older than a week",
        "image prune -a --filter until=168h",
    )],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let all = flags.on("all");
    let warning = if all {
        "WARNING! This will remove all images without at least one container associated to them."
    } else {
        "WARNING! This will remove all dangling images."
    };
    if !flags.on("force") && !confirmed(warning)? {
        return Err(Failure::new("image prune has been cancelled"));
    }
    let dangling = format!("dangling={}", !all);
    let filters = flags.all("filter").chain([dangling.as_str()]);
    let query = Query::new("/images/prune").add_filters(filters);
    let report: ImagesPruneReport = context.client()?.post(query)?.json()?;
    if !report.images_deleted.is_empty() {
        say!("Deleted Images:");
        for item in report.images_deleted.iter() {
            match item.untagged.as_str() {
                "" => say!("deleted: {}", item.deleted),
                untagged => say!("untagged: {untagged}"),
            }
        }
        say!();
    }
    say!("Total reclaimed space: {}", human_size(report.space_reclaimed as f64));
    Ok(())
}
