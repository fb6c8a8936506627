//! `login` and `logout`: credentials of registries.

use std::io::{self, BufRead, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use skiff_api::{AuthConfig, AuthResponse};

use super::auth::{HUB, encode};
use crate::client::Request;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::terminal;

static FLAGS: &[Flag] = &[
    Flag::text("password", "Password or token (visible to other users: prefer STDIN)").short('p'),
    Flag::switch("password-stdin", "Read the password from STDIN"),
    Flag::text("username", "User name").short('u'),
];

pub(crate) static LOGIN: Command = Command {
    paths: &["login"],
    usage: "[OPTIONS] [SERVER]",
    summary: "Log in to a registry (Docker Hub if none is named)",
    arity: Arity::AtMost(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("From a script", "login -u ci --password-stdin registry.example.org < token")],
    run: login,
};

pub(crate) static LOGOUT: Command = Command {
    paths: &["logout"],
    usage: "[SERVER]",
    summary: "Log out from a registry (Docker Hub if none is named)",
    arity: Arity::AtMost(1),
    flags: &[],
    interspersed: true,
    examples: &[("Forget a password", "logout registry.example.org")],
    run: logout,
};

fn server(flags: &Matches) -> String {
    let given = flags.args.first().map_or("", String::as_str);
    let bare = given.trim_start_matches("https://").trim_start_matches("http://");
    match bare.split('/').next().unwrap_or("") {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        host => host.to_owned(),
    }
}

fn login(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let server = server(flags);
    if flags.on("password-stdin") && flags.is_set("password") {
        return Err(Failure::new("--password and --password-stdin are mutually exclusive"));
    }
    if flags.on("password-stdin") && flags.text("username").is_empty() {
        return Err(Failure::new("Must provide --username with --password-stdin"));
    }
    let username = match flags.text("username") {
        "" => ask("Username: ", false)?,
        name => name.to_owned(),
    };
    let password = match flags.text("password") {
        "" if flags.on("password-stdin") => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text)?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        "" => ask("Password: ", true)?,
        password => {
            tell!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
            password.to_owned()
        }
    };
    let login =
        AuthConfig { username, password, server_address: server.clone(), ..AuthConfig::default() };
    let request = Request::new("POST", "/auth").json(&login)?;
    let answer: AuthResponse = context.client()?.call(request)?.json()?;
    store(context, &server, &login, &answer)?;
    say!("{}", if answer.status.is_empty() { "Login Succeeded" } else { &answer.status });
    Ok(())
}

fn store(
    context: &mut Context,
    server: &str,
    login: &AuthConfig,
    answer: &AuthResponse,
) -> Result<(), Failure> {
    let mut entry = serde_json::Map::new();
    if answer.identity_token.is_empty() {
        let pair = format!("{}:{}", login.username, login.password);
        entry.insert("auth".to_owned(), encode(pair.as_bytes()).into());
    } else {
        let pair = format!("{}:", login.username);
        entry.insert("auth".to_owned(), encode(pair.as_bytes()).into());
        entry.insert("identitytoken".to_owned(), answer.identity_token.clone().into());
    }
    context.config().edit_auths(|auths| {
        auths.insert(server.to_owned(), entry.into());
        true
    })?;
    Ok(())
}

fn logout(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let server = server(flags);
    let removed = context.config().edit_auths(|auths| auths.remove(&server).is_some())?;
    if removed {
        say!("Removing login credentials for {server}");
    } else {
        say!("Not logged in to {server}");
    }
    Ok(())
}

/// Asks on the terminal; a secret is not shown while it is typed.
fn ask(question: &str, secret: bool) -> Result<String, Failure> {
    if !terminal::stdin_is_terminal() {
        return Err(Failure::new(
            "Error: Cannot perform an interactive login from a non TTY device",
        ));
    }
    say_part!("{question}");
    io::stdout().flush()?;
    let stdin = rustix::stdio::stdin();
    let before = tcgetattr(stdin).map_err(io::Error::from)?;
    if secret {
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin, OptionalActions::Now, &quiet).map_err(io::Error::from)?;
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if secret {
        tcsetattr(stdin, OptionalActions::Now, &before).map_err(io::Error::from)?;
        say!();
    }
    read?;
    let answer = line.trim_end_matches(['\r', '\n']).to_owned();
    if answer.is_empty() {
        return Err(Failure::new(if secret {
            "Error: Password Required"
        } else {
            "Error: Non-null Username Required"
        }));
    }
    Ok(answer)
}
