//! The daemon's own log: one line an event on stderr, in the form of Docker's (logfmt or JSON).

use std::fmt::Arguments;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warning",
            Level::Error => "error",
            Level::Fatal => "fatal",
        }
    }

    /// The level of a word that was checked before; anything else is `Info`.
    pub(crate) fn parse(word: &str) -> Level {
        match word {
            "debug" => Level::Debug,
            "warn" | "warning" => Level::Warn,
            "error" => Level::Error,
            "fatal" => Level::Fatal,
            _ => Level::Info,
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static JSON: AtomicBool = AtomicBool::new(false);

/// Sets what is logged from now on.
pub(crate) fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Sets the form of lines.
pub(crate) fn set_json(json: bool) {
    JSON.store(json, Ordering::Relaxed);
}

fn render(level: Level, message: &str, time: &str, json: bool) -> String {
    if json {
        let message = serde_json::Value::from(message);
        format!("{{\"level\":\"{}\",\"msg\":{message},\"time\":\"{time}\"}}\n", level.word())
    } else {
        format!("time=\"{time}\" level={} msg={message:?}\n", level.word())
    }
}

fn log(level: Level, message: Arguments<'_>) {
    if (level as u8) < LEVEL.load(Ordering::Relaxed) {
        return;
    }
    let time = jiff::Timestamp::now().to_string();
    let line = render(level, &message.to_string(), &time, JSON.load(Ordering::Relaxed));
    // Nobody reads the log: that is no reason to stop.
    drop(std::io::stderr().lock().write_all(line.as_bytes()));
}

pub(crate) fn debug(message: Arguments<'_>) {
    log(Level::Debug, message);
}

pub(crate) fn info(message: Arguments<'_>) {
    log(Level::Info, message);
}

pub(crate) fn warn(message: Arguments<'_>) {
    log(Level::Warn, message);
}

pub(crate) fn error(message: Arguments<'_>) {
    log(Level::Error, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_forge_a_line() {
        let text = render(Level::Info, "a\n\"b\"", "T", false);
        assert_eq!(text, "time=\"T\" level=info msg=\"a\\n\\\"b\\\"\"\n");
        let json = render(Level::Warn, "a\n\"b\"", "T", true);
        assert_eq!(json, "{\"level\":\"warning\",\"msg\":\"a\\n\\\"b\\\"\",\"time\":\"T\"}\n");
    }
}
