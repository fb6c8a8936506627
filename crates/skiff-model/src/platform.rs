//! OS, architecture and variant.
//!
//! Names are Go's (`GOOS`, `GOARCH`), as in image indexes; what `uname` and users write is
//! normalised to them. Only the host's compile-time architecture is known here; no system call.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image was built for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// Why a text is not a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    #[error(
        "{part:?} is an invalid component of {text:?}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument"
    )]
    Component { part: String, text: String },
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    Unknown(String),
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    Shape(String),
}

const KNOWN_OS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

const KNOWN_ARCHITECTURE: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// Makes a normalised platform.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let (architecture, variant) = normalize_architecture(architecture, variant);
        Self { architecture, os: normalize_os(os), variant, ..Self::default() }
    }

    /// The platform this executable was compiled for.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, "")
    }

    /// The same platform with its names normalised (`x86_64` is `amd64`, `arm64` `v8` is `arm64`).
    pub fn normalized(&self) -> Self {
        Self {
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            ..Self::new(&self.os, &self.architecture, &self.variant)
        }
    }

    /// Whether an image for `other` is one for this platform; a variant is compared when both
    /// have one, since most images do not state theirs.
    pub fn matches(&self, other: &Platform) -> bool {
        let (wanted, offered) = (self.normalized(), other.normalized());
        wanted.os == offered.os
            && wanted.architecture == offered.architecture
            && (wanted.variant == offered.variant
                || wanted.variant.is_empty()
                || other.variant.is_empty())
    }

    /// How well an image for `image` runs on a machine of this platform, lower being better:
    /// 0 is the same platform, `None` is "not at all". Used to choose from an index.
    pub fn rank(&self, image: &Platform) -> Option<u8> {
        let (host, image) = (self.normalized(), image.normalized());
        if host.os != image.os {
            return None;
        }
        match (host.architecture.as_str(), image.architecture.as_str()) {
            (a, b) if a == b => variant_rank(a, &host.variant, &image.variant),
            ("amd64", "386") => Some(20),
            ("arm64", "arm") => variant_rank("arm", "v8", &image.variant).map(|rank| rank + 20),
            _ => None,
        }
    }
}

/// Distance of an image's variant below the host's.
fn variant_rank(architecture: &str, host: &str, image: &str) -> Option<u8> {
    let level = |variant: &str| -> Option<u8> {
        match (architecture, variant) {
            ("arm", "") => Some(7),
            ("arm64", "") => Some(8),
            ("amd64", "") => Some(1),
            _ => variant.strip_prefix('v')?.parse().ok(),
        }
    };
    if host == image {
        return Some(0);
    }
    level(host)?.checked_sub(level(image)?)
}

fn normalize_os(os: &str) -> String {
    match os.to_ascii_lowercase() {
        os if os.is_empty() => "linux".to_owned(),
        os if os == "macos" => "darwin".to_owned(),
        os => os,
    }
}

fn normalize_architecture(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let pair = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
        ("aarch64" | "arm64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        ("powerpc64", variant) => ("ppc64", variant),
        pair => pair,
    };
    (pair.0.to_owned(), pair.1.to_owned())
}

impl FromStr for Platform {
    type Err = PlatformError;

    /// Parses `os`, `architecture`, `os/architecture` or `os/architecture/variant`.
    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        for part in &parts {
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            if part.is_empty() || !part.chars().all(valid) {
                let part = (*part).to_owned();
                return Err(PlatformError::Component { part, text: text.to_owned() });
            }
        }
        match parts[..] {
            [one] => {
                let host = Self::host();
                if KNOWN_OS.contains(&normalize_os(one).as_str()) {
                    return Ok(Self { os: normalize_os(one), ..host });
                }
                let platform = Self::new(&host.os, one, "");
                if KNOWN_ARCHITECTURE.contains(&platform.architecture.as_str()) {
                    return Ok(platform);
                }
                Err(PlatformError::Unknown(text.to_owned()))
            }
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => Err(PlatformError::Shape(text.to_owned())),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.os.is_empty() {
            return f.write_str("unknown");
        }
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_normalised() {
        let check = |text: &str, expect: &str| assert_eq!(parse(text).to_string(), expect);
        check("linux/amd64", "linux/amd64");
        check("Linux/x86_64", "linux/amd64");
        check("linux/aarch64", "linux/arm64");
        check("linux/arm64/v8", "linux/arm64");
        check("linux/arm64/v9", "linux/arm64/v9");
        check("linux/arm", "linux/arm/v7");
        check("linux/armhf", "linux/arm/v7");
        check("linux/armel", "linux/arm/v6");
        check("linux/arm/6", "linux/arm/v6");
        check("linux/i386", "linux/386");
        check("macos/arm64", "darwin/arm64");
        check("arm64", "linux/arm64");
        check("linux/nope", "linux/nope");
        check("linux", &Platform::host().to_string());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "linux/", "/amd64", "a/b/c/d", "linux/am d64", "li*ux", "bogus"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_platform_matches_its_other_spellings() {
        assert!(parse("linux/amd64").matches(&Platform::new("linux", "x86_64", "")));
        assert!(parse("linux/arm64").matches(&parse("linux/arm64/v8")));
        assert!(!parse("linux/arm/v6").matches(&parse("linux/arm/v7")));
        assert!(!parse("linux/arm64").matches(&parse("linux/amd64")));
        assert!(!parse("windows/amd64").matches(&parse("linux/amd64")));
    }

    #[test]
    fn the_nearest_lower_variant_ranks_best() {
        let host = parse("linux/arm/v7");
        assert_eq!(host.rank(&parse("linux/arm/v7")), Some(0));
        assert_eq!(host.rank(&parse("linux/arm/v6")), Some(1));
        assert_eq!(host.rank(&parse("linux/arm/v8")), None);
        assert_eq!(parse("linux/amd64").rank(&parse("linux/386")), Some(20));
        assert_eq!(parse("linux/amd64").rank(&parse("linux/arm64")), None);
    }
}
