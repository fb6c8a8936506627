//! `system dial-stdio`: joins our stdin and stdout to the daemon's socket. It is the far end of
//! `ssh://` addresses.

use std::io::Write;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;
use crate::stream::Pump;

pub(crate) static COMMAND: Command = Command {
    paths: &["system dial-stdio"],
    usage: "",
    summary: "",
    arity: Arity::None,
    flags: &[],
    interspersed: true,
    examples: &[],
    run,
};

fn run(context: &mut Context, _: &Matches) -> Result<(), Failure> {
    let connection = context.client()?.connect()?;
    let pump = Pump {
        connection,
        stdin: true,
        tty: true,
        detach: None,
        signals: None,
        stdout: true,
        stderr: false,
    };
    pump.run(&mut |_| Ok(()))?;
    std::io::stdout().flush()?;
    Ok(())
}
