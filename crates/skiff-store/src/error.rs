//! What goes wrong in the store.

use std::io;
use std::path::{Path, PathBuf};

use skiff_model::digest::Digest;

use crate::compression::Unsupported;
use crate::tar::TarError;

/// An error of the store. Texts that Docker's clients read are Docker's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{action} {}: {}", path.display(), words(source))]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read stream: {}", words(.0))]
    Stream(#[source] io::Error),
    #[error("write stream: {}", words(.0))]
    Output(#[source] io::Error),
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    #[error("blob {0} not found")]
    NoBlob(Digest),
    #[error("layer {0} not found")]
    NoLayer(Digest),
    #[error("No such image: {0}")]
    NoImage(String),
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    #[error("wrong digest: expected {expected}, got {actual}")]
    WrongDigest { expected: Digest, actual: Digest },
    #[error("wrong size of {digest}: expected {expected} bytes, got {actual}")]
    WrongSize { digest: Digest, expected: u64, actual: u64 },
    #[error("invalid diffID for layer {index}: expected {expected:?}, got {actual:?}", expected = expected.to_string(), actual = actual.to_string())]
    WrongDiffId { index: usize, expected: Digest, actual: Digest },
    #[error("{what} is larger than {limit} bytes")]
    TooLarge { what: String, limit: u64 },
    #[error("invalid {what}: {reason}")]
    Invalid { what: String, reason: String },
    #[error("unrecognized image format")]
    Unrecognized,
    #[error("{what} {name:?} not found")]
    NoMember { what: &'static str, name: String },
    #[error(
        "image with reference {reference} was found but does not provide the specified platform ({platform})"
    )]
    NoPlatform { reference: String, platform: String },
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Invalid { what: what.into(), reason: reason.to_string() }
    }

    /// Whether something that was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::NoBlob(_) | Self::NoLayer(_) | Self::NoImage(_) | Self::NoPlatform { .. }
        )
    }
}

/// Result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The system's reason in the words Docker's clients know: lower case, without `(os error 28)`.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.split_once(" (os error")) {
        (Some(_), Some((reason, _))) => reason.to_lowercase(),
        _ => text,
    }
}
