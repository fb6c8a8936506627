//! Where errors are told: a log file in the format engines read, and standard error.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::{CommandError, Result, time};

/// The log of one invocation.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    path: Option<PathBuf>,
    json: bool,
    debug: bool,
}

/// One line of a JSON log, as logrus writes it.
#[derive(Serialize)]
struct Line<'a> {
    level: &'a str,
    msg: &'a str,
    time: String,
}

impl Log {
    pub(super) fn new(path: Option<&str>, format: Option<&str>, debug: bool) -> Result<Self> {
        let json = match format.unwrap_or("text") {
            "text" => false,
            "json" => true,
            other => return Err(CommandError::new(format!("invalid log-format: {other}"))),
        };
        Ok(Self { path: path.map(PathBuf::from), json, debug })
    }

    pub(super) fn error(&self, message: &str) {
        self.write("error", message);
        if self.path.is_some() {
            // The log is for the engine; people look here.
            eprintln!("{message}");
        }
    }

    pub(super) fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    pub(super) fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: &str) {
        let line = self.line(level, message);
        let Some(path) = &self.path else {
            eprint!("{line}");
            return;
        };
        let file = OpenOptions::new().append(true).create(true).open(path);
        // A log that cannot be written must not hide what it was about.
        if file.and_then(|mut file| file.write_all(line.as_bytes())).is_err() {
            eprint!("{line}");
        }
    }

    fn line(&self, level: &str, message: &str) -> String {
        let time = time::now();
        if self.json {
            let line = Line { level, msg: message, time };
            return serde_json::to_string(&line).unwrap_or_default() + "\n";
        }
        format!("time={time:?} level={level} msg={message:?}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_is_what_engines_parse() {
        let log = Log::new(None, Some("json"), false).unwrap();
        let line: serde_json::Value =
            serde_json::from_str(&log.line("error", "a \"b\"\n")).unwrap();
        assert_eq!(line["msg"], "a \"b\"\n");
        assert_eq!(line["level"], "error");
    }
}
