//! `context rm`: forget names of daemons.

use std::fs;

use crate::command::{Arity, Command};
use crate::config::{context_meta, context_meta_dir, context_tls_dir};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[Flag::switch("force", "Remove it even if it is in use").short('f')];

pub(crate) static COMMAND: Command = Command {
    paths: &["context rm", "context remove"],
    usage: "CONTEXT [CONTEXT...]",
    summary: "Forget contexts",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Forget a machine", "context rm builder")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let current = context.context_name()?;
    let dir = context.config_dir();
    let force = flags.on("force");
    let mut errors = Vec::new();
    for name in &flags.args {
        if name == "default" {
            errors.push("context \"default\" cannot be removed".to_owned());
        } else if *name == current && !force {
            errors.push(format!("context {name:?} is in use, set -f flag to force remove"));
        } else if let (Err(error), false) = (context_meta(&dir, name), force) {
            errors.push(error);
        } else {
            let _ = fs::remove_dir_all(context_tls_dir(&dir, name));
            let _ = fs::remove_dir_all(context_meta_dir(&dir, name));
            if *name == current {
                context.config().set_text("currentContext", "")?;
            }
            say!("{name}");
        }
    }
    Failure::join(errors)
}
