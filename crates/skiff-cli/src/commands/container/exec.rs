//! `exec`: a further process in a running container.

use std::io;

use skiff_api::{ExecConfig, ExecCreateResponse, ExecInspect, ExecStartRequest};
use skiff_model::shortform;

use super::path;
use crate::client::{Client, ClientError, Query, Request, Response};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::{Failure, describe_io};
use crate::flags::{Flag, Matches};
use crate::runopts::check_env;
use crate::stream::{DetachKeys, End, Pump, Signals, WINDOW_CHANGED, parse_keys};
use crate::terminal::{self, RawMode};

static FLAGS: &[Flag] = &[
    Flag::switch("detach", "Run in the background").short('d'),
    Flag::text("detach-keys", "Keys that leave the process running (default \"ctrl-p,ctrl-q\")"),
    Flag::checked_list("env", "list", check_env, "Set a variable: KEY=value, or KEY for ours")
        .short('e'),
    Flag::list("env-file", "Read variables from a file"),
    Flag::switch("interactive", "Keep STDIN open").short('i'),
    Flag::switch("privileged", "Give the process all capabilities"),
    Flag::switch("tty", "Give the process a terminal").short('t'),
    Flag::text("user", "User and group: <name|uid>[:<group|gid>]").short('u'),
    Flag::text("workdir", "Working directory in the container").short('w'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container exec", "exec"],
    usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    summary: "Run another program in a container",
    arity: Arity::AtLeast(2),
    flags: &[FLAGS],
    interspersed: false,
    examples: &[
        ("A shell in a running container", "exec -it web sh"),
        ("A command as another user, in another directory", "exec -u www -w /srv web ls"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let config = config(flags)?;
    let client = context.client()?;
    let create = path(&flags.args[0], "/exec");
    let keys = flags.text("detach-keys");
    if flags.on("detach") {
        let created: ExecCreateResponse = client.post_json(create, &config)?.json()?;
        return begin(client, &created.id, &config, true)?.finish().map_err(Failure::from);
    }
    // A daemon of ours makes and starts it in one request; another one ignores the wish.
    let at_once = Query::new(create).add("start", "1");
    let response = client.call(Request::new("POST", at_once).json(&config)?.upgrade())?;
    let ended: ExecInspect = match response.header("skiff-id").map(str::to_owned) {
        Some(id) if response.status() == 101 => {
            let end = Query::new(format!("/exec/{id}/json")).add("wait", "1");
            let end = client.send(Request::new("GET", end))?;
            let stream = response.into_upgraded().connection;
            Exec { id: &id, config: &config, keys }.stream(client, stream)?;
            end.answer()?.json()?
        }
        _ => {
            let ExecCreateResponse { id } = response.json()?;
            let stream = begin(client, &id, &config, false)?.into_upgraded().connection;
            Exec { id: &id, config: &config, keys }.stream(client, stream)?;
            client.get_json(format!("/exec/{id}/json"))?
        }
    };
    Failure::from_status(ended.exit_code.unwrap_or(0))
}

/// Starts what was created before.
fn begin(
    client: &mut Client,
    id: &str,
    config: &ExecConfig,
    detach: bool,
) -> Result<Response, ClientError> {
    let (tty, console_size) = (config.tty, config.console_size);
    let request = Request::new("POST", format!("/exec/{id}/start")).json(&ExecStartRequest {
        detach,
        tty,
        console_size,
    })?;
    if detach { client.call(request) } else { client.send(request.upgrade())?.switched() }
}

fn config(flags: &Matches) -> Result<ExecConfig, Failure> {
    let detach = flags.on("detach");
    let tty = flags.on("tty");
    let stdin = flags.on("interactive") && !detach;
    if tty && stdin && !terminal::stdin_is_terminal() {
        return Err(Failure::new("the input device is not a TTY"));
    }
    parse_keys(flags.text("detach-keys")).map_err(Failure::new)?;
    let size = terminal::size().filter(|_| tty && !detach);
    Ok(ExecConfig {
        user: flags.text("user").to_owned(),
        privileged: flags.on("privileged"),
        tty,
        console_size: size.map(|(rows, columns)| [u32::from(rows), u32::from(columns)]),
        attach_stdin: stdin,
        attach_stdout: !detach,
        attach_stderr: !detach,
        detach_keys: flags.text("detach-keys").to_owned(),
        env: environment(flags)?.into(),
        working_dir: flags.text("workdir").to_owned(),
        cmd: flags.args[1..].to_vec().into(),
    })
}

fn environment(flags: &Matches) -> Result<Vec<String>, Failure> {
    let lookup = |key: &str| std::env::var(key).ok();
    let mut variables = Vec::new();
    for file in flags.all("env-file") {
        let contents = std::fs::read_to_string(file)
            .map_err(|error| Failure::new(format!("open {file}: {}", describe_io(&error))))?;
        let lines = shortform::parse_env_file(&contents, lookup)
            .map_err(|error| Failure::new(format!("invalid env file ({file}): {error}")))?;
        variables.extend(lines);
    }
    for variable in flags.all("env") {
        let variable = shortform::resolve_env(variable, lookup)
            .map_err(|error| Failure::new(error.to_string()))?;
        variables.push(variable);
    }
    Ok(variables)
}

struct Exec<'a> {
    id: &'a str,
    config: &'a ExecConfig,
    keys: &'a str,
}

impl Exec<'_> {
    fn stream(
        &self,
        client: &mut Client,
        connection: crate::client::Connection,
    ) -> Result<(), Failure> {
        let interactive = self.config.tty && self.config.attach_stdin;
        // Without a terminal a signal simply ends us; with one, it must be put back first.
        let signals = if self.config.tty { Some(Signals::catch()?) } else { None };
        let raw = if interactive { RawMode::enter()? } else { None };
        if self.config.tty && client.version()? < (1, 42) {
            self.resize(client);
        }
        let keys = parse_keys(self.keys).map_err(Failure::new)?;
        let pump = Pump {
            connection,
            stdin: self.config.attach_stdin,
            tty: self.config.tty,
            detach: interactive.then(|| DetachKeys::new(keys)),
            signals: signals.as_ref(),
            stdout: true,
            stderr: true,
        };
        let mut fatal = None;
        let end = pump.run(&mut |signal| {
            if signal == WINDOW_CHANGED {
                self.resize(client);
                Ok(())
            } else if matches!(signal, 1 | 2 | 3 | 15) {
                fatal = Some(signal);
                Err(io::ErrorKind::Interrupted.into())
            } else {
                Ok(())
            }
        });
        drop(raw);
        match (fatal, end) {
            (Some(signal), _) => Err(Failure::exit(128 + signal as u8)),
            (None, Ok(End::Detached)) => {
                tell!("read escape sequence");
                Err(Failure::exit(0))
            }
            (None, Ok(End::Closed)) => Ok(()),
            (None, Err(error)) => Err(error.into()),
        }
    }

    fn resize(&self, client: &mut Client) {
        let Some((rows, columns)) = terminal::size() else { return };
        let path = Query::new(format!("/exec/{}/resize", self.id))
            .add("h", &rows.to_string())
            .add("w", &columns.to_string());
        let _ = client.post(path).and_then(Response::finish);
    }
}
