//! From the command line to a command: global flags, the table's paths, help, argument counts.

use std::fmt::Write as _;

use crate::command::Command;
use crate::commands::{COMMON, GROUPS, LATER, TABLE};
use crate::context::{Context, GLOBAL_FLAGS};
use crate::failure::Failure;
use crate::flags::{self, FlagGroups, Matches};
use crate::terminal;

/// Exit code for flags that cannot be understood.
const FLAG_ERROR: u8 = 125;

/// Finds and runs the command that `args` name.
pub(crate) fn run(program: &'static str, args: &[String]) -> Result<(), Failure> {
    let globals = flags::parse(GLOBAL_FLAGS, false, args).map_err(|error| {
        Failure::with_code(
            FLAG_ERROR,
            format!(
                "{error}\n\nUsage:  {program} [OPTIONS] COMMAND [ARG...]\n\nRun '{program} --help' \
                 for more information"
            ),
        )
    })?;
    if globals.on("version") {
        say!("{}", version_line(program));
        return Ok(());
    }
    let mut words = globals.args.as_slice();
    let mut help = globals.help;
    if !help && words.first().is_some_and(|word| word == "help") {
        help = true;
        words = &words[1..];
    }
    let Some(first) = words.first() else {
        say_part!("{}", overview(program));
        return Ok(());
    };
    match find(words) {
        Some((command, called, rest)) => {
            let rest = rest.to_vec();
            run_command(program, command, &called, globals, &rest, help)
        }
        None => group_or_unknown(program, first, &words[1..]),
    }
}

fn version_line(program: &str) -> String {
    let name = if program == "docker" { "Docker (Skiff)" } else { "Skiff" };
    format!("{name} version {}", env!("CARGO_PKG_VERSION"))
}

/// Matches the longest path first; returns the path as called and the arguments after it.
fn find(words: &[String]) -> Option<(&'static Command, String, &[String])> {
    for length in [2, 1] {
        if words.len() < length {
            continue;
        }
        let called = words[..length].join(" ");
        let command = TABLE.iter().find(|command| command.paths.contains(&called.as_str()));
        if let Some(command) = command {
            return Some((command, called, &words[length..]));
        }
    }
    None
}

fn run_command(
    program: &'static str,
    command: &'static Command,
    called: &str,
    globals: Matches,
    args: &[String],
    help: bool,
) -> Result<(), Failure> {
    let path = command.shown_path(called);
    let matches = flags::parse(command.flags, command.interspersed, args).map_err(|error| {
        let usage = flags::usage_line(program, path, command);
        Failure::with_code(
            FLAG_ERROR,
            format!("{error}\n\n{usage}\n\nRun '{program} {path} --help' for more information"),
        )
    })?;
    if help || matches.help {
        let width = terminal::width().map_or(79, |width| width.saturating_sub(1));
        say_part!("{}", flags::command_help(program, path, command, width));
        return Ok(());
    }
    let usage = flags::usage_line(program, path, command);
    let called = format!("{program} {path}");
    if let Some(message) = command.arity.violation(matches.args.len(), &called, &usage) {
        return Err(Failure::new(message));
    }
    let mut context = Context::new(program, path, globals)?;
    (command.run)(&mut context, &matches)
}

/// Shows a group's commands, or says that there is no such command.
fn group_or_unknown(program: &str, first: &str, rest: &[String]) -> Result<(), Failure> {
    if let Some((_, summary)) = GROUPS.iter().find(|(name, _)| *name == first) {
        let Some(word) = rest.iter().find(|word| !matches!(word.as_str(), "--help" | "-h")) else {
            say_part!("{}", group_help(program, first, summary));
            return Ok(());
        };
        if word.starts_with('-') {
            return Err(group_flag_error(program, first, word));
        }
        return Err(Failure::new(format!(
            "{program}: unknown command: {program} {first} {word}\n\nUsage:  {program} {first}\n\n\
             Run '{program} {first} --help' for more information"
        )));
    }
    if let Some((_, instead)) = LATER.iter().find(|(name, _)| *name == first) {
        return Err(Failure::new(format!(
            "{program}: '{program} {first}' comes with a later version of Skiff{instead}"
        )));
    }
    Err(Failure::new(format!(
        "{program}: unknown command: {program} {first}\n\nRun '{program} --help' for more \
         information"
    )))
}

