//! What a runtime that failed has said, as an error of a start.
//!
//! Runtimes write their errors as lines of JSON into the file that `--log` names; the last one of
//! level "error" says why. Which exit code that is, Docker reads out of the words, and so do we.

use std::path::Path;

use serde::Deserialize;
use skiff_runtime::launch::{LaunchError, LaunchErrorKind};

/// Most of what a runtime says that is told on.
const MAX_MESSAGE: usize = 4096;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    level: String,
    msg: String,
}

/// The reason in a log; `None` if it has none.
pub(super) fn last_error(log: &str) -> Option<String> {
    let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut errors =
        lines.filter(|line| matches!(line.level.as_str(), "error" | "fatal" | "panic"));
    errors.find_map(|line| Some(line.msg.trim().to_owned()).filter(|message| !message.is_empty()))
}

/// An error in a runtime's words.
pub(super) fn error(mut message: String) -> LaunchError {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
    }
    LaunchError { kind: kind_of(&message), message }
}

/// What the words mean for the exit code.
fn kind_of(message: &str) -> LaunchErrorKind {
    let text = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["permission denied", "is a directory"]) {
        LaunchErrorKind::NotExecutable
    } else if has(&["executable file not found", "no such file or directory"]) {
        LaunchErrorKind::NotFound
    } else if has(&["not a directory"]) {
        LaunchErrorKind::InvalidConfig
    } else {
        LaunchErrorKind::Failed
    }
}

/// The kernel's reason as Go programs write it, which Docker's clients match on.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text).to_lowercase()
}

/// Describes what could not be done with a file of ours.
pub(super) fn file(what: &str, path: &Path) -> impl Fn(std::io::Error) -> LaunchError {
    move |error| LaunchError {
        kind: LaunchErrorKind::Failed,
        message: format!("{what} {}: {}", path.display(), reason(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_of_a_log_is_the_reason() {
        let log = r#"{"level":"warning","msg":"w","time":"x"}
{"level":"error","msg":"first"}
not json
{"level":"error","msg":"runc create failed: exec: \"nope\": executable file not found in $PATH\n"}
{"level":"info","msg":"later"}
{"level":"error","msg":""}"#;
        let expect = "runc create failed: exec: \"nope\": executable file not found in $PATH";
        assert_eq!(last_error(log).as_deref(), Some(expect));
        for empty in ["", "{}", "plain text", r#"{"level":"debug","msg":"x"}"#] {
            assert_eq!(last_error(empty), None, "{empty}");
        }
    }

    #[test]
    fn the_words_decide_the_exit_code() {
        use LaunchErrorKind::{Failed, InvalidConfig, NotExecutable, NotFound};
        for (text, kind) in [
            ("exec: \"nope\": executable file not found in $PATH", NotFound),
            ("executable file `nope` not found in $PATH: No such file or directory", NotFound),
            ("exec: \"/etc\": permission denied", NotExecutable),
            ("exec: \"/etc\": is a directory", NotExecutable),
            ("mount /a to /b: not a directory", InvalidConfig),
            ("out of luck", Failed),
        ] {
            assert_eq!(error(text.to_owned()).kind, kind, "{text}");
        }
    }

    #[test]
    fn a_long_story_is_cut() {
        assert!(error("ä".repeat(5000)).message.len() <= MAX_MESSAGE);
    }
}
