//! The keys that end an attached session without ending the program: `ctrl-p,ctrl-q`.

use thiserror::Error;

/// What is used when a client names no keys.
pub const DEFAULT: &str = "ctrl-p,ctrl-q";

/// A key that is neither one character nor `ctrl-` and a character.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("Unknown character: '{0}'")]
pub struct DetachKeysError(pub String);

/// Reads a list of keys into the bytes a terminal sends for them.
pub fn parse(text: &str) -> Result<Vec<u8>, DetachKeysError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',').map(|key| byte(key).ok_or_else(|| DetachKeysError(key.to_owned()))).collect()
}

fn byte(key: &str) -> Option<u8> {
    if let [single] = key.as_bytes() {
        return Some(*single);
    }
    match key.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [sign @ b'['..=b'_'] => Some(sign - b'[' + 27),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_control_characters() {
        assert_eq!(parse(DEFAULT).unwrap(), [16_u8, 17]);
        assert_eq!(parse("a,ctrl-a,ctrl-@,ctrl-[,ctrl-_,DEL").map_err(|e| e.0), Err("DEL".into()));
        assert_eq!(parse("a,ctrl-a,ctrl-@,ctrl-[,ctrl-_").unwrap(), [97, 1, 0, 27, 31]);
        assert!(parse("").unwrap().is_empty());
        for text in ["ctrl-", "ctrl-A", "ctrl-ab", ",", "é"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
