//! `inspect`: everything about objects of any kind, as JSON or through a template.

use crate::client::{Client, ClientError, Query, encode_component};
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::jsonfmt;
use crate::output::print_text;
use crate::template::{MissingKey, Template, Value};

/// The `-f` of all inspect commands.
pub(crate) const FORMAT: Flag =
    Flag::text("format", "How to print: 'json', or a Go template").short('f');

static FLAGS: &[Flag] = &[
    FORMAT,
    Flag::switch("size", "Measure how much containers have written").short('s'),
    Flag::text("type", "Look for objects of this type only"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["inspect"],
    usage: "[OPTIONS] NAME|ID [NAME|ID...]",
    summary: "Tell everything about containers, images, volumes or networks",
    arity: Arity::AtLeast(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("One field", "inspect -f '{{.State.Status}}' web"),
        ("An image, even if a container has that name", "inspect --type image web"),
    ],
    run,
};

/// The kinds in the order in which a name is looked up, and where each is found.
const KINDS: [(&str, &str, &str); 6] = [
    ("container", "/containers/", "/json"),
    ("image", "/images/", "/json"),
    ("network", "/networks/", ""),
    ("volume", "/volumes/", ""),
    ("plugin", "/plugins/", "/json"),
    ("node", "/nodes/", ""),
];

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let wanted = flags.text("type");
    if flags.is_set("type") && wanted.is_empty() {
        return Err(Failure::new(
            "type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \
             \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"",
        ));
    }
    let known = KINDS.iter().any(|(kind, ..)| *kind == wanted);
    if !wanted.is_empty() && !known {
        let swarm = ["config", "secret", "service", "task"].contains(&wanted);
        return Err(Failure::new(if swarm {
            format!("objects of type {wanted} come with a later version of Skiff")
        } else {
            format!(
                "unknown type: {wanted:?}: must be one of \"config\", \"container\", \"image\", \
                 \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\""
            )
        }));
    }
    let client = context.client()?;
    let size = flags.on("size");
    inspect_each(flags, &mut |name| find(client, name, wanted, size))
}

fn find(client: &mut Client, name: &str, wanted: &str, size: bool) -> Result<Vec<u8>, ClientError> {
    for (kind, prefix, suffix) in KINDS {
        if !wanted.is_empty() && wanted != kind {
            continue;
        }
        let path = Query::new(format!("{prefix}{}{suffix}", encode_component(name)))
            .add_switch("size", size && kind == "container");
        match client.get(path) {
            Ok(mut response) => return response.body(),
            // A name that cannot belong to one kind may belong to another.
            Err(error) if wanted.is_empty() && is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ClientError::Protocol(format!("Error: No such object: {name}")))
}

fn is_absent(error: &ClientError) -> bool {
    matches!(error.status(), Some(400 | 404 | 405 | 501 | 503))
        || error.to_string().contains("not a swarm manager")
}

/// Inspects each argument and prints all that were found; the others' errors are the command's.
pub(crate) fn inspect_each(
    flags: &Matches,
    get: &mut dyn FnMut(&str) -> Result<Vec<u8>, ClientError>,
) -> Result<(), Failure> {
    let format = flags.text("format");
    let template =
        match format {
            "" | "json" => None,
            source => Some(Template::parse(source).map_err(|error| {
                Failure::with_code(64, format!("template parsing error: {error}"))
            })?),
        };
    let mut found = Vec::new();
    let mut errors = Vec::new();
    for name in &flags.args {
        match get(name) {
            Ok(body) => found.push(body),
            Err(error @ (ClientError::Unreachable { .. } | ClientError::Transfer(_))) => {
                return Err(error.into());
            }
            Err(error) => errors.push(error.to_string()),
        }
    }
    let text = match &template {
        None => whole(&found, format == "json"),
        Some(template) => {
            // Docker ends its output with a line even when nothing was found.
            let mut text = String::from(if found.is_empty() { "\n" } else { "" });
            for body in &found {
                match apply(template, body) {
                    Ok(line) => text.push_str(&(line + "\n")),
                    Err(error) => {
                        text.push('\n');
                        errors.push(error);
                    }
                }
            }
            text
        }
    };
    print_text(&text)?;
    Failure::join(errors)
}

fn apply(template: &Template, body: &[u8]) -> Result<String, String> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| format!("unable to read inspect data: {error}"))?;
    template
        .execute(&value, MissingKey::Error)
        .map_err(|error| format!("template parsing error: {error}"))
}

fn whole(found: &[Vec<u8>], compact: bool) -> String {
    let bodies: Vec<_> = found.iter().map(|body| String::from_utf8_lossy(body)).collect();
    let trimmed: Vec<&str> = bodies.iter().map(|body| body.trim()).collect();
    let array = format!("[{}]", trimmed.join(","));
    if compact { array + "\n" } else { jsonfmt::indent(&array, "") + "\n" }
}
