//! `load`: images from an archive.

use std::io::{self, Write};

use crate::client::{Query, Request};
use crate::command::{Arity, Command};
use crate::commands::archive::read_from;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{print_text, show_progress};
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::text("input", "Read from a file instead of STDIN").short('i'),
    Flag::slice("platform", "Load this platform only: os[/arch[/variant]]"),
    Flag::switch("quiet", "Say less").short('q'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image load", "load"],
    usage: "[OPTIONS]",
    summary: "Take images out of an archive, or from standard input",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("From a file, compressed or not", "load -i busybox.tar.gz"),
        ("From another machine", "load < busybox.tar"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let input = flags.text("input");
    if input.is_empty() && terminal::stdin_is_terminal() {
        return Err(Failure::new("requested load from stdin, but stdin is empty"));
    }
    let body = read_from(input)?;
    // Progress is for people; without a terminal only the result is of use.
    let quiet = flags.on("quiet") || !terminal::stdout_is_terminal();
    let mut query = Query::new("/images/load").add("quiet", if quiet { "1" } else { "0" });
    for platform in flags.all("platform") {
        query = query.add("platform", &super::platform_json(platform)?);
    }
    let request = Request::new("POST", query).body("application/x-tar", body);
    let mut response = context.client()?.call(request)?;
    if response.header("content-type") == Some("application/json") {
        let progress: &mut dyn Write = &mut io::stdout();
        return show_progress(response, progress, terminal::stdout_is_terminal(), &mut |_| ());
    }
    print_text(&String::from_utf8_lossy(&response.body()?))?;
    Ok(())
}
