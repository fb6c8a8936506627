//! What is stored of a volume beside its data, and the rules for names and options.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use skiff_api::VolumeCreateRequest;

use crate::{Error, Result};

/// Label of volumes that were made without a name.
pub(super) const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// Longest name: that of a directory, less our own prefixes.
const NAME_MAX: usize = 255 - 16;

/// Options of the driver.
const OPTIONS: [&str; 4] = ["type", "o", "device", "size"];

/// Everything about a volume but its name and data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct VolumeRecord {
    /// Nanoseconds since the epoch.
    pub(crate) created: i64,
    /// `None` when the request had none, which is shown as null.
    pub(crate) labels: Option<BTreeMap<String, String>>,
    pub(crate) options: Option<BTreeMap<String, String>>,
}

impl VolumeRecord {
    /// The record a request asks for.
    pub(super) fn new(request: &VolumeCreateRequest, created: i64) -> Result<VolumeRecord> {
        if !matches!(request.driver.as_str(), "" | "local") {
            return Err(Error::not_found(format!(
                "error looking up volume plugin {driver}: plugin \"{driver}\" not found",
                driver = request.driver
            )));
        }
        check_options(&request.driver_opts)?;
        let map = |map: &skiff_api::Map<String>| (!map.is_null()).then(|| (**map).clone());
        Ok(VolumeRecord {
            created,
            labels: map(&request.labels),
            options: map(&request.driver_opts),
        })
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.contains_key(ANONYMOUS_LABEL))
    }

    pub(super) fn option(&self, name: &str) -> &str {
        self.options.as_ref().and_then(|options| options.get(name)).map_or("", String::as_str)
    }
}

/// Docker's rules for options of the driver `local`.
fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    if let Some(name) = options.keys().find(|name| !OPTIONS.contains(&name.as_str())) {
        return Err(Error::invalid(format!("invalid option: {name:?}")));
    }
    if options.contains_key("size") {
        return Err(Error::invalid("quota size requested but no quota support"));
    }
    let given = |name: &str| options.get(name).is_some_and(|value| !value.is_empty());
    if options.is_empty() {
        return Ok(());
    }
    for name in ["device", "type"] {
        if !given(name) {
            return Err(Error::invalid(format!("missing required option: {name:?}")));
        }
    }
    Ok(())
}

/// Checks a name for a new volume.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.len() == 1 {
        return Err(Error::invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )));
    }
    let first = |byte: u8| byte.is_ascii_alphanumeric();
    let other = |byte: u8| first(byte) || b"_.-".contains(&byte);
    let mut bytes = name.bytes();
    if !(bytes.next().is_some_and(first) && bytes.all(other)) {
        return Err(Error::invalid(format!(
            "create {name}: {name:?} includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, \
             use absolute path"
        )));
    }
    if name.len() > NAME_MAX {
        return Err(Error::invalid(format!("create {name}: volume name is too long")));
    }
    Ok(())
}

/// Reads a record. One that is missing or damaged stands for a volume without labels and options,
/// as old as its directory: the data must stay reachable.
pub(super) fn load(path: &Path) -> VolumeRecord {
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_else(|_| {
        let changed =
            path.parent().and_then(|directory| directory.metadata().ok()?.modified().ok());
        let age = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let created = age.map_or(0, |age| i64::try_from(age.as_nanos()).unwrap_or(0));
        VolumeRecord { created, ..VolumeRecord::default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn names_are_dockers() {
        for name in ["ab", "a1_.-", &"a".repeat(64), "0x"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for (name, part) in [
            ("", "invalid characters"),
            ("a", "too short"),
            ("../b", "create ../b: \"../b\" includes invalid characters for a local volume name"),
            (".hidden", "invalid characters"),
            ("a b", "invalid characters"),
            ("a\n", "invalid characters"),
            (&"a".repeat(300), "too long"),
        ] {
            let error = check_name(name).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(error.kind(), Kind::InvalidArgument);
        }
    }

    #[test]
    fn options_are_checked() {
        for (options, expect) in [
            (&[][..], None),
            (&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")], None),
            (&[("nope", "x")], Some("invalid option: \"nope\"")),
            (&[("type", "tmpfs")], Some("missing required option: \"device\"")),
            (&[("device", "/x")], Some("missing required option: \"type\"")),
        ] {
            let options =
                options.iter().map(|&(name, value)| (name.into(), value.into())).collect();
            assert_eq!(check_options(&options).err().map(|e| e.to_string()).as_deref(), expect);
        }
        let request = VolumeCreateRequest { driver: "nfsplug".into(), ..Default::default() };
        let error = VolumeRecord::new(&request, 0).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}
