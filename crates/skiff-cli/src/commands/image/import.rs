//! `import`: an image from the tar archive of a file system.

use std::io::{self, Write};

use crate::client::{Body, Query, Request};
use crate::command::{Arity, Command};
use crate::commands::archive::read_from;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::show_progress;
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::list("change", "Apply a Dockerfile instruction to the image").short('c'),
    Flag::text("message", "What the image is").short('m'),
    Flag::text("platform", "Platform of the image: os[/arch[/variant]]"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image import", "import"],
    usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    summary: "Make an image of an archive of a root file system",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("A directory as an image", "import - mine < <(tar -C rootfs -c .)"),
        ("With a command", "import -c 'CMD [\"sh\"]' rootfs.tar mine:v1"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let source = &flags.args[0];
    let is_url = source.contains("://");
    let from_source = if is_url { source.as_str() } else { "-" };
    let mut query = Query::new("/images/create")
        .add("fromSrc", from_source)
        .add_given("repo", flags.args.get(1).map_or("", String::as_str))
        .add_given("message", flags.text("message"))
        .add_given("platform", flags.text("platform"));
    for change in flags.all("change") {
        query = query.add("changes", change);
    }
    let body = if is_url { Body::Empty } else { read_from(source)? };
    let request = Request::new("POST", query).body("application/x-tar", body);
    let response = context.client()?.call(request)?;
    let out: &mut dyn Write = &mut io::stdout();
    show_progress(response, out, terminal::stdout_is_terminal(), &mut |_| ())
}
