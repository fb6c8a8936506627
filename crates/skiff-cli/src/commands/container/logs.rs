//! `logs`: what a container has written.

use skiff_api::ContainerInspect;

use super::path;
use crate::client::Query;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::api_timestamp;
use crate::stream::copy_multiplexed;

static FLAGS: &[Flag] = &[
    Flag::switch("details", "Show the extra attributes of the log driver"),
    Flag::switch("follow", "Keep showing what comes").short('f'),
    Flag::text(
        "since",
        "Show what is newer: a time (\"2013-01-02T13:23:37Z\") or an age (\"42m\")",
    ),
    Flag::text("tail", "How many lines from the end").short('n').default("all"),
    Flag::switch("timestamps", "Show when each line was written").short('t'),
    Flag::text("until", "Show what is older: a time or an age"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container logs", "logs"],
    usage: "[OPTIONS] CONTAINER",
    summary: "Show what a container has written",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("The last lines, and what follows", "logs -f -n 20 web"),
        ("The last ten minutes, with times", "logs -t --since 10m web"),
    ],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let client = context.client()?;
    let name = &flags.args[0];
    // Newer daemons say in the answer's type whether it is framed; older ones must be asked.
    let asked = if client.version()? < (1, 42) {
        let container: ContainerInspect = client.get_json(path(name, "/json"))?;
        Some(container.config.tty)
    } else {
        None
    };
    let time = |flag: &str| flags.given(flag).filter(|t| !t.is_empty()).map(api_timestamp);
    let query = Query::new(path(name, "/logs"))
        .add("stdout", "1")
        .add("stderr", "1")
        .add_given("since", &time("since").unwrap_or_default())
        .add_given("until", &time("until").unwrap_or_default())
        .add_switch("timestamps", flags.on("timestamps"))
        .add_switch("follow", flags.on("follow"))
        .add_switch("details", flags.on("details"))
        .add("tail", flags.text("tail"));
    let mut response = client.get(query)?;
    let raw = asked.unwrap_or_else(|| {
        response.header("content-type") == Some("application/vnd.docker.raw-stream")
    });
    copy_multiplexed(&mut response, raw)?;
    Ok(())
}
