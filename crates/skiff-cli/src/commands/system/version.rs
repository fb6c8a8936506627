//! `version`: of this program and of the daemon.

use std::fmt::Write as _;

use skiff_api::SystemVersion;

use crate::client::{ClientError, NEWEST_API};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{parse_time, print_one, print_text};
use crate::template::Value;

static FLAGS: &[Flag] =
    &[Flag::text("format", "How to print: 'json', or a Go template").short('f')];

pub(crate) static COMMAND: Command = Command {
    paths: &["version"],
    usage: "[OPTIONS]",
    summary: "Show the version of the client and of the daemon",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("The daemon's alone", "version -f '{{.Server.Version}}'")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let name = context.context_name()?;
    let server = fetch(context);
    let (client_version, answer) = match &server {
        Ok((api, value)) => (*api, Some(value)),
        Err(_) => (NEWEST_API, None),
    };
    let format = flags.text("format");
    if format.is_empty() {
        let mut text = client_text(context.program, client_version, &name);
        if let Some(value) = answer {
            text.push_str(&server_text(value));
        }
        print_text(&text)?;
    } else {
        let server = answer.map_or(Ok(Value::Nil), to_value)?;
        let value = Value::Struct(vec![
            ("Client".to_owned(), client_value(context.program, client_version, &name)),
            ("Server".to_owned(), server),
        ]);
        print_one(format, &value)?;
    }
    server.map(|_| ()).map_err(|failure| Failure::new(failure.message))
}

fn fetch(context: &mut Context) -> Result<((u32, u32), SystemVersion), Failure> {
    let client = context.client()?;
    let answer: Result<SystemVersion, ClientError> = client.get_json("/version");
    Ok((client.version()?, answer?))
}

fn to_value(version: &SystemVersion) -> Result<Value, Failure> {
    let text = serde_json::to_string(version).map_err(|error| Failure::new(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(error.to_string()))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn client_value(program: &str, (major, minor): (u32, u32), context: &str) -> Value {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: String| fields.push((name.to_owned(), Value::Text(value)));
    add("Version", env!("CARGO_PKG_VERSION").to_owned());
    add("ApiVersion", format!("{major}.{minor}"));
    add("DefaultAPIVersion", format!("{}.{}", NEWEST_API.0, NEWEST_API.1));
    add("GitCommit", option_env!("SKIFF_COMMIT").unwrap_or("").to_owned());
    add("GoVersion", String::new());
    add("Os", "linux".to_owned());
    add("Arch", architecture().to_owned());
    add("BuildTime", String::new());
    add("Context", context.to_owned());
    add("Program", program.to_owned());
    Value::Struct(fields)
}

fn client_text(program: &str, (major, minor): (u32, u32), context: &str) -> String {
    let name = if program == "docker" { "Docker CLI of Skiff" } else { "Skiff" };
    format!(
        "Client: {name}\n Version:           {}\n API version:       {major}.{minor}\n \
         OS/Arch:           linux/{}\n Context:           {context}\n",
        env!("CARGO_PKG_VERSION"),
        architecture()
    )
}

fn server_text(version: &SystemVersion) -> String {
    let mut text = match version.platform.name.as_str() {
        "" => "\nServer:\n".to_owned(),
        name => format!("\nServer: {name}\n"),
    };
    if version.components.is_empty() {
        let _ = write!(
            text,
            " Engine:\n  Version:          {}\n  API version:      {} (minimum version {})\n  \
             OS/Arch:          {}/{}\n",
            version.version, version.api_version, version.min_api_version, version.os, version.arch
        );
    }
    for component in version.components.iter() {
        let _ = writeln!(text, " {}:\n  Version:          {}", component.name, component.version);
        let detail = |name: &str| component.details.get(name).map_or("", String::as_str);
        if component.name == "Engine" {
            let _ = writeln!(
                text,
                "  API version:      {} (minimum version {})",
                detail("ApiVersion"),
                detail("MinAPIVersion")
            );
            for (label, name) in [("Go version:", "GoVersion"), ("Git commit:", "GitCommit")] {
                if !detail(name).is_empty() {
                    let _ = writeln!(text, "  {label:<17} {}", detail(name));
                }
            }
            if !detail("BuildTime").is_empty() {
                let _ = writeln!(text, "  {:<17} {}", "Built:", build_time(detail("BuildTime")));
            }
            let _ = writeln!(text, "  {:<17} {}/{}", "OS/Arch:", detail("Os"), detail("Arch"));
            if !detail("Experimental").is_empty() {
                let _ = writeln!(text, "  {:<17} {}", "Experimental:", detail("Experimental"));
            }
        } else {
            for (name, value) in &component.details {
                let _ = writeln!(text, "  {:<17} {value}", format!("{name}:"));
            }
        }
    }
    text
}

/// Times of builds are shown as C's `ctime` does.
fn build_time(text: &str) -> String {
    match parse_time(text) {
        Some(time) => time.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        None => text.to_owned(),
    }
}
