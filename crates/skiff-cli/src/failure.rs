//! How a command fails: the text for stderr and the exit code.
//!
//! The words and codes are Docker's, because scripts match them: errors of the server start with
//! `Error response from daemon: `; 125 says that `run` itself failed, 126 and 127 that the command
//! in the container could not be started.

use crate::client::ClientError;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What to print on stderr; empty when everything was said already.
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl Failure {
    /// A failure with a message and exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// A failure with a message and its own exit code.
    pub(crate) fn with_code(code: u8, message: impl Into<String>) -> Self {
        Self { message: message.into(), code }
    }

    /// Ends with an exit code and says nothing.
    pub(crate) fn exit(code: u8) -> Self {
        Self { message: String::new(), code }
    }

    /// Maps an exit status of a container to the result of a command.
    pub(crate) fn from_status(status: i64) -> Result<(), Self> {
        if status == 0 { Ok(()) } else { Err(Self::exit((status & 0xff) as u8)) }
    }

    /// Joins the messages of several objects; `None` when there was none.
    pub(crate) fn join(messages: Vec<String>) -> Result<(), Self> {
        if messages.is_empty() { Ok(()) } else { Err(Self::new(messages.join("\n"))) }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Whoever reads our output may stop reading: `skiff ps | head -1` is no failure to report.
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::exit(1);
        }
        Self::new(describe_io(&error))
    }
}

/// An I/O error without Rust's ` (os error 2)`, and in lower case as Go writes it.
pub(crate) fn describe_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().collect::<String>() + chars.as_str(),
        None => String::new(),
    }
}
