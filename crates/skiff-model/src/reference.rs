//! Image references, normalised as Docker does.
//!
//! Grammar and defaults are those of <https://github.com/distribution/reference>: a name without a
//! registry is on `docker.io`, one without a user in `library/`. A [`Reference`] always holds a full
//! name; [`Reference::familiar`] is the short form people see. Whether a text names an image by id
//! instead is decided by the image store; [`looks_like_id`] says if it could.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::digest::{Digest, DigestError};

/// The registry of names that have none.
pub const DEFAULT_DOMAIN: &str = "docker.io";
/// The tag of references that have none.
pub const DEFAULT_TAG: &str = "latest";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const NAME_MAX: usize = 255;
const TAG_MAX: usize = 128;

/// Why a text is not a reference; the words are Docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("invalid reference format")]
    Format,
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    #[error("repository name must not be more than 255 characters")]
    TooLong,
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    #[error("invalid tag format")]
    Tag,
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// A normalised name with an optional tag and an optional digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses what a user types, adding the default registry and user (but no tag).
    pub fn parse_normalized(text: &str) -> Result<Self, ReferenceError> {
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(ReferenceError::Identifier(text.to_owned()));
        }
        let (domain, remainder) = split_domain(text);
        let remainder = match remainder.contains('/') {
            false if domain == DEFAULT_DOMAIN => format!("{OFFICIAL_PREFIX}{remainder}"),
            _ => remainder.to_owned(),
        };
        let remote = remainder.split(':').next().unwrap_or_default();
        if remote.chars().any(char::is_uppercase) {
            return Err(ReferenceError::Uppercase(remote.to_owned()));
        }
        Self::from_parts(domain, &remainder)
    }

    fn from_parts(domain: &str, remainder: &str) -> Result<Self, ReferenceError> {
        let (name, digest) = match remainder.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (remainder, None),
        };
        let (path, tag) = match name.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name, None),
        };
        let shaped = is_domain(domain)
            && is_path(path)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(has_digest_shape);
        if !shaped {
            return Err(ReferenceError::Format);
        }
        if path.len() > NAME_MAX {
            return Err(ReferenceError::TooLong);
        }
        Ok(Self {
            domain: domain.to_owned(),
            path: path.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::parse).transpose()?,
        })
    }

    /// Registry host, with its port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Repository inside the registry: `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one is stated.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is stated.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Full name without tag and digest: `docker.io/library/busybox`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// Short name without tag and digest: `busybox`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// Short form, as people write it: `busybox:latest`.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name.push(':');
            name.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            name.push('@');
            name.push_str(&digest.to_string());
        }
        name
    }

    /// Whether neither a tag nor a digest is stated.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Adds `latest` when neither a tag nor a digest is stated.
    pub fn with_default_tag(mut self) -> Self {
        if self.is_name_only() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// Replaces the tag.
    pub fn with_tag(mut self, tag: &str) -> Result<Self, ReferenceError> {
        if !is_tag(tag) {
            return Err(ReferenceError::Tag);
        }
        self.tag = Some(tag.to_owned());
        Ok(self)
    }

    /// Replaces the digest.
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Drops tag and digest.
    pub fn without_suffix(mut self) -> Self {
        self.tag = None;
        self.digest = None;
        self
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.with_suffix(self.name()))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse_normalized(text)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format_args!("{error}: {text:?}")))
    }
}

/// The hexadecimal part of a text that could be an image or container id or the start of one.
pub fn looks_like_id(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let valid = (1..=64).contains(&hex.len()) && hex.bytes().all(is_lower_hex);
    valid.then_some(hex)
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// Splits the registry off; a first component is one only if it cannot be a user's name.
fn split_domain(text: &str) -> (&str, &str) {
    let (domain, remainder) = match text.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.chars().any(char::is_uppercase) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, text),
    };
    (if domain == LEGACY_DOMAIN { DEFAULT_DOMAIN } else { domain }, remainder)
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rfind(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some(colon) if !domain[colon..].contains(']') => {
            (&domain[..colon], Some(&domain[colon + 1..]))
        }
        _ => (domain, None),
    };
    let port_ok = port.is_none_or(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let host_ok = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':'),
        None => host.split('.').all(is_domain_component),
    };
    port_ok && host_ok
}

