//! `system prune`: remove what nothing uses, of every kind.

use skiff_api::{
    ContainersPruneReport, ImagesPruneReport, NetworksPruneReport, VolumesPruneReport,
};
use skiff_model::size::human_size;

use crate::client::{Client, ClientError, Query};
use crate::command::{Arity, Command};
use crate::commands::confirm::confirmed;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Remove all unused images, not only those without a name").short('a'),
    Flag::filter(),
    Flag::switch("force", "Do not ask").short('f'),
    Flag::switch("volumes", "Remove anonymous volumes too"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["system prune"],
    usage: "[OPTIONS]",
    summary: "Delete whatever nothing uses",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Everything that nothing uses", "system prune -a --volumes")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let volumes = flags.on("volumes");
    let filters: Vec<&str> = flags.all("filter").collect();
    if volumes && filters.iter().any(|filter| filter.starts_with("until")) {
        return Err(Failure::new(
            "ERROR: The \"until\" filter is not supported with \"--volumes\"",
        ));
    }
    if !flags.on("force") && !confirmed(&warning(flags.on("all"), volumes, &filters))? {
        return Err(Failure::new("system prune has been cancelled"));
    }
    let client = context.client()?;
    let mut reclaimed = containers(client, &filters)?;
    networks(client, &filters)?;
    if volumes {
        reclaimed += prune_volumes(client, &filters)?;
    }
    reclaimed += images(client, &filters, flags.on("all"))?;
    say!("Total reclaimed space: {}", human_size(reclaimed as f64));
    Ok(())
}

fn warning(all: bool, volumes: bool, filters: &[&str]) -> String {
    let mut text = "WARNING! This will remove:\n  - all stopped containers\n  - all networks not \
                    used by at least one container\n"
        .to_owned();
    if volumes {
        text.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    text.push_str(if all {
        "  - all images without at least one container associated to them\n"
    } else {
        "  - all dangling images\n"
    });
    if !filters.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for filter in filters {
            text.push_str(&format!("  - {filter}\n"));
        }
    }
    text
}

fn list(title: &str, items: impl Iterator<Item = String>) {
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        say!("{title}");
        items.iter().for_each(|item| say!("{item}"));
        say!();
    }
}

fn containers(client: &mut Client, filters: &[&str]) -> Result<u64, ClientError> {
    let query = Query::new("/containers/prune").add_filters(filters.iter().copied());
    let report: ContainersPruneReport = client.post(query)?.json()?;
    list("Deleted Containers:", report.containers_deleted.into_vec().into_iter());
    Ok(report.space_reclaimed)
}

fn networks(client: &mut Client, filters: &[&str]) -> Result<(), ClientError> {
    let query = Query::new("/networks/prune").add_filters(filters.iter().copied());
    match client.post(query).and_then(|response| response.json::<NetworksPruneReport>()) {
        Ok(report) => {
            list("Deleted Networks:", report.networks_deleted.into_vec().into_iter());
            Ok(())
        }
        // A daemon without networks of its own has none to prune.
        Err(error) if matches!(error.status(), Some(404 | 501)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn prune_volumes(client: &mut Client, filters: &[&str]) -> Result<u64, ClientError> {
    let filters = filters.iter().copied().filter(|filter| filter.starts_with("label"));
    let query = Query::new("/volumes/prune").add_filters(filters);
    let report: VolumesPruneReport = client.post(query)?.json()?;
    list("Deleted Volumes:", report.volumes_deleted.into_vec().into_iter());
    Ok(report.space_reclaimed)
}

fn images(client: &mut Client, filters: &[&str], all: bool) -> Result<u64, ClientError> {
    let dangling = format!("dangling={}", !all);
    let filters = filters.iter().copied().chain([dangling.as_str()]);
    let query = Query::new("/images/prune").add_filters(filters);
    let report: ImagesPruneReport = client.post(query)?.json()?;
    let lines = report.images_deleted.into_vec().into_iter().map(|item| {
        if item.untagged.is_empty() {
            format!("deleted: {}", item.deleted)
        } else {
            format!("untagged: {}", item.untagged)
        }
    });
    list("Deleted Images:", lines);
    Ok(report.space_reclaimed)
}