fn group_flag_error(program: &str, group: &str, word: &str) -> Failure {
    static NONE: FlagGroups = &[];
    let error = flags::parse(NONE, true, &[word.to_owned()]).err().unwrap_or_default();
    Failure::with_code(
        FLAG_ERROR,
        format!(
            "{error}\n\nUsage:  {program} {group}\n\nRun '{program} {group} --help' for \
             more information"
        ),
    )
}

fn group_help(program: &str, group: &str, summary: &str) -> String {
    let mut text = format!("Usage:  {program} {group} COMMAND\n\n{summary}\n\nCommands:\n");
    let prefix = format!("{group} ");
    let mut rows: Vec<_> = TABLE
        .iter()
        .filter(|command| !command.summary.is_empty())
        .filter_map(|command| Some((command.paths[0].strip_prefix(&prefix)?, command.summary)))
        .collect();
    rows.sort_unstable();
    for (name, summary) in rows {
        let _ = writeln!(text, "  {name:<11} {}", first_line(summary));
    }
    let _ = write!(
        text,
        "\nRun '{program} {group} COMMAND --help' for more information on a command.\n"
    );
    text
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

/// The text of `skiff` and `skiff --help`.
fn overview(program: &str) -> String {
    let mut text = format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nRuns containers: one file that is client, daemon \
         and runtime\n\nCommon Commands:\n"
    );
    let summary = |name: &str| {
        TABLE
            .iter()
            .find(|command| command.paths.contains(&name))
            .map_or("", |command| first_line(command.summary))
    };
    for name in COMMON {
        let _ = writeln!(text, "  {name:<11} {}", summary(name));
    }
    text.push_str("\nManagement Commands:\n");
    for (name, summary) in GROUPS {
        let _ = writeln!(text, "  {name:<11} {summary}");
    }
    text.push_str("\nCommands:\n");
    let mut rows: Vec<_> = TABLE
        .iter()
        .filter(|command| !command.summary.is_empty())
        .flat_map(|command| command.paths.iter().map(move |path| (*path, command.summary)))
        .filter(|(path, _)| !path.contains(' ') && !COMMON.contains(path))
        .collect();
    rows.sort_unstable();
    for (name, summary) in rows {
        let _ = writeln!(text, "  {name:<11} {}", first_line(summary));
    }
    let width = terminal::width().map_or(79, |width| width.saturating_sub(1));
    let _ = write!(
        text,
        "\nOther roles of this program:\n  {:<11} Runs the daemon (takes dockerd's flags)\n  {:<11} \
         Runs bundles (takes runc's command line)\n\nGlobal Options:\n{}\nExamples:\n  # Say hello \
         from a container, without any network\n  {program} run --rm skiff/hello\n\nRun \
         '{program} COMMAND --help' for more information on a command.\n",
        "daemon",
        "runtime",
        flags::flag_table(GLOBAL_FLAGS, width),
    );
    text
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Command lines that are refused before anything is connected.
    const REFUSED: &[&str] = &[
        "run",
        "run --foo",
        "run -Q x",
        "run -m abc x",
        "run -t=x y",
        "run --ulimit x y",
        "run --cpus x y",
        "run --network foo=x y",
        "run --mount target=/x,foo=bar i",
        "run --add-host a:b i",
        "run -e =x i",
        "run --sysctl x i",
        "run -abc",
        "ps x",
        "ps --filter x",
        "ps -n x",
        "container ls x",
        "container foo",
        "foo",
        "--foo ps",
        "exec a",
        "logs",
        "rename a",
        "tag a",
        "stop -t x a",
        "cp a",
        "commit a b c",
        "context foo",
    ];

    #[test]
    fn refusals_read_as_dockers() {
        const DOCKER: &str = "/usr/local/bin/docker";
        if !std::path::Path::new(DOCKER).exists() {
            return;
        }
        for line in REFUSED {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let ours = run("docker", &words).unwrap_err();
            let theirs = Command::new(DOCKER).args(&words).stdin(Stdio::null()).output().unwrap();
            let text = String::from_utf8(theirs.stderr).unwrap();
            assert_eq!(ours.message, text.trim_end(), "{line}");
            assert_eq!(theirs.status.code(), Some(i32::from(ours.code)), "{line}");
        }
    }

    #[test]
    fn later_commands_say_so() {
        let failure = run("skiff", &["swarm".to_owned(), "init".to_owned()]).unwrap_err();
        assert_eq!(failure.message, "skiff: 'skiff swarm' comes with a later version of Skiff");
    }
}