fn is_domain_component(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

fn is_path(path: &str) -> bool {
    path.split('/').all(is_path_component)
}

/// Lower-case letters and digits, joined by `.`, `_`, `__` or dashes.
fn is_path_component(part: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = part.as_bytes();
    loop {
        let word = rest.iter().take_while(|b| alphanumeric(b)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        let separator = rest.iter().take_while(|b| !alphanumeric(b)).count();
        match &rest[..separator] {
            [] => return true,
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=TAG_MAX).contains(&tag.len())
        && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
        && !tag.starts_with(['.', '-'])
}

/// `algorithm:hex` with 32 digits or more; whether the algorithm is known comes later.
fn has_digest_shape(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let part_ok = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    algorithm.split(['-', '_', '+', '.']).all(part_ok)
        && hex.len() >= 32
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn names_are_normalised_as_docker_does() {
        let check = |text: &str, full: &str, familiar: &str| {
            let reference = Reference::parse_normalized(text).unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(Reference::parse_normalized(full).unwrap(), reference);
        };
        check("busybox", "docker.io/library/busybox", "busybox");
        check("library/busybox", "docker.io/library/busybox", "busybox");
        check("docker.io/busybox:1", "docker.io/library/busybox:1", "busybox:1");
        check("index.docker.io/busybox", "docker.io/library/busybox", "busybox");
        check("user/app", "docker.io/user/app", "user/app");
        check("skiff/hello:latest", "docker.io/skiff/hello:latest", "skiff/hello:latest");
        check("localhost/app", "localhost/app", "localhost/app");
        check("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1");
        check("Reg/app", "Reg/app", "Reg/app");
        check("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app");
        check("a--b__c.d_e", "docker.io/library/a--b__c.d_e", "a--b__c.d_e");
        check("library/a/b", "docker.io/library/a/b", "library/a/b");
        check("app:T_a.g-1", "docker.io/library/app:T_a.g-1", "app:T_a.g-1");
        let pinned = format!("quay.io/x/y:t@{DIGEST}");
        check(&pinned, &pinned, &pinned);
    }

    #[test]
    fn bad_references_have_dockers_words() {
        let check = |text: &str, expect: &str| {
            let error = Reference::parse_normalized(text).unwrap_err();
            assert_eq!(error.to_string(), expect, "{text}");
        };
        let format = "invalid reference format";
        let long = "a".repeat(129);
        for text in [
            "",
            ":",
            "a:",
            "a b",
            "../x",
            "a//b",
            "/a",
            "a/",
            "a:b:c",
            "a@",
            "a@b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a/.b",
            "a:.t",
            "a:-t",
            "a@sha256:abc",
            "a.b:x/c",
            "a.-b/c",
            "[::1/a",
            "é",
            "a\0b",
            "my_reg.com/foo",
            "a@sha256:zz",
            &format!("a:{long}"),
        ] {
            check(text, format);
        }
        check(
            "UPPER",
            "invalid reference format: repository name (library/UPPER) must be lowercase",
        );
        check("u/Upper", "invalid reference format: repository name (u/Upper) must be lowercase");
        check(&"a".repeat(248), "repository name must not be more than 255 characters");
        check(
            &DIGEST[7..],
            &format!(
                "invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
                &DIGEST[7..]
            ),
        );
        check(&format!("a@sha999:{}", "0".repeat(64)), "unsupported digest algorithm");
        check(&format!("a@sha256:{}", "0".repeat(32)), "invalid checksum digest length");
    }

    #[test]
    fn default_tag_is_added_only_when_nothing_is_stated() {
        let check = |text: &str, expect: &str| {
            let reference = Reference::parse_normalized(text).unwrap().with_default_tag();
            assert_eq!(reference.familiar(), expect);
        };
        check("a", "a:latest");
        check("a:b", "a:b");
        check(&format!("a@{DIGEST}"), &format!("a@{DIGEST}"));
    }

    #[test]
    fn ids_are_told_by_their_digits() {
        assert_eq!(looks_like_id("deadbeef"), Some("deadbeef"));
        assert_eq!(looks_like_id("sha256:ab"), Some("ab"));
        assert_eq!(looks_like_id(&DIGEST[7..]).map(str::len), Some(64));
        for text in ["", "sha256:", "xyz", "ABC", &"a".repeat(65)] {
            assert_eq!(looks_like_id(text), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_or_errs_and_what_parses_round_trips(text in "[a-zA-Z0-9./:@_\\-\\[\\]é ]{0,40}") {
            if let Ok(reference) = Reference::parse_normalized(&text) {
                prop_assert_eq!(&Reference::parse_normalized(&reference.to_string()).unwrap(), &reference);
                prop_assert_eq!(&Reference::parse_normalized(&reference.familiar()).unwrap(), &reference);
            }
        }
    }
}
