//! `image inspect`: everything about images.

use super::{path, platform_json};
use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::inspect::{FORMAT, inspect_each};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[FORMAT, Flag::text("platform", "Platform to show: os[/arch[/variant]]")];

pub(crate) static COMMAND: Command = Command {
    paths: &["image inspect"],
    usage: "[OPTIONS] IMAGE [IMAGE...]",
    summary: "Tell everything about images",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("The command it runs", "image inspect -f '{{.Config.Cmd}}' busybox")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let platform = match flags.text("platform") {
        "" => String::new(),
        text => platform_json(text)?,
    };
    let client = context.client()?;
    inspect_each(flags, &mut |name| {
        let query = Query::new(path(name, "/json")).add_given("platform", &platform);
        client.get(query)?.body()
    })
}
