//! `start`: stopped containers run again, attached or not.

use skiff_api::ContainerInspect;

use super::path;
use super::session::{self, Attachment, Session, send_wait};
use crate::client::{Client, ClientError, Query, Response};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::stream::Signals;
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::switch("attach", "Attach STDOUT and STDERR, and pass signals on").short('a'),
    Flag::text("checkpoint", "Restore from this checkpoint"),
    Flag::text("checkpoint-dir", "Where checkpoints are"),
    Flag::text("detach-keys", "Keys that leave the container running (default \"ctrl-p,ctrl-q\")"),
    Flag::switch("interactive", "Attach STDIN").short('i'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container start", "start"],
    usage: "[OPTIONS] CONTAINER [CONTAINER...]",
    summary: "Start containers that do not run",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Run it again and see its output", "start -a backup")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let attach = flags.on("attach") || flags.on("interactive");
    if attach && flags.args.len() > 1 {
        return Err(Failure::new("you cannot start and attach multiple containers at once"));
    }
    if flags.is_set("checkpoint") && flags.args.len() > 1 {
        return Err(Failure::new("you cannot restore multiple containers at once"));
    }
    let client = context.client()?;
    if attach {
        return attached(client, flags);
    }
    let mut failed = Vec::new();
    for name in &flags.args {
        match start(client, flags, name) {
            Ok(()) => say!("{name}"),
            Err(error) => {
                tell!("{error}");
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("Error: failed to start containers: {}", failed.join(", "))))
}

fn start(client: &mut Client, flags: &Matches, name: &str) -> Result<(), ClientError> {
    let path = Query::new(path(name, "/start"))
        .add_given("checkpoint", flags.text("checkpoint"))
        .add_given("checkpoint-dir", flags.text("checkpoint-dir"));
    client.post(path).and_then(Response::finish)
}

fn attached(client: &mut Client, flags: &Matches) -> Result<(), Failure> {
    let name = &flags.args[0];
    let container: ContainerInspect = client.get_json(path(name, "/json"))?;
    let config = &container.config;
    let attachment = Attachment {
        container: &container.id,
        stdin: flags.on("interactive") && config.open_stdin,
        stdout: true,
        stderr: true,
        tty: config.tty,
        detach_keys: flags.text("detach-keys"),
        signal_proxy: true,
    };
    if attachment.tty && attachment.stdin && !terminal::stdin_is_terminal() {
        return Err(Failure::new("the input device is not a TTY"));
    }
    let signals = Signals::catch()?;
    let attach = attachment.send(client)?;
    let condition = if container.host_config.auto_remove { "removed" } else { "next-exit" };
    let wait = send_wait(client, &container.id, condition, false)?;
    let stream = attach.upgraded()?;
    let wait = wait.answer()?;
    start(client, flags, &container.id)?;
    let ended = Session::new(client, &attachment, Some(&signals)).run(Some(stream), wait)?;
    session::result(&ended)
}
