//! Filling a new volume with what the image has where it is mounted.
//!
//! The image's path is untrusted: it is resolved inside the image's merged layers and used as a
//! descriptor (CVE-2022-23648), and the files go through the layer tar code, which never leaves
//! the directory it writes to.

use std::io::{BufReader, Write};
use std::path::Path;

use skiff_store::tar::apply::{self, apply};
use skiff_store::tar::diff::{self, write_tree};
use skiff_store::tar::root::{Root, clean};
use skiff_store::tar::walk;

use crate::container::record::{Record, ResolvedMount};
use crate::{Core, Error, Result, archive};

/// Fills the volumes of a container that ask for it and are empty.
pub(super) fn container(core: &Core, record: &Record) -> Result<()> {
    let wanted = |mount: &&ResolvedMount| mount.copy_up && mount.point.kind == "volume";
    let mut image = None;
    for mount in record.mounts.iter().filter(wanted) {
        let failed = |error: std::io::Error| {
            Error::failed(
                format!(
                    "copy the image's {} to volume {}",
                    mount.point.destination, mount.point.name
                ),
                error,
            )
        };
        if !is_empty(&mount.source).map_err(failed)? {
            continue;
        }
        if image.is_none() {
            let layers = archive::image_layers(core, record)?;
            image = Some(Root::from_fd(core.store.snapshots().mount_detached(&layers, None)?));
        }
        let image = image.as_ref().expect("it was just opened");
        copy(image, mount.point.destination.as_bytes(), &mount.source).map_err(failed)?;
    }
    Ok(())
}

fn is_empty(path: &Path) -> std::io::Result<bool> {
    Ok(std::fs::read_dir(path)?.next().is_none())
}

/// Copies a directory of the image with its own mode and owner; what is no directory is left.
fn copy(image: &Root, from: &[u8], to: &Path) -> std::io::Result<()> {
    let Some(from) = clean(from) else { return Ok(()) };
    let source = match image.dir(&from) {
        Ok(found) => found.fd,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let target = Root::open_path(to)?;
    let own = walk::look(&source, b".")?;
    let (reader, writer) = std::io::pipe()?;
    std::thread::scope(|scope| {
        let written = scope.spawn(move || {
            let mut writer = writer;
            write_tree(&source, b"", diff::Options::default(), &mut writer)?;
            writer.flush().map_err(skiff_store::tar::TarError::Write)
        });
        let options = apply::Options { budget: u64::MAX, ..apply::Options::default() };
        // The reader goes before the writer is waited for: it would wait for a full pipe for ever.
        let applied = apply(&target, BufReader::with_capacity(128 << 10, reader), options);
        let written = written.join().unwrap_or_else(|_| {
            Err(skiff_store::tar::TarError::Write(std::io::Error::other("the copier panicked")))
        });
        applied.map_err(std::io::Error::other)?;
        written.map_err(std::io::Error::other)
    })?;
    let (user, group) = (own.st_uid, own.st_gid);
    rustix::fs::fchown(
        &target,
        Some(rustix::fs::Uid::from_raw(user)),
        Some(rustix::fs::Gid::from_raw(group)),
    )?;
    rustix::fs::fchmod(&target, rustix::fs::Mode::from_raw_mode(own.st_mode & 0o7777))?;
    Ok(())
}

fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory) || archive::is_loop(error)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn a_directory_is_copied_with_its_mode() {
        let (image, volume) = (TempDir::new(), TempDir::new());
        let data = image.path().join("var/data");
        fs::create_dir_all(data.join("sub")).unwrap();
        fs::write(data.join("sub/file"), "content").unwrap();
        symlink("file", data.join("sub/link")).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o1777)).unwrap();
        std::os::unix::fs::chown(&data, Some(12), Some(34)).unwrap();
        let root = Root::open_path(image.path()).unwrap();
        copy(&root, b"/var/data", volume.path()).unwrap();
        assert_eq!(fs::read_to_string(volume.path().join("sub/file")).unwrap(), "content");
        assert_eq!(fs::read_link(volume.path().join("sub/link")).unwrap().to_str(), Some("file"));
        let own = fs::metadata(volume.path()).unwrap();
        assert_eq!((own.mode() & 0o7777, own.uid(), own.gid()), (0o1777, 12, 34));
    }

    #[test]
    fn links_of_the_image_do_not_lead_out_of_it() {
        let (image, volume, outside) = (TempDir::new(), TempDir::new(), TempDir::new());
        fs::write(outside.path().join("secret"), "x").unwrap();
        symlink(outside.path(), image.path().join("data")).unwrap();
        symlink("/etc/shadow", image.path().join("shadow")).unwrap();
        let root = Root::open_path(image.path()).unwrap();
        for path in ["/data", "/shadow", "/missing", "/data/secret"] {
            copy(&root, path.as_bytes(), volume.path()).unwrap();
        }
        assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 0);
    }
}
