//! `volume update`: for cluster volumes, which there are none of here.

use crate::client::encode_component;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] =
    &[Flag::text("availability", "Whether a cluster uses it: active, pause or drain")
        .default("active")];

pub(crate) static COMMAND: Command = Command {
    paths: &["volume update"],
    usage: "[OPTIONS] [VOLUME]",
    summary: "Change a volume of a cluster",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Take it out of use", "volume update --availability drain data")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let path = format!("/volumes/{}", encode_component(&flags.args[0]));
    context.client()?.get(path)?.body()?;
    Err(Failure::new("can only update cluster volumes"))
}
