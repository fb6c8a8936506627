//! What the engine answers when it cannot do what was asked.
//!
//! An [`Error`] has a [`Kind`], from which the edge (HTTP, exit codes) derives its status in one
//! table, and a message in Docker's words, because clients match on them. Errors of the parts
//! below (store, runtime, kernel) are wrapped with the object that was worked on and keep their
//! cause as `source`; the message shows the whole chain, since it is all a remote client sees.

use std::error::Error as StdError;
use std::fmt;

/// What went wrong, coarsely; each maps to one HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The object does not exist (404).
    NotFound,
    /// The object's state does not allow it (409).
    Conflict,
    /// The request itself is wrong (400).
    InvalidArgument,
    /// Who asks may authenticate and try again (401).
    Unauthorized,
    /// It is not allowed, whatever the state (403).
    Forbidden,
    /// The object is already in the state asked for (304).
    NotModified,
    /// It may work later (503).
    Unavailable,
    /// This engine does not do that (501).
    NotImplemented,
    /// The host or the engine failed (500).
    Internal,
}

/// A failed request.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of any kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), source: None }
    }

    /// The object does not exist.
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(Kind::NotFound, message)
    }

    /// The object's state forbids it.
    pub fn conflict(message: impl Into<String>) -> Error {
        Error::new(Kind::Conflict, message)
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::InvalidArgument, message)
    }

    /// It is not allowed.
    pub fn forbidden(message: impl Into<String>) -> Error {
        Error::new(Kind::Forbidden, message)
    }

    /// Nothing was to be done.
    pub fn not_modified(message: impl Into<String>) -> Error {
        Error::new(Kind::NotModified, message)
    }

    /// The engine cannot do that.
    pub fn not_implemented(message: impl Into<String>) -> Error {
        Error::new(Kind::NotImplemented, message)
    }

    /// The engine or the host failed, without a further cause.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(Kind::Internal, message)
    }

    /// The engine or the host failed: `what` was tried, `source` is why it did not work.
    pub fn failed(
        what: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        Error { kind: Kind::Internal, message: what.into(), source: Some(source.into()) }
    }

    /// The same error under another kind.
    pub fn with_kind(mut self, kind: Kind) -> Error {
        self.kind = kind;
        self
    }

    /// What the edge derives its status from.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Puts words before the message, keeping kind and cause.
    pub fn context(mut self, prefix: impl fmt::Display) -> Error {
        self.message = format!("{prefix}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause: Option<&(dyn StdError + 'static)> = match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        };
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

/// What engine calls return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_shows_the_whole_chain() {
        let inner = std::io::Error::other("disk on fire");
        let error = Error::failed("write /x/config.json", inner).context("create container y");
        assert_eq!(error.to_string(), "create container y: write /x/config.json: disk on fire");
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.source().is_some());
    }
}
