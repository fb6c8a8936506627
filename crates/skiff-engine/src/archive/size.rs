//! Sizes of files on disk, as Docker counts them.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Stat};
use skiff_store::tar::root::Root;
use skiff_store::tar::walk;

use super::ContainerSize;
use crate::container::record::Paths;
use crate::{Core, Error, Result};

pub(super) fn of_container(core: &Core, name: &str) -> Result<ContainerSize> {
    let view = core.containers.get(name)?.view();
    let record = &view.record;
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
    let upper = paths.upper();
    let rw = disk_size(&upper)
        .map_err(|error| Error::failed(format!("measure {}", upper.display()), error))?;
    let image = super::layers_size(core, record)?;
    Ok(ContainerSize { rw, root_fs: image + rw })
}

/// Sum of the sizes of what is below `path`, without directories, each file once. What is deleted
/// meanwhile does not count; nor does a path that does not exist.
pub(crate) fn disk_size(path: &Path) -> io::Result<i64> {
    let root = match Root::open_path(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let mut total = 0;
    let mut seen = HashSet::new();
    let mut directories: Vec<OwnedFd> = vec![walk::open_dir(root.as_fd(), b".")?];
    while let Some(directory) = directories.pop() {
        for name in walk::names(&directory)? {
            let Some(stat) = walk::look_if_there(&directory, &name)? else { continue };
            match walk::file_type(&stat) {
                FileType::Directory => directories.extend(descend(directory.as_fd(), &name)?),
                _ if stat.st_nlink > 1 && !seen.insert(identity(&stat)) => {}
                _ => total += stat.st_size,
            }
        }
    }
    Ok(total)
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn descend(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<OwnedFd>> {
    match walk::open_dir(directory, name) {
        Ok(opened) => Ok(Some(opened)),
        // Deleted, or replaced by something else.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) if super::is_loop(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::TempDir;

    #[test]
    fn files_count_once_and_directories_not_at_all() {
        let directory = TempDir::new();
        let path = directory.path();
        fs::create_dir_all(path.join("a/b")).unwrap();
        fs::write(path.join("a/b/file"), [0; 1000]).unwrap();
        fs::hard_link(path.join("a/b/file"), path.join("link")).unwrap();
        fs::write(path.join("other"), [0; 10]).unwrap();
        assert_eq!(disk_size(path).unwrap(), 1010);
        assert_eq!(disk_size(&path.join("missing")).unwrap(), 0);
    }
}
