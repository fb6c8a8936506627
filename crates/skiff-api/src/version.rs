//! Versions of the API, as in `/v1.41/info`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The text is no `major.minor`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("invalid API version {0:?}")]
pub struct VersionError(pub String);

/// One version; ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    pub major: u16,
    pub minor: u16,
}

impl ApiVersion {
    /// The oldest that is served.
    pub const MIN: ApiVersion = ApiVersion::v1(24);
    /// The newest that is served, and what a request without a version gets.
    pub const MAX: ApiVersion = ApiVersion::v1(56);

    /// Version 1.`minor`.
    pub const fn v1(minor: u16) -> ApiVersion {
        ApiVersion { major: 1, minor }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<ApiVersion, VersionError> {
        let number = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| part.parse().unwrap_or(u16::MAX))
        };
        let parsed = match text.split_once('.') {
            Some((major, minor)) => number(major).zip(number(minor)),
            None => None,
        };
        let (major, minor) = parsed.ok_or_else(|| VersionError(text.to_owned()))?;
        Ok(ApiVersion { major, minor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        let parse = |text: &str| text.parse::<ApiVersion>().unwrap();
        assert!(parse("1.9") < parse("1.24"));
        assert_eq!(parse("1.56"), ApiVersion::MAX);
        assert_eq!(ApiVersion::MIN.to_string(), "1.24");
        assert!(parse("1.99999999999") > parse("1.56"));
        for text in ["", "1", "1.", ".1", "a.b", "1.2.3", "+1.2", "1.-2"] {
            assert!(text.parse::<ApiVersion>().is_err(), "{text}");
        }
    }
}
