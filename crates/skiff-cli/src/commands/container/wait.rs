//! `wait`: print exit codes as containers end.

use skiff_api::WaitResponse;

use super::path;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::Matches;

pub(crate) static COMMAND: Command = Command {
    paths: &["container wait", "wait"],
    usage: "CONTAINER [CONTAINER...]",
    summary: "Wait until containers end, and print their exit codes",
    arity: Arity::AtLeast(1),
    flags: &[],
    interspersed: true,
    examples: &[("Exit code of a job in the background", "wait backup")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let client = context.client()?;
    let mut errors = Vec::new();
    for name in &flags.args {
        let answer: Result<WaitResponse, _> =
            client.post(path(name, "/wait")).and_then(|response| response.json());
        match answer {
            Ok(WaitResponse { error: Some(error), .. }) if !error.message.is_empty() => {
                errors.push(error.message);
            }
            Ok(answer) => say!("{}", answer.status_code),
            Err(error) => errors.push(error.to_string()),
        }
    }
    Failure::join(errors)
}
