//! `events`: what happens in the daemon, as it happens.

use std::io::{self, BufReader, Write};

use serde::Deserialize;
use skiff_api::EventMessage;

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::format::FORMAT_HELP;
use crate::context::Context;
use crate::failure::{Failure, describe_io};
use crate::flags::{Flag, Matches};
use crate::output::{api_timestamp, local_timestamp};
use crate::template::{MissingKey, Template, Value};

static FLAGS: &[Flag] = &[
    Flag::filter().short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::text("since", "Show what is newer: a time or an age"),
    Flag::text("until", "Show what is older, then end: a time or an age"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["system events", "events"],
    usage: "[OPTIONS]",
    summary: "Watch what happens in the daemon",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("Containers that end", "events --filter event=die"),
        ("What happened in the last hour", "events --since 1h --until 0s"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let template = match flags.text("format") {
        "" => None,
        "json" => Some("{{json .}}"),
        source => Some(source),
    };
    let template = template
        .map(Template::parse)
        .transpose()
        .map_err(|error| Failure::with_code(64, format!("Error parsing format: {error}")))?;
    let time = |name: &str| match flags.text(name) {
        "" => String::new(),
        text => api_timestamp(text),
    };
    let query = Query::new("/events")
        .add_given("since", &time("since"))
        .add_given("until", &time("until"))
        .add_filters(flags.all("filter"));
    let response = context.client()?.get(query)?;
    let mut stream = serde_json::Deserializer::from_reader(BufReader::new(response));
    loop {
        let line = match &template {
            None => EventMessage::deserialize(&mut stream).map(|event| Ok(line(&event))),
            Some(template) => Value::deserialize(&mut stream)
                .map(|event| template.execute(&event, MissingKey::NoValue)),
        };
        match line {
            Ok(line) => writeln!(io::stdout(), "{}", line.map_err(Failure::new)?)?,
            Err(error) if error.is_eof() => return Ok(()),
            Err(error) => {
                return Err(Failure::new(describe_io(&io::Error::from(error))));
            }
        }
    }
}

/// `<time> <type> <action> <id> (<key>=<value>, …)`
fn line(event: &EventMessage) -> String {
    let time = if event.time_nano != 0 {
        local_timestamp(event.time_nano)
    } else {
        local_timestamp(event.time.saturating_mul(1_000_000_000))
    };
    let mut line = format!("{time} {} {} {}", event.kind, event.action, event.actor.id);
    if !event.actor.attributes.is_empty() {
        let attributes: Vec<_> =
            event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        line.push_str(&format!(" ({})", attributes.join(", ")));
    }
    line
}
