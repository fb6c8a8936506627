//! `run`: create, attach, wait, start, and be the process until it ends.
//!
//! A daemon of ours creates, attaches and starts in one request, and is asked in another how the
//! start went and how the container ended, which takes no longer. For other daemons attach and wait are sent before
//! either is answered, on connections of their own; start follows when both are in place.

use skiff_api::{ContainerCreateRequest, CreateResponse};

use super::create::{Continuation, Made, create, with_help};
use super::path;
use super::session::{self, Attachment, Session, send_wait, wait_briefly};
use crate::client::{ClientError, Query, Request, Response, Upgraded};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::runopts::{self, CONTAINER_FLAGS};
use crate::stream::{Signals, parse_keys};
use crate::terminal;

static RUN_FLAGS: &[Flag] = &[
    Flag::switch("detach", "Run in the background and print the container's ID").short('d'),
    Flag::text("detach-keys", "Keys that leave the container running (default \"ctrl-p,ctrl-q\")"),
    Flag::switch("sig-proxy", "Pass signals on to the process").default("true"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container run", "run"],
    usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary: "Make a container of an image and run it",
    arity: Arity::AtLeast(1),
    flags: &[CONTAINER_FLAGS, RUN_FLAGS],
    interspersed: false,
    examples: &[
        ("A shell that leaves nothing behind", "run --rm -it busybox sh"),
        ("A service in the background", "run -d --name web -p 8080:80 nginx"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    if flags.on("detach") && flags.is_set("attach") {
        return Err(Failure::new("conflicting options: cannot specify both --attach and --detach"));
    }
    let request = runopts::build(flags)
        .map_err(Failure::new)
        .map_err(|failure| with_help(context, failure, 125))
        .and_then(|request| prepare(flags, request))?;
    let detach = flags.on("detach");
    let attachment = attachment(flags, &request);
    let condition = if flags.on("rm") { "removed" } else { "next-exit" };
    let next = Continuation { attachment: &attachment, condition };
    let next = Some(next).filter(|next| !detach && next.attachment.any());
    let made = create(context, flags, &request, next)
        .map_err(|failure| with_help(context, failure, 125))?;
    let Made { created: CreateResponse { id, .. }, stream, signals } = made;
    if detach {
        let started = context.client()?.post(path(&id, "/start")).and_then(Response::finish);
        // The container exists, whether it runs or not.
        say!("{id}");
        return started.map_err(|error| start_failure(context, error));
    }
    let signals = signals.map_or_else(Signals::catch, Ok)?;
    let attachment = Attachment { container: &id, ..attachment };
    attached(context, &attachment, condition, stream, &signals)
}

fn attachment<'a>(flags: &'a Matches, request: &ContainerCreateRequest) -> Attachment<'a> {
    let config = &request.config;
    Attachment {
        // Not known yet.
        container: "",
        stdin: config.attach_stdin && config.open_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        tty: config.tty,
        detach_keys: flags.text("detach-keys"),
        signal_proxy: flags.on("sig-proxy"),
    }
}

/// Adapts the request to how we will be attached.
fn prepare(
    flags: &Matches,
    mut request: ContainerCreateRequest,
) -> Result<ContainerCreateRequest, Failure> {
    let config = &mut request.config;
    if flags.on("detach") {
        config.attach_stdin = false;
        config.attach_stdout = false;
        config.attach_stderr = false;
        config.stdin_once = false;
    } else {
        if config.tty && config.attach_stdin && !terminal::stdin_is_terminal() {
            return Err(Failure::new("the input device is not a TTY"));
        }
        parse_keys(flags.text("detach-keys")).map_err(Failure::new)?;
    }
    if config.tty
        && let Some((rows, columns)) = terminal::size()
        && let Some(host) = &mut request.host_config
    {
        host.console_size = [u32::from(rows), u32::from(columns)];
    }
    Ok(request)
}

fn attached(
    context: &mut Context,
    attachment: &Attachment<'_>,
    condition: &str,
    stream: Option<Upgraded>,
    signals: &Signals,
) -> Result<(), Failure> {
    let id = attachment.container;
    let client = context.client()?;
    if stream.is_some() {
        let wait = send_wait(client, id, condition, true)?.answer();
        let wait = wait.map_err(|error| start_failure(context, error))?;
        let client = context.client()?;
        let ended = Session::new(client, attachment, Some(signals)).run(stream, wait)?;
        return session::result(&ended);
    }
    let attach = if attachment.any() { Some(attachment.send(client)?) } else { None };
    let wait = send_wait(client, id, condition, false)?;
    let stream: Option<Upgraded> = match attach.map(|pending| pending.upgraded()).transpose() {
        Ok(stream) => stream,
        Err(error) => return Err(with_help(context, error.into(), 125)),
    };
    let wait = wait.answer()?;
    let started = client.call(Request::new("POST", Query::new(path(id, "/start"))));
    if let Err(error) = started.and_then(Response::finish) {
        drop(stream);
        if condition == "removed" {
            wait_briefly(&wait);
        }
        return Err(start_failure(context, error));
    }
    let ended = Session::new(client, attachment, Some(signals)).run(stream, wait)?;
    session::result(&ended)
}

/// Tells "not found" and "not executable" apart, as a shell does.
fn start_failure(context: &Context, error: ClientError) -> Failure {
    let message = error.to_string();
    let has = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    let code = if has(&["executable file not found", "no such file or directory"]) {
        127
    } else if has(&["permission denied", "is a directory"]) {
        126
    } else {
        125
    };
    with_help(context, Failure::with_code(code, message), code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detached_containers_attach_nothing() {
        let args: Vec<String> = ["-dit", "busybox"].map(str::to_owned).to_vec();
        let flags = crate::flags::parse(COMMAND.flags, false, &args).unwrap();
        let request = prepare(&flags, runopts::build(&flags).unwrap()).unwrap();
        assert!(!request.config.attach_stdin && !request.config.stdin_once);
        assert!(request.config.open_stdin && request.config.tty);
        assert!(request.config.cmd.is_empty());
    }
}
