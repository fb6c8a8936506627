//! `push`: give an image to a registry.

use std::io::{self, Write};

use skiff_model::reference::Reference;

use super::path;
use crate::client::{Query, Request};
use crate::command::{Arity, Command};
use crate::commands::auth::registry_auth;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::show_progress;
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::switch("all-tags", "Push all tags of the repository").short('a'),
    Flag::switch("disable-content-trust", "Accepted and ignored").default("true").hidden(),
    Flag::text("platform", "Push the image of one platform alone: os[/arch[/variant]]"),
    Flag::switch("quiet", "Print only the name of what was pushed").short('q'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image push", "push"],
    usage: "[OPTIONS] NAME[:TAG]",
    summary: "Send an image to a registry",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("To a registry of your own", "push registry.example.org/tools/build:2")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let reference = Reference::parse_normalized(&flags.args[0])
        .map_err(|error| Failure::new(error.to_string()))?;
    let all = flags.on("all-tags");
    if all && !reference.is_name_only() {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    let quiet = flags.on("quiet");
    if reference.is_name_only() && !all && !quiet {
        say!("Using default tag: latest");
    }
    let reference = if all { reference } else { reference.with_default_tag() };
    let auth = registry_auth(context, reference.domain())?;
    let query = Query::new(path(&reference.familiar_name(), "/push"))
        .add_given("tag", reference.tag().unwrap_or_default())
        .add_given("platform", flags.text("platform"));
    let request = Request::new("POST", query).header("X-Registry-Auth", &auth);
    let response = context.client()?.call(request)?;
    let progress: &mut dyn Write = if quiet { &mut io::sink() } else { &mut io::stdout() };
    show_progress(response, progress, terminal::stdout_is_terminal(), &mut |_| ())?;
    if quiet {
        say!("{}", reference.familiar());
    }
    Ok(())
}
