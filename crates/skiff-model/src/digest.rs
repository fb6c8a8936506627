//! Content digests.
//!
//! A [`Digest`] is 32 bytes of SHA-256 and nothing else: once one exists, its text form is valid,
//! so it may become a file name. Hashing itself is done where the bytes are (`skiff-store`).
//! Other algorithms are refused: no image in practice uses them, and a digest that cannot be
//! checked must not be trusted.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// The prefix of every digest's text form.
const PREFIX: &str = "sha256:";

/// Why a text is not a digest; the words are those Docker's clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("invalid checksum digest format")]
    Format,
    #[error("unsupported digest algorithm")]
    Algorithm,
    #[error("invalid checksum digest length")]
    Length,
}

/// The SHA-256 of some content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Takes the raw hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Parses 64 lower-case hexadecimal digits.
    pub fn from_hex(hex: &str) -> Result<Self, DigestError> {
        let hex = hex.as_bytes();
        if hex.len() != 64 {
            return Err(DigestError::Length);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }

    /// The 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(64);
        push_hex(&mut hex, &self.0);
        hex
    }

    /// The first 12 hexadecimal digits, as tables show ids.
    pub fn short(&self) -> String {
        let mut hex = String::with_capacity(12);
        push_hex(&mut hex, &self.0[..6]);
        hex
    }
}

/// Value of a lower-case hexadecimal digit; upper case is refused so that a digest has one form.
fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError::Format),
    }
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(71);
        text.push_str(PREFIX);
        push_hex(&mut text, &self.0);
        f.pad(&text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if let Some(hex) = text.strip_prefix(PREFIX) {
            return Self::from_hex(hex);
        }
        match text.split_once(':') {
            Some((algorithm, hex)) if !algorithm.is_empty() && !hex.is_empty() => {
                Err(DigestError::Algorithm)
            }
            _ => Err(DigestError::Format),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sha256 digest")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(|error| E::custom(format_args!("{error}: {text:?}")))
            }
        }
        deserializer.deserialize_str(Visitor).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_round_trips() {
        let digest: Digest = EMPTY.parse().unwrap();
        assert_eq!(digest.to_string(), EMPTY);
        assert_eq!(digest.hex(), EMPTY[7..]);
        assert_eq!(digest.short(), "e3b0c44298fc");
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("{EMPTY:?}"));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn anything_else_is_refused() {
        let check = |text: &str, expect| assert_eq!(text.parse::<Digest>(), Err(expect), "{text}");
        check("", DigestError::Format);
        check("sha256", DigestError::Format);
        check("sha256:", DigestError::Length);
        check("sha256:abcd", DigestError::Length);
        check(&EMPTY.to_uppercase().replace("SHA256", "sha256"), DigestError::Format);
        check(&EMPTY.replace("e3", "g3"), DigestError::Format);
        check(&EMPTY.replace("sha256", "sha512"), DigestError::Algorithm);
        check(&EMPTY[7..], DigestError::Format);
        check(":abc", DigestError::Format);
        check(&format!("sha256:{}", "é".repeat(32)), DigestError::Format);
        assert!(serde_json::from_str::<Digest>("\"../../etc\"").is_err());
        assert!(serde_json::from_str::<Digest>("7").is_err());
    }
}
