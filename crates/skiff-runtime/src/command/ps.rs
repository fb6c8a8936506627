//! `ps`: the processes of a container.

use std::process::{Command, ExitCode};

use super::args::{Flag, Parsed};
use super::{CommandError, Global, Result, Verb, print};

pub(super) static VERB: Verb = Verb {
    name: "ps",
    about: "ps displays the processes running inside a container",
    usage: "[command options] <container-id> [ps options]",
    flags: &[Flag::value("format").short("f")],
    flags_anywhere: false,
    arguments: (1, usize::MAX),
    run: ps,
};

fn ps(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    let container = global.store.load(parsed.id())?;
    let pids = container.cgroup().all_procs()?;
    match parsed.get("format").unwrap_or("table") {
        "json" => {
            let text = serde_json::to_string(&pids)
                .map_err(|error| CommandError::new(error.to_string()))?;
            print(&(text + "\n"))
        }
        "table" => print(&table(&pids, parsed.rest.get(1..).unwrap_or_default())?),
        _ => Err(CommandError::new("invalid format option")),
    }
}

/// Lets the host's `ps` list everything and keeps the lines of these processes.
fn table(pids: &[i32], options: &[String]) -> Result<String> {
    let options = if options.is_empty() { &["-ef".to_owned()] } else { options };
    let output = Command::new("ps")
        .args(options)
        .output()
        .map_err(|error| CommandError::io("run ps", error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(CommandError::new(format!("ps: {}", said.trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    keep(&text, pids).ok_or_else(|| CommandError::new("couldn't find PID field in ps output"))
}

fn keep(text: &str, pids: &[i32]) -> Option<String> {
    let mut lines = text.lines();
    let head = lines.next()?;
    let column = head.split_whitespace().position(|word| word == "PID")?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    let kept = std::iter::once(head).chain(lines.filter(ours));
    Some(kept.map(|line| format!("{line}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_lines_are_kept() {
        let text = "UID PID CMD\nroot 1 init\nroot 12 sh 1\n";
        assert_eq!(keep(text, &[12]).unwrap(), "UID PID CMD\nroot 12 sh 1\n");
        assert_eq!(keep("A B\n1 2\n", &[1]), None);
    }
}
