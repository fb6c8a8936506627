//! `context ls`: the contexts there are.

use std::fs;
use std::rc::Rc;

use serde_json::Value as Json;

use super::default_host;
use crate::command::{Arity, Command};
use crate::commands::format::FORMAT_HELP;
use crate::context::{Context, env};
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{Listing, print_text};
use crate::template::{Object, Value};

static FLAGS: &[Flag] =
    &[Flag::text("format", FORMAT_HELP), Flag::switch("quiet", "Show names only").short('q')];

pub(crate) static COMMAND: Command = Command {
    paths: &["context ls", "context list"],
    usage: "[OPTIONS]",
    summary: "Show the contexts there are",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Names alone", "context ls -q")],
    run,
};

const LISTING: Listing = Listing {
    table: "{{.Name}}{{if .Current}} *{{end}}\\t{{.Description}}\\t{{.DockerEndpoint}}\\t{{.Error}}",
    heads: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("DockerEndpoint", "DOCKER ENDPOINT"),
        ("Error", "ERROR"),
    ],
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let current = context.context_name()?;
    let mut rows = vec![Row {
        name: "default".to_owned(),
        description: "Current DOCKER_HOST based configuration".to_owned(),
        endpoint: default_host(context),
        current: current == "default",
    }];
    let mut stored = Vec::new();
    let directory = fs::read_dir(context.config_dir().join("contexts/meta"));
    for entry in directory.into_iter().flatten().flatten() {
        let Ok(bytes) = fs::read(entry.path().join("meta.json")) else { continue };
        let Ok(meta) = serde_json::from_slice::<Json>(&bytes) else { continue };
        let text = |value: &Json| value.as_str().unwrap_or("").to_owned();
        let name = text(&meta["Name"]);
        stored.push(Row {
            description: text(&meta["Metadata"]["Description"]),
            endpoint: text(&meta["Endpoints"]["docker"]["Host"]),
            current: name == current,
            name,
        });
    }
    rows.append(&mut stored);
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    if flags.on("quiet") {
        print_text(&rows.iter().map(|row| row.name.clone() + "\n").collect::<String>())?;
        return Ok(());
    }
    let rows = rows.into_iter().map(|row| Rc::new(row) as Rc<dyn Object>).collect();
    LISTING.print(flags.text("format"), rows)?;
    if env("DOCKER_HOST").is_some() {
        tell!(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a \
             context, either set the global --context flag, or unset DOCKER_HOST environment \
             variable."
        );
    }
    Ok(())
}

struct Row {
    name: String,
    description: String,
    endpoint: String,
    current: bool,
}

impl Object for Row {
    fn field(&self, name: &str, _: &[Value]) -> Option<Value> {
        Some(match name {
            "Name" => Value::Text(self.name.clone()),
            "Description" => Value::Text(self.description.clone()),
            "DockerEndpoint" => Value::Text(self.endpoint.clone()),
            "Current" => Value::Bool(self.current),
            "Error" => Value::Text(String::new()),
            _ => return None,
        })
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Current", "Description", "DockerEndpoint", "Error", "Name"]
    }

    fn type_name(&self) -> &'static str {
        "*formatter.clientContextContext"
    }
}
