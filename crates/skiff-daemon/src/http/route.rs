//! Paths: cleaning, the version in front, and the segments that handlers match on.

use std::borrow::Cow;

use skiff_api::version::ApiVersion;

use super::query::percent_decode;

/// A decoded path without its version.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) version: Option<ApiVersion>,
    decoded: String,
    /// Where the segments begin, after the version.
    from: usize,
}

impl Path {
    /// Takes a clean raw path apart; `None` is not found.
    pub(super) fn parse(raw: &str) -> Option<Path> {
        let decoded = percent_decode(raw, false)?;
        let rest = decoded.strip_prefix('/')?;
        let mut path = Path { version: None, from: 1, decoded: String::new() };
        if let Some(versioned) = rest.strip_prefix('v') {
            let (version, _) = versioned.split_once('/').unwrap_or((versioned, ""));
            let looks_like_one =
                version.contains('.') && version.bytes().all(|b| b == b'.' || b.is_ascii_digit());
            if looks_like_one {
                path.version = Some(version.parse().ok()?);
                path.from = (2 + version.len() + 1).min(decoded.len());
            }
        }
        path.decoded = decoded;
        Some(path)
    }

    /// The parts between slashes. An encoded slash separates as well: that is how names of images
    /// come from most clients.
    pub(super) fn segments(&self) -> Vec<&str> {
        let rest = &self.decoded[self.from..];
        rest.split('/').filter(|segment| !segment.is_empty()).collect()
    }
}

/// The path that a client is sent to when it has empty, `.` or `..` segments.
pub(super) fn cleaned(raw: &str) -> Option<String> {
    let decoded = match percent_decode(raw, false) {
        Some(decoded) => Cow::Owned(decoded),
        None => Cow::Borrowed(raw),
    };
    if !decoded.contains("//") && !decoded.contains("/.") {
        return None;
    }
    let mut clean: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(clean.pop()),
            segment => clean.push(segment),
        }
    }
    let mut target = format!("/{}", clean.join("/"));
    if decoded.ends_with('/') && !clean.is_empty() {
        target.push('/');
    }
    (target != *decoded).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_off() {
        for (raw, version, segments) in [
            ("/_ping", None, vec!["_ping"]),
            ("/v1.41/containers/json", Some("1.41"), vec!["containers", "json"]),
            ("/vabc/info", None, vec!["vabc", "info"]),
            ("/v1.41", Some("1.41"), vec![]),
            ("/volumes", None, vec!["volumes"]),
            ("/images/a%2Fb:c/json", None, vec!["images", "a", "b:c", "json"]),
            ("/version/", None, vec!["version"]),
        ] {
            let path = Path::parse(raw).unwrap();
            assert_eq!(path.version.map(|v| v.to_string()).as_deref(), version, "{raw}");
            assert_eq!(path.segments(), segments, "{raw}");
        }
        for raw in ["", "*", "/v1.2.3/info", "/%zz", "/%ff"] {
            assert!(Path::parse(raw).is_none(), "{raw}");
        }
    }

    #[test]
    fn unclean_paths_are_sent_elsewhere() {
        for (raw, expect) in [
            ("/info", None),
            ("//info", Some("/info")),
            ("/a/../info", Some("/info")),
            ("/../../etc/passwd", Some("/etc/passwd")),
            ("/%2e%2e/info", Some("/info")),
            ("/containers//x/./json", Some("/containers/x/json")),
            ("/images/.hidden/json", None),
            ("/a//", Some("/a/")),
        ] {
            assert_eq!(cleaned(raw).as_deref(), expect, "{raw}");
        }
    }
}
