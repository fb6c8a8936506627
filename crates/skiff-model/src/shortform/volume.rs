//! `-v [source:]target[:options]`

use super::{Result, refuse};

/// What the source of a `-v` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeKind {
    /// No source: a new volume without a name.
    Anonymous,
    /// A volume by name.
    Named,
    /// A path on the host.
    Bind,
}

/// A mount in the short form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeSpec {
    /// What `source` is.
    pub kind: VolumeKind,
    /// A path or a name; empty for a new volume.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Options in the order given, without empty ones: `ro`, `z`, `rslave`, `nocopy`, …
    pub options: Vec<String>,
}

/// Reads one `-v` value. Whether paths exist and options fit each other is the daemon's business.
pub fn parse_volume(text: &str) -> Result<VolumeSpec> {
    if text.is_empty() {
        refuse!("invalid empty volume spec");
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options),
        _ => refuse!("invalid volume specification: '{text}'"),
    };
    if target.is_empty() || (parts.len() > 1 && source.is_empty()) {
        refuse!("invalid volume specification: '{text}'");
    }
    let kind = match source {
        "" => VolumeKind::Anonymous,
        path if path.starts_with(['/', '.', '~']) => VolumeKind::Bind,
        _ => VolumeKind::Named,
    };
    let options = options.split(',').filter(|option| !option.is_empty()).map(str::to_owned);
    Ok(VolumeSpec {
        kind,
        source: source.to_owned(),
        target: target.to_owned(),
        options: options.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read() {
        for (text, kind, source, target, options) in [
            ("/a", VolumeKind::Anonymous, "", "/a", ""),
            ("/a:/b", VolumeKind::Bind, "/a", "/b", ""),
            ("./a:/b:ro", VolumeKind::Bind, "./a", "/b", "ro"),
            ("data:/b:ro,nocopy", VolumeKind::Named, "data", "/b", "ro nocopy"),
        ] {
            let spec = parse_volume(text).unwrap();
            assert_eq!(
                (spec.kind, &*spec.source, &*spec.target, &*spec.options.join(" ")),
                (kind, source, target, options),
                "{text}"
            );
        }
        for text in ["", ":/b", "/a:", "a:b:c:d"] {
            assert!(parse_volume(text).is_err(), "{text}");
        }
    }
}
