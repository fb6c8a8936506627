//! Words for what failed: [`LaunchError`]s with the kernel's reason as Go programs write it, since
//! Docker's clients match on that ("no such file or directory", not "No such file ...").

use std::fmt::Display;
use std::io;

use crate::launch::{LaunchError, LaunchErrorKind};

/// Longest message that leaves the runtime; it may quote arguments of any length.
const MAX_MESSAGE: usize = 4096;

/// The kernel's reason without Rust's "(os error 2)", in lower case.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text);
    text.to_lowercase()
}

/// An error with its causes, which its own text leaves out.
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.downcast_ref().map_or_else(|| next.to_string(), reason);
        text = format!("{text}: {words}");
        cause = next.source();
    }
    text
}

/// A step that the kernel or the host refused.
pub(crate) fn failed(step: impl Display, error: impl Into<io::Error>) -> LaunchError {
    of_kind(LaunchErrorKind::Failed, format!("{step}: {}", reason(&error.into())))
}

/// An error of any kind, its message cut to a length that fits one report.
pub(crate) fn of_kind(kind: LaunchErrorKind, mut message: String) -> LaunchError {
    if message.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
    }
    LaunchError { kind, message }
}

/// Adds the step to results of system calls.
pub(crate) trait Context<T> {
    /// Names the step that failed; called only then.
    fn context<D: Display>(self, step: impl FnOnce() -> D) -> Result<T, LaunchError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context<D: Display>(self, step: impl FnOnce() -> D) -> Result<T, LaunchError> {
        self.map_err(|error| failed(step(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_in_go() {
        let error = failed("open x", io::Error::from_raw_os_error(2));
        assert_eq!(error.message, "open x: no such file or directory");
    }

    #[test]
    fn long_messages_are_cut() {
        let message = "ä".repeat(5000);
        assert!(of_kind(LaunchErrorKind::Failed, message).message.len() <= MAX_MESSAGE);
    }
}
