//! `attach`: connect to the streams of a running container's process.

use skiff_api::ContainerInspect;

use super::path;
use super::session::{self, Attachment, Session, send_wait};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::stream::{Signals, parse_keys};
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::text("detach-keys", "Keys that leave the container running (default \"ctrl-p,ctrl-q\")"),
    Flag::switch("no-stdin", "Do not attach STDIN"),
    Flag::switch("sig-proxy", "Pass signals on to the process").default("true"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container attach", "attach"],
    usage: "[OPTIONS] CONTAINER",
    summary: "Join the terminal to what a container reads and writes",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Watch without touching", "attach --no-stdin --sig-proxy=false web")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    parse_keys(flags.text("detach-keys")).map_err(Failure::new)?;
    let client = context.client()?;
    let container: ContainerInspect = client.get_json(path(&flags.args[0], "/json"))?;
    check_state(&container)?;
    let attachment = Attachment {
        container: &container.id,
        stdin: !flags.on("no-stdin") && container.config.open_stdin,
        stdout: true,
        stderr: true,
        tty: container.config.tty,
        detach_keys: flags.text("detach-keys"),
        signal_proxy: flags.on("sig-proxy") && !container.config.tty,
    };
    if attachment.tty && attachment.stdin && !terminal::stdin_is_terminal() {
        return Err(Failure::new("the input device is not a TTY"));
    }
    let signals = Signals::catch()?;
    let attach = attachment.send(client)?;
    let wait = send_wait(client, &container.id, "not-running", false)?;
    let stream = attach.upgraded()?;
    let wait = wait.answer()?;
    if attachment.tty {
        // A change of size (the session sets the right one next) makes programs draw themselves.
        session::resize(client, &container.id, 1);
    }
    let ended = Session::new(client, &attachment, Some(&signals)).run(Some(stream), wait)?;
    session::result(&ended)
}

fn check_state(container: &ContainerInspect) -> Result<(), Failure> {
    let state = &container.state;
    if !state.running {
        return Err(Failure::new("You cannot attach to a stopped container, start it first"));
    }
    if state.paused {
        return Err(Failure::new("You cannot attach to a paused container, unpause it first"));
    }
    if state.restarting {
        return Err(Failure::new(
            "You cannot attach to a restarting container, wait until it is running",
        ));
    }
    Ok(())
}
