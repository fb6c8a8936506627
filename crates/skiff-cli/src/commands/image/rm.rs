//! `rmi`: remove names of images, and images without names.

use skiff_api::{ImageDeleteItem, List};

use super::{path, platform_json};
use crate::client::Query;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::switch("force", "Remove it even if it is in use or has several names").short('f'),
    Flag::switch("no-prune", "Keep parents that have no name"),
    Flag::slice("platform", "Remove this platform only: os[/arch[/variant]]"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image rm", "image remove", "rmi"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    summary: "Take names off images and delete those left without one",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Whatever its names", "rmi -f $(skiff images -q web)")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let force = flags.on("force");
    let client = context.client()?;
    let mut errors = Vec::new();
    let mut serious = false;
    for name in &flags.args {
        let mut query = Query::new(path(name, ""))
            .add_switch("force", force)
            .add_switch("noprune", flags.on("no-prune"));
        for platform in flags.all("platform") {
            query = query.add("platforms", &platform_json(platform)?);
        }
        let deleted: Result<List<ImageDeleteItem>, _> =
            client.delete(query).and_then(|response| response.json());
        match deleted {
            Ok(items) => items.iter().for_each(print_item),
            Err(error) => {
                serious |= !error.is_not_found();
                errors.push(error.to_string());
            }
        }
    }
    if force && !serious {
        // What is to be gone by force may be gone already.
        errors.iter().for_each(|error| tell!("{error}"));
        return Ok(());
    }
    Failure::join(errors)
}

fn print_item(item: &ImageDeleteItem) {
    if item.deleted.is_empty() {
        say!("Untagged: {}", item.untagged);
    } else {
        say!("Deleted: {}", item.deleted);
    }
}
