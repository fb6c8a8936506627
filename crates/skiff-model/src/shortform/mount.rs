//! `--mount type=bind,source=/a,target=/b,…`

use super::{Result, ShortFormError, refuse, split_csv};
use crate::size;

/// A mount in its long form. Options that were not given are `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountSpec {
    /// bind, volume, tmpfs, image, cluster or npipe.
    pub kind: String,
    /// A host path, a volume's name or an image.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether the container may not write.
    pub read_only: bool,
    /// Kept, without a meaning on Linux.
    pub consistency: String,
    /// How later mounts travel.
    pub bind_propagation: String,
    /// Whether mounts below the source are left out.
    pub bind_non_recursive: bool,
    /// `read_only` only for the mount itself, not for those below it.
    pub bind_read_only_non_recursive: bool,
    /// Fail rather than leave a mount below writable.
    pub bind_read_only_force_recursive: bool,
    /// Make a missing source directory.
    pub bind_create_source: bool,
    /// Whether any `bind-*` option was given.
    pub has_bind_options: bool,
    /// Leave a new volume empty.
    pub volume_no_copy: bool,
    /// A directory in the volume.
    pub volume_subpath: String,
    /// The driver of a new volume.
    pub volume_driver: String,
    /// Options for the driver.
    pub volume_options: Vec<(String, String)>,
    /// Labels of a new volume.
    pub volume_labels: Vec<(String, String)>,
    /// Whether any `volume-*` option was given.
    pub has_volume_options: bool,
    /// A directory in the image.
    pub image_subpath: String,
    /// Size limit of a tmpfs.
    pub tmpfs_size: Option<i64>,
    /// Permission bits of a tmpfs.
    pub tmpfs_mode: Option<u32>,
}

/// Reads one `--mount` value.
pub fn parse_mount(text: &str) -> Result<MountSpec> {
    if text.is_empty() {
        refuse!("value is empty");
    }
    let mut mount = MountSpec { kind: "volume".to_owned(), ..MountSpec::default() };
    for field in split_csv(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (&*field, None),
        };
        check_spaces(key, value, &field)?;
        let key = key.to_ascii_lowercase();
        match value {
            Some(value) => set_value(&mut mount, &key, value, &field)?,
            None => set_switch(&mut mount, &key, &field)?,
        }
    }
    check_whole(&mount)?;
    Ok(mount)
}

fn check_spaces(key: &str, value: Option<&str>, field: &str) -> Result<()> {
    if key.trim() != key {
        refuse!("invalid option '{key}' in '{field}': option should not have whitespace");
    }
    match value {
        Some("") => refuse!("invalid value for '{key}': value is empty"),
        Some(value) if value.trim() != value => {
            refuse!("invalid value for '{key}' in '{field}': value should not have whitespace")
        }
        _ => Ok(()),
    }
}

fn set_switch(mount: &mut MountSpec, key: &str, field: &str) -> Result<()> {
    match key {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => {
            mount.volume_no_copy = true;
            mount.has_volume_options = true;
        }
        "bind-nonrecursive" => {
            mount.bind_non_recursive = true;
            mount.has_bind_options = true;
        }
        "bind-create-src" => {
            mount.bind_create_source = true;
            mount.has_bind_options = true;
        }
        _ => refuse!("invalid field '{field}' must be a key=value pair"),
    }
    Ok(())
}

fn set_value(mount: &mut MountSpec, key: &str, value: &str, field: &str) -> Result<()> {
    mount.has_bind_options |= key.starts_with("bind-");
    mount.has_volume_options |= key.starts_with("volume-");
    let owned = value.to_owned();
    match key {
        "type" => mount.kind = value.to_ascii_lowercase(),
        "source" | "src" => mount.source = owned,
        "target" | "dst" | "destination" => mount.target = owned,
        "readonly" | "ro" => mount.read_only = boolean(key, value)?,
        "consistency" => mount.consistency = value.to_ascii_lowercase(),
        "bind-propagation" => mount.bind_propagation = value.to_ascii_lowercase(),
        "bind-nonrecursive" => mount.bind_non_recursive = boolean(key, value)?,
        "bind-create-src" => mount.bind_create_source = boolean(key, value)?,
        "bind-recursive" => set_recursive(mount, value)?,
        "volume-subpath" => mount.volume_subpath = owned,
        "volume-nocopy" => mount.volume_no_copy = boolean(key, value)?,
        "volume-label" => mount.volume_labels.push(pair(value)),
        "volume-driver" => mount.volume_driver = owned,
        "volume-opt" => mount.volume_options.push(pair(value)),
        "image-subpath" => mount.image_subpath = owned,
        "tmpfs-size" => {
            let size = size::parse_bytes(value)
                .map_err(|_| ShortFormError::new(format!("invalid value for {key}: {value}")))?;
            mount.tmpfs_size = Some(size);
        }
        "tmpfs-mode" => {
            let mode = u32::from_str_radix(value, 8)
                .map_err(|_| ShortFormError::new(format!("invalid value for {key}: {value}")))?;
            mount.tmpfs_mode = Some(mode);
        }
        _ => refuse!("unexpected key '{key}' in '{field}'"),
    }
    Ok(())
}

