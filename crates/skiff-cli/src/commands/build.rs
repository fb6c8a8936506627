//! `build`: not yet.

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::text("file", "Path of the Dockerfile").short('f'),
    Flag::list("tag", "Name of the image").short('t'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image build", "build"],
    usage: "[OPTIONS] PATH | URL | -",
    summary: "Build an image from a Dockerfile (comes with a later version)",
    arity: Arity::Any,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Meanwhile: an image from a directory", "import - mine < rootfs.tar")],
    run,
};

fn run(context: &mut Context, _: &Matches) -> Result<(), Failure> {
    let program = context.program;
    Err(Failure::new(format!(
        "{program}: building images comes with a later version of Skiff; until then, make them with \
         '{program} import', '{program} load' or '{program} commit'"
    )))
}
