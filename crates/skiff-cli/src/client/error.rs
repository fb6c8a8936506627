//! What can go wrong between us and the daemon.

use std::io;

use super::Endpoint;
use crate::failure::describe_io;

/// A failed request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody answers at the endpoint.
    #[error("{message}")]
    Unreachable {
        /// The whole text for the user.
        message: String,
        /// Whether nobody listens there (as opposed to not being allowed in).
        nobody_listens: bool,
    },
    /// The connection broke.
    #[error("error during connect: {}", describe_io(.0))]
    Transfer(io::Error),
    /// The daemon answered, and the answer is an error.
    #[error("Error response from daemon: {message}")]
    Answer {
        /// The HTTP status.
        status: u16,
        /// The daemon's words.
        message: String,
    },
    /// The daemon answered something we cannot read.
    #[error("{0}")]
    Protocol(String),
}

impl ClientError {
    /// The error for a failed connect, in the words scripts look for.
    pub(super) fn unreachable(endpoint: &Endpoint, source: &io::Error, program: &str) -> Self {
        use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
        let name = if program == "docker" { "Docker" } else { "Skiff" };
        let message = match source.kind() {
            PermissionDenied => format!(
                "permission denied while trying to connect to the {name} daemon socket at \
                 {endpoint}: {}",
                describe_io(source)
            ),
            NotFound | ConnectionRefused => format!(
                "Cannot connect to the {name} daemon at {endpoint}. Is the {} daemon running?",
                name.to_lowercase()
            ),
            _ => format!("error during connect: {endpoint}: {}", describe_io(source)),
        };
        let nobody_listens = matches!(source.kind(), NotFound | ConnectionRefused);
        Self::Unreachable { message, nobody_listens }
    }

    /// The HTTP status of an error answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the daemon said that there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
}