fn set_recursive(mount: &mut MountSpec, value: &str) -> Result<()> {
    match value {
        "enabled" => {}
        "disabled" => mount.bind_non_recursive = true,
        "writable" => mount.bind_read_only_non_recursive = true,
        "readonly" => mount.bind_read_only_force_recursive = true,
        _ => refuse!(
            "invalid value for bind-recursive: {value} (must be \"enabled\", \"disabled\", \
             \"writable\", or \"readonly\")"
        ),
    }
    Ok(())
}

fn check_whole(mount: &MountSpec) -> Result<()> {
    let kind = &*mount.kind;
    if mount.target.is_empty() {
        refuse!("target is required");
    }
    if kind != "volume" && mount.has_volume_options {
        refuse!("cannot mix 'volume-*' options with mount type '{kind}'");
    }
    if kind != "bind" && mount.has_bind_options {
        refuse!("cannot mix 'bind-*' options with mount type '{kind}'");
    }
    if kind != "tmpfs" && (mount.tmpfs_size.is_some() || mount.tmpfs_mode.is_some()) {
        refuse!("cannot mix 'tmpfs-*' options with mount type '{kind}'");
    }
    if kind != "image" && !mount.image_subpath.is_empty() {
        refuse!("cannot mix 'image-*' options with mount type '{kind}'");
    }
    if mount.bind_read_only_non_recursive && !mount.read_only {
        refuse!(
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction"
        );
    }
    if mount.bind_read_only_force_recursive {
        if !mount.read_only {
            refuse!(
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction"
            );
        }
        if mount.bind_propagation != "rprivate" {
            refuse!(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be \
                 specified in conjunction"
            );
        }
    }
    Ok(())
}

fn boolean(key: &str, value: &str) -> Result<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => refuse!("invalid value for {key}: {value}"),
    }
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let mount = parse_mount("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave").unwrap();
        assert_eq!(
            (&*mount.kind, &*mount.source, &*mount.target, mount.read_only),
            ("bind", "/a", "/b", true)
        );
        assert_eq!(mount.bind_propagation, "rslave");
        let mount =
            parse_mount("target=/b,volume-nocopy,volume-opt=o=uid=1,volume-label=a=b").unwrap();
        assert_eq!(mount.kind, "volume");
        assert!(mount.volume_no_copy);
        assert_eq!(mount.volume_options, [("o".to_owned(), "uid=1".to_owned())]);
        let mount = parse_mount("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1700").unwrap();
        assert_eq!((mount.tmpfs_size, mount.tmpfs_mode), (Some(1 << 20), Some(0o1700)));
    }

    #[test]
    fn mistakes_get_dockers_words() {
        for (text, message) in [
            ("", "value is empty"),
            ("type=bind,src=/a", "target is required"),
            ("foo=bar,target=/x", "unexpected key 'foo' in 'foo=bar'"),
            ("target", "invalid field 'target' must be a key=value pair"),
            ("target=", "invalid value for 'target': value is empty"),
            ("target=/x,ro=maybe", "invalid value for ro: maybe"),
            (
                "type=bind,target=/x,volume-nocopy",
                "cannot mix 'volume-*' options with mount type 'bind'",
            ),
            ("target=/x,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'volume'"),
            ("type=tmpfs,dst=/x,tmpfs-size=x", "invalid value for tmpfs-size: x"),
        ] {
            assert_eq!(parse_mount(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
