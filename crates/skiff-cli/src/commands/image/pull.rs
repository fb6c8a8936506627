//! `pull`: get an image from a registry.

use std::io::{self, Write};

use skiff_model::reference::Reference;

use crate::client::{Query, Request};
use crate::command::{Arity, Command};
use crate::commands::auth::registry_auth;
use crate::context::{Context, env};
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::show_progress;
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::switch("all-tags", "Get all tagged images of the repository").short('a'),
    Flag::switch("disable-content-trust", "Accepted and ignored").default("true").hidden(),
    Flag::text("platform", "Platform of the image: os[/arch[/variant]]"),
    Flag::switch("quiet", "Print only the name of what was pulled").short('q'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image pull", "pull"],
    usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
    summary: "Get an image from a registry",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("From a registry of your own", "pull registry.example.org/tools/build:2")],
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
    let platform = match flags.given("platform") {
        Some(platform) => platform.to_owned(),
        None => env("DOCKER_DEFAULT_PLATFORM").unwrap_or_default(),
    };
    let rewrites = terminal::stdout_is_terminal();
    let progress: &mut dyn Write = if quiet { &mut io::sink() } else { &mut io::stdout() };
    pull(context, &reference, &platform, progress, rewrites)?;
    say!("{}", full_name(&reference));
    Ok(())
}

/// Pulls what `run` misses; the progress is no part of the container's output.
pub(crate) fn pull_for_run(
    context: &mut Context,
    image: &str,
    platform: &str,
    quiet: bool,
) -> Result<(), Failure> {
    let reference =
        Reference::parse_normalized(image).map_err(|error| Failure::new(error.to_string()))?;
    let reference = reference.with_default_tag();
    let rewrites = terminal::stderr_is_terminal();
    let progress: &mut dyn Write = if quiet { &mut io::sink() } else { &mut io::stderr() };
    pull(context, &reference, platform, progress, rewrites)
}

/// The short name of an image, with its tag.
pub(crate) fn familiar_name(image: &str) -> String {
    Reference::parse_normalized(image)
        .map_or_else(|_| image.to_owned(), |reference| reference.with_default_tag().familiar())
}

fn full_name(reference: &Reference) -> String {
    let mut name = reference.name();
    if let Some(tag) = reference.tag() {
        name = format!("{name}:{tag}");
    }
    match reference.digest() {
        Some(digest) => format!("{name}@{digest}"),
        None => name,
    }
}

fn pull(
    context: &mut Context,
    reference: &Reference,
    platform: &str,
    progress: &mut dyn Write,
    rewrites: bool,
) -> Result<(), Failure> {
    let auth = registry_auth(context, reference.domain())?;
    let suffix = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.to_owned(),
        (None, None) => String::new(),
    };
    let path = Query::new("/images/create")
        .add("fromImage", &reference.familiar_name())
        .add_given("tag", &suffix)
        .add_given("platform", platform);
    let request = Request::new("POST", path).header("X-Registry-Auth", &auth);
    let response = context.client()?.call(request)?;
    show_progress(response, progress, rewrites, &mut |_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_with_their_tag() {
        assert_eq!(familiar_name("busybox"), "busybox:latest");
        assert_eq!(familiar_name("docker.io/library/busybox:1"), "busybox:1");
    }
}
