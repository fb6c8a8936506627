//! `commit`: an image from a container's changes.

use crate::client::{Query, Request};
use crate::command::{Arity, Command};
use crate::commands::image::split_name;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::template::Value;

static FLAGS: &[Flag] = &[
    Flag::text("author", "Who made it, such as \"Ada <ada@example.org>\"").short('a'),
    Flag::list("change", "Apply a Dockerfile instruction to the image").short('c'),
    Flag::text("message", "What was changed").short('m'),
    Flag::switch("pause", "Pause the container meanwhile").short('p').default("true"),
    Flag::switch("no-pause", "Do not pause the container meanwhile"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container commit", "commit"],
    usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    summary: "Make an image of what a container has changed",
    arity: Arity::Range(1, 2),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("With another command", "commit -c 'CMD [\"nginx\"]' web web:v2")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let mut path = Query::new("/commit").add("container", &flags.args[0]);
    if let Some(name) = flags.args.get(1) {
        let (repository, tag) = split_name(name)?;
        path = path.add("repo", &repository).add_given("tag", &tag);
    }
    path =
        path.add_given("comment", flags.text("message")).add_given("author", flags.text("author"));
    for change in flags.all("change") {
        path = path.add("changes", change);
    }
    if !flags.on("pause") || flags.on("no-pause") {
        path = path.add("pause", "0");
    }
    let request = Request::new("POST", path).json(&serde_json::json!({}))?;
    let answer: Value = context.client()?.call(request)?.json()?;
    say!("{}", answer.str("Id"));
    Ok(())
}
