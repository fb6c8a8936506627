//! `save`: images as an archive.

use super::{path, platform_json};
use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::archive::save_to;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::text("output", "Write to a file instead of STDOUT").short('o'),
    Flag::slice("platform", "Save this platform only: os[/arch[/variant]]"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image save", "save"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    summary: "Write images to an archive, or to standard output",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("To a file", "save -o busybox.tar busybox"),
        ("Compressed on the way", "save busybox | zstd > busybox.tar.zst"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let output = flags.text("output");
    if output.is_empty() && terminal::stdout_is_terminal() {
        return Err(Failure::new(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    let mut query = match flags.args.as_slice() {
        [single] => Query::new(path(single, "/get")),
        names => {
            names.iter().fold(Query::new("/images/get"), |query, name| query.add("names", name))
        }
    };
    for platform in flags.all("platform") {
        query = query.add("platform", &platform_json(platform)?);
    }
    let mut response = context.client()?.get(query)?;
    save_to(&mut response, output)
}
