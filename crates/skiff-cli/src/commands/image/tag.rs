//! `tag`: a further name for an image.

use super::{path, split_name};
use crate::client::{Query, Response};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["image tag", "tag"],
    usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary: "Give an image one more name",
    arity: Arity::Exactly(2),
    flags: &[],
    interspersed: true,
    examples: &[("Name an image for a registry", "tag web registry.example.org/web:1.2")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let target = &flags.args[1];
    if target.contains('@') {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    let (repository, tag) = split_name(target).map_err(|failure| {
        Failure::new(format!(
            "Error parsing reference: {target:?} is not a valid repository/tag: {}",
            failure.message
        ))
    })?;
    let query = Query::new(path(&flags.args[0], "/tag"))
        .add("repo", &repository)
        .add("tag", if tag.is_empty() { "latest" } else { &tag });
    context.client()?.post(query).and_then(Response::finish)?;
    Ok(())
}
