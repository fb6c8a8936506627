//! `--help`: usage, aliases, the table of flags and the examples, all from the rows.

use std::fmt::Write as _;

use super::{Flag, FlagGroups, Kind};
use crate::command::Command;

/// Renders the whole help text of a command as called.
pub(crate) fn command_help(program: &str, path: &str, command: &Command, width: usize) -> String {
    let mut text = format!("{}\n\n{}\n", usage_line(program, path, command), command.summary);
    if command.paths.len() > 1 {
        let names: Vec<_> = command.paths.iter().map(|p| format!("{program} {p}")).collect();
        let _ = write!(text, "\nAliases:\n  {}\n", names.join(", "));
    }
    let options = flag_table(command.flags, width);
    if !options.is_empty() {
        let _ = write!(text, "\nOptions:\n{options}");
    }
    if !command.examples.is_empty() {
        text.push_str("\nExamples:\n");
        for (what, line) in command.examples {
            let _ = writeln!(text, "  # {what}\n  {program} {line}");
        }
    }
    text
}

/// The line that starts each help text and follows each usage error.
pub(crate) fn usage_line(program: &str, path: &str, command: &Command) -> String {
    // A second line is a second form of the same command.
    let usage = command.usage.replace('\n', &format!("\n\t{program} {path} "));
    format!("Usage:  {program} {path} {usage}").trim_end().to_owned()
}

/// Renders the rows, sorted by name, with the descriptions in one column.
pub(crate) fn flag_table(groups: FlagGroups, width: usize) -> String {
    let mut rows: Vec<(&Flag, String)> = groups
        .iter()
        .flat_map(|group| group.iter())
        .filter(|flag| !flag.hidden)
        .map(|flag| (flag, left_side(flag)))
        .collect();
    rows.sort_by_key(|(flag, _)| flag.long);
    let column = rows.iter().map(|(_, left)| left.len()).max().unwrap_or(0) + 3;
    let mut text = String::new();
    for (flag, left) in rows {
        let description = format!("{}{}", flag.help, shown_default(flag));
        let lines = wrap(&description, width.saturating_sub(column).max(24));
        for (number, line) in lines.iter().enumerate() {
            let left = if number == 0 { &left } else { "" };
            let _ = writeln!(text, "{left:column$}{line}");
        }
    }
    text
}

fn left_side(flag: &Flag) -> String {
    let mut left = match flag.short {
        Some(letter) => format!("  -{letter}, --{}", flag.long),
        None => format!("      --{}", flag.long),
    };
    let name = match flag.kind {
        Kind::Bool => return left,
        Kind::Text => "string",
        Kind::Integer => "int",
        Kind::Checked(name, _) | Kind::Repeated(name, _) => name,
        Kind::Slice => "strings",
    };
    left.push(' ');
    left.push_str(name);
    left
}

fn shown_default(flag: &Flag) -> String {
    match flag.kind {
        _ if flag.default.is_empty() => String::new(),
        Kind::Text => format!(" (default {:?})", flag.default),
        _ => format!(" (default {})", flag.default),
    }
}

/// Breaks a text into lines of at most `width` columns, at spaces, keeping its own line breaks.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.len() + 1 + word.len() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}
