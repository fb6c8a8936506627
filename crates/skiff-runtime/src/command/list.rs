//! `list`: all containers below the root directory.

use std::process::ExitCode;

use super::args::{Flag, Parsed};
use super::state::Shown;
use super::{CommandError, Global, Result, Verb, print};

pub(super) static VERB: Verb = Verb {
    name: "list",
    about: "lists containers started by this runtime with the given root",
    usage: "[command options]",
    flags: &[Flag::value("format").short("f"), Flag::switch("quiet").short("q")],
    flags_anywhere: true,
    arguments: (0, 0),
    run: list,
};

fn list(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let containers: Vec<Shown> = global.store.list()?.iter().map(Shown::of).collect();
    if parsed.has("quiet") {
        let ids: String = containers.iter().map(|shown| format!("{}\n", shown.id)).collect();
        return print(&ids);
    }
    match parsed.get("format").unwrap_or("table") {
        "table" => print(&table(&containers)),
        "json" => {
            let text = serde_json::to_string(&containers)
                .map_err(|error| CommandError::new(error.to_string()))?;
            // As from Go, where an empty list is a null one.
            print(if containers.is_empty() { "null" } else { &text })
        }
        _ => Err(CommandError::new("invalid format option")),
    }
}

fn table(containers: &[Shown]) -> String {
    let heads = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = containers.iter().map(|shown| {
        let bundle = shown.bundle.display().to_string();
        let (pid, status) = (shown.pid.to_string(), shown.status.to_owned());
        [shown.id.clone(), pid, status, bundle, shown.created.clone(), shown.owner.clone()]
    });
    let rows: Vec<[String; 6]> = std::iter::once(heads).chain(rows).collect();
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        widest.max(11) + 1
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: String =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
