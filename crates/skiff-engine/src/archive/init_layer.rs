//! The layer between every image and its container's writable layer: the places where the engine
//! mounts something (`/etc/hosts`, `/proc`, …), so that making them is no change of the container
//! that `diff` would show and `commit` would keep.
//!
//! There are two, for images that have an `/etc/mtab` and for those that need one. They would hide
//! an image's own directories if those were something special (`/etc` a link, or closed to others); such images go without it.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType};
use skiff_store::tar::walk;

use crate::{Core, Error, Result};

const DIRECTORIES: &[&str] = &["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"];
const FILES: &[&str] =
    &[".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// To be raised with every change of what the layer has: containers may be on the old one.
const VERSION: u32 = 1;

/// Made where an image has none: old programs look for mounts there.
const MTAB: &str = "etc/mtab";

/// Directories of an image that this layer's are put over. Of all but `/etc` nothing is seen.
const COVERED: &[&str] = &["etc", "dev", "proc", "sys"];

/// The layer to put on an image's layers (the topmost first), or `None` where it would show.
pub(super) fn over(core: &Core, layers: &[PathBuf]) -> Result<Option<PathBuf>> {
    if !COVERED.iter().all(|name| is_plain(layers, name)) {
        return Ok(None);
    }
    let needs_mtab = !has(layers, MTAB);
    let kind = if needs_mtab { "with-mtab" } else { "without-mtab" };
    let path = core.config.data_root.join(format!("init-layer-{VERSION}-{kind}"));
    if !path.exists() {
        make(&path, needs_mtab)
            .map_err(|error| Error::failed(format!("make {}", path.display()), error))?;
    }
    Ok(Some(path))
}

/// Whether an image has a usual directory of this name, or nothing.
fn is_plain(layers: &[PathBuf], name: &str) -> bool {
    for layer in layers {
        let path = layer.join(name);
        match walk::look_if_there(CWD, path.as_os_str().as_bytes()) {
            Ok(None) => {}
            Ok(Some(stat)) => {
                return match walk::file_type(&stat) {
                    FileType::Directory => {
                        name != "etc"
                            || (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid) == (0o755, 0, 0)
                    }
                    // A whiteout: the image has none.
                    FileType::CharacterDevice => stat.st_rdev == 0,
                    _ => false,
                };
            }
            Err(_) => return false,
        }
    }
    true
}

/// Whether an image has this file, as far as its name goes.
fn has(layers: &[PathBuf], name: &str) -> bool {
    let look = |layer: &PathBuf| {
        walk::look_if_there(CWD, layer.join(name).as_os_str().as_bytes()).ok().flatten()
    };
    // The topmost word counts, and it may be that the file is gone.
    let is_whiteout = |stat: &rustix::fs::Stat| {
        walk::file_type(stat) == FileType::CharacterDevice && stat.st_rdev == 0
    };
    layers.iter().find_map(look).is_some_and(|stat| !is_whiteout(&stat))
}

/// Made aside and renamed, so that it is whole wherever it has its name.
fn make(path: &Path, with_mtab: bool) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(OsStr::new(&format!(".new-{}", std::process::id())));
    let fresh = PathBuf::from(name);
    match fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir(&fresh)?;
    for directory in [""].iter().chain(DIRECTORIES) {
        let directory = fresh.join(directory);
        if !directory.exists() {
            fs::create_dir(&directory)?;
        }
        // Whatever the umask is.
        fs::set_permissions(&directory, Permissions::from_mode(0o755))?;
    }
    for file in FILES {
        let file = File::create_new(fresh.join(file))?;
        file.set_permissions(Permissions::from_mode(0o644))?;
    }
    if with_mtab {
        symlink("/proc/mounts", fresh.join(MTAB))?;
    }
    match fs::rename(&fresh, path) {
        // Another start was first.
        Err(_) if path.exists() => fs::remove_dir_all(&fresh),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn images_whose_directories_are_special_go_without() {
        let directory = TempDir::new();
        let (top, below) = (directory.path().join("top"), directory.path().join("below"));
        fs::create_dir_all(&top).unwrap();
        fs::create_dir_all(below.join("etc")).unwrap();
        fs::set_permissions(below.join("etc"), Permissions::from_mode(0o755)).unwrap();
        let layers = [top.clone(), below.clone()];
        assert!(is_plain(&layers, "etc") && is_plain(&layers, "proc"));
        assert!(!has(&layers, MTAB));
        symlink("/nowhere", below.join(MTAB)).unwrap();
        assert!(has(&layers, MTAB));
        symlink("private/etc", top.join("etc")).unwrap();
        assert!(!is_plain(&layers, "etc"));
        fs::remove_file(top.join("etc")).unwrap();
        fs::set_permissions(below.join("etc"), Permissions::from_mode(0o700)).unwrap();
        assert!(!is_plain(&layers, "etc"));
        fs::write(top.join("proc"), "").unwrap();
        assert!(!is_plain(&layers, "proc"));
    }

    #[test]
    fn the_layer_has_what_is_mounted_over() {
        let directory = TempDir::new();
        let path = directory.path().join("init-layer");
        make(&path, true).unwrap();
        make(&path, true).unwrap();
        assert_eq!(fs::read_link(path.join(MTAB)).unwrap(), Path::new("/proc/mounts"));
        for name in DIRECTORIES.iter().chain(FILES) {
            assert!(path.join(name).exists(), "{name}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
