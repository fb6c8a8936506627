//! `volume inspect`: everything about volumes.

use crate::client::encode_component;
use crate::command::{Arity, Command};
use crate::commands::inspect::{FORMAT, inspect_each};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[FORMAT];

pub(crate) static COMMAND: Command = Command {
    paths: &["volume inspect"],
    usage: "[OPTIONS] VOLUME [VOLUME...]",
    summary: "Tell everything about volumes",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Where its files are", "volume inspect -f '{{.Mountpoint}}' data")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let client = context.client()?;
    inspect_each(flags, &mut |name| {
        client.get(format!("/volumes/{}", encode_component(name)))?.body()
    })
}
