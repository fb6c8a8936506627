//! Options of the driver `local`: a file system that is mounted over a volume's data while
//! containers use it. It stays mounted until the volume is removed or the host restarts.

use std::ffi::CString;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::record::VolumeRecord;
use crate::{Error, Result};

/// Options that are flags of mount(2) rather than words for the file system.
const FLAGS: &[(&str, MountFlags)] = &[
    ("ro", MountFlags::RDONLY),
    ("nosuid", MountFlags::NOSUID),
    ("nodev", MountFlags::NODEV),
    ("noexec", MountFlags::NOEXEC),
    ("sync", MountFlags::SYNCHRONOUS),
    ("dirsync", MountFlags::DIRSYNC),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
    ("relatime", MountFlags::RELATIME),
    ("strictatime", MountFlags::STRICTATIME),
    ("bind", MountFlags::BIND),
    ("rbind", MountFlags::BIND.union(MountFlags::REC)),
];

/// Options that say what happens anyway.
const DEFAULTS: &[&str] = &["rw", "suid", "dev", "exec", "async", "atime", "defaults", ""];

/// Flags and data for mount(2).
#[derive(Debug, PartialEq, Eq)]
struct Options {
    flags: MountFlags,
    data: String,
}

fn parse(text: &str) -> Options {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for word in text.split(',') {
        if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == word) {
            flags |= *flag;
        } else if !DEFAULTS.contains(&word) {
            data.push(word);
        }
    }
    Options { flags, data: data.join(",") }
}

/// Mounts what the options ask for, unless it is mounted.
pub(super) fn mount(name: &str, record: &VolumeRecord, data: &Path) -> Result<()> {
    let (kind, device) = (record.option("type"), record.option("device"));
    if kind.is_empty() || is_mount_point(data)? {
        return Ok(());
    }
    let what = |error: rustix::io::Errno| {
        Error::failed(format!("mount volume {name}: {device} of type {kind}"), error)
    };
    let options = parse(record.option("o"));
    let text = CString::new(options.data)
        .map_err(|error| Error::failed(format!("mount volume {name}: options"), error))?;
    rustix::mount::mount(device, data, kind, options.flags, Some(text.as_c_str())).map_err(what)?;
    // A bind takes flags only when it is mounted again.
    let wanted = options.flags - (MountFlags::BIND | MountFlags::REC);
    if options.flags.contains(MountFlags::BIND) && !wanted.is_empty() {
        rustix::mount::mount_remount(data, options.flags, c"").map_err(what)?;
    }
    rustix::mount::mount_change(data, MountPropagationFlags::PRIVATE).map_err(what)
}

/// Takes away what [`mount`] made, if it is there.
pub(super) fn unmount(name: &str, record: &VolumeRecord, data: &Path) -> Result<()> {
    if record.option("type").is_empty() || !is_mount_point(data)? {
        return Ok(());
    }
    rustix::mount::unmount(data, UnmountFlags::NOFOLLOW)
        .map_err(|error| Error::failed(format!("unmount volume {name}"), error))
}

/// A mount has a parent that is another mount, whatever the devices are.
fn is_mount_point(path: &Path) -> Result<bool> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let stat = statx(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
        .map_err(|error| Error::failed(format!("look at {}", path.display()), error))?;
    // Linux 5.8 says it; before, nobody mounts over this directory but us, so the device tells.
    let mask = rustix::fs::StatxAttributes::MOUNT_ROOT;
    if stat.stx_attributes_mask.contains(mask) {
        return Ok(stat.stx_attributes.contains(mask));
    }
    let parent = path.parent().unwrap_or(path);
    let above = statx(rustix::fs::CWD, parent, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE)
        .map_err(|error| Error::failed(format!("look at {}", parent.display()), error))?;
    Ok((stat.stx_dev_major, stat.stx_dev_minor) != (above.stx_dev_major, above.stx_dev_minor))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn flags_are_told_from_data() {
        for (text, flags, data) in [
            ("", MountFlags::empty(), ""),
            ("size=100m,uid=1000", MountFlags::empty(), "size=100m,uid=1000"),
            ("ro,noexec,size=1m", MountFlags::RDONLY | MountFlags::NOEXEC, "size=1m"),
            ("rw,bind", MountFlags::BIND, ""),
        ] {
            assert_eq!(parse(text), Options { flags, data: data.to_owned() }, "{text:?}");
        }
    }

    #[test]
    fn a_tmpfs_is_mounted_once_and_taken_away() {
        let directory = TempDir::new();
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,mode=0700")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let record =
            VolumeRecord { options: Some(BTreeMap::from(options)), ..VolumeRecord::default() };
        for _ in 0..2 {
            mount("vol", &record, directory.path()).unwrap();
            assert!(is_mount_point(directory.path()).unwrap());
        }
        unmount("vol", &record, directory.path()).unwrap();
        assert!(!is_mount_point(directory.path()).unwrap());
        unmount("vol", &record, directory.path()).unwrap();
    }
}
