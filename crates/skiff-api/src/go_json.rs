//! Request bodies, decoded as Go's `encoding/json` decodes them, with its error texts.
//!
//! Clients were written against Go: names in any case, repeated names, null anywhere, unknown
//! names, broken UTF-8. Almost every body is plain, so `serde_json` reads it first; only what it
//! refuses is parsed again here, slowly, to be accepted after all or to get Go's words for what is
//! wrong and where.

mod parse;
mod value;

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Longest body that is read, in bytes.
pub const MAX_BODY: usize = 4 << 20;
/// Deepest nesting; more than any known client sends.
pub const MAX_DEPTH: usize = 128;

/// Why a body is refused; the texts are dockerd's.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// It is not JSON, or not of the right shape.
    #[error("invalid JSON: {0}")]
    Invalid(String),
    /// Something follows the object.
    #[error("unexpected content after JSON")]
    Trailing,
    /// It is longer than [`MAX_BODY`].
    #[error("request body too large: the limit is {MAX_BODY} bytes")]
    TooLarge,
}

/// Decodes a whole body.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    if body.len() > MAX_BODY {
        return Err(BodyError::TooLarge);
    }
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(_) => decode_as_go(body),
    }
}

fn decode_as_go<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    let (tree, rest) = parse::parse(body).map_err(BodyError::Invalid)?;
    let value = value::decode(&tree).map_err(BodyError::Invalid)?;
    if rest.iter().all(|byte| byte.is_ascii_whitespace()) {
        Ok(value)
    } else {
        Err(BodyError::Trailing)
    }
}

#[cfg(test)]
mod tests;
