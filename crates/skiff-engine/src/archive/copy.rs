//! `docker cp`: finding a path in a container, reading it as an archive, extracting one.

use std::ffi::OsStr;
use std::io::{BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{FileType, StatVfsMountFlags, readlinkat};
use skiff_api::PathStat;
use skiff_model::id_map::IdMap;
use skiff_runtime::accounts::Accounts;
use skiff_runtime::launch::UserRequest;
use skiff_store::tar::apply::{self, apply};
use skiff_store::tar::diff::{self, write_one, write_tree};
use skiff_store::tar::root::{Root, clean, join, split};
use skiff_store::tar::{TarError, walk};

use super::root::{Access, Rootfs};
use super::{PutOptions, mode};
use crate::container::effect::emit;
use crate::container::record::Record;
use crate::container::registry::View;
use crate::{Core, Error, Result};

/// Links followed before a path counts as a loop.
const LINKS_MAX: usize = 40;

/// A path that was found.
pub(super) struct Source {
    rootfs: Rootfs,
    at: Place,
    stat: PathStat,
    /// What its name is in the archive.
    stored: Vec<u8>,
}

/// Where a path is.
enum Place {
    /// A name in a directory, not followed if it is a link.
    Name { directory: OwnedFd, real: Vec<u8>, name: Vec<u8> },
    /// A directory itself: the root, or a path that ends with `/` or `/.`.
    Directory(OwnedFd),
}

pub(super) fn stat(core: &Core, name: &str, path: &str) -> Result<PathStat> {
    let view = core.containers.get(name)?.view();
    Ok(find(core, &view, name, path)?.stat)
}

pub(super) fn get(core: &Core, name: &str, path: &str) -> Result<Source> {
    let view = core.containers.get(name)?.view();
    let source = find(core, &view, name, path)?;
    emit(&core.events, &view.record, "archive-path", []);
    Ok(source)
}

fn find(core: &Core, view: &View, name: &str, path: &str) -> Result<Source> {
    let cleaned = checked(path)?;
    let rootfs = Rootfs::open(core, view, Access::Read)?;
    let missing = |error| not_found(error, name, path);
    let at = Place::find(&rootfs.root, &cleaned, path).map_err(missing)?;
    let stat = at.stat(&rootfs.root, &cleaned).map_err(missing)?;
    let stored = stored_name(&cleaned, path);
    Ok(Source { rootfs, at, stat, stored })
}

/// The path without leading slash and dots, or why it is none.
fn checked(path: &str) -> Result<Vec<u8>> {
    if path.is_empty() {
        return Err(Error::invalid("bad parameter: path cannot be empty"));
    }
    if path.contains('\0') {
        return Err(Error::invalid("bad parameter: path contains a null byte"));
    }
    // Put below the root first, so that `..` cannot go above.
    clean(&[b"/", path.as_bytes()].concat())
        .ok_or_else(|| Error::invalid("bad parameter: invalid path"))
}

/// Docker's answer when a path leads nowhere.
fn not_found(error: std::io::Error, name: &str, path: &str) -> Error {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match error.kind() {
        NotFound | NotADirectory => {
            Error::not_found(format!("Could not find the file {path} in container {name}"))
        }
        _ if super::is_loop(&error) => {
            Error::invalid(format!("{path}: too many levels of symbolic links"))
        }
        _ => Error::failed(format!("look at {path} in container {name}"), error),
    }
}

/// The last name as the client wrote it, which is what the archive's names begin with.
fn stored_name(cleaned: &[u8], path: &str) -> Vec<u8> {
    match split(cleaned).1 {
        b"" => b"/".to_vec(),
        _ if path.ends_with("/.") => b".".to_vec(),
        name => name.to_vec(),
    }
}

fn means_directory(path: &str) -> bool {
    path.ends_with('/') || path.ends_with("/.") || path == "."
}

impl Place {
    fn find(root: &Root, cleaned: &[u8], path: &str) -> std::io::Result<Place> {
        if cleaned.is_empty() || means_directory(path) {
            return Ok(Place::Directory(root.dir(cleaned)?.fd));
        }
        let (directory, name) = split(cleaned);
        let directory = root.dir(directory)?;
        Ok(Place::Name { directory: directory.fd, real: directory.real, name: name.to_vec() })
    }

    fn stat(&self, root: &Root, cleaned: &[u8]) -> std::io::Result<PathStat> {
        let (stat, link_target) = match self {
            Place::Directory(directory) => (walk::look(directory, b".")?, String::new()),
            Place::Name { directory, real, name } => {
                let stat = walk::look(directory, name)?;
                let is_link = walk::file_type(&stat) == FileType::Symlink;
                let target = if is_link { end_of_link(root, real, name)? } else { String::new() };
                (stat, target)
            }
        };
        let name = match split(cleaned).1 {
            b"" => "/".to_owned(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        let nanoseconds = stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec.cast_signed();
        Ok(PathStat {
            name,
            size: stat.st_size,
            mode: mode::to_go(stat.st_mode),
            mtime: rfc3339(nanoseconds),
            link_target,
        })
    }
}

/// Go's form, also of the epoch itself.
fn rfc3339(nanoseconds: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanoseconds))
        .map_or_else(|_| skiff_api::ZERO_TIME.to_owned(), |time| time.to_string())
}

/// Where a link leads in the end, as an absolute path of the container. Where it leads nowhere the
/// path is what it would be.
fn end_of_link(root: &Root, directory: &[u8], name: &[u8]) -> std::io::Result<String> {
    let mut directory = directory.to_vec();
    let mut name = name.to_vec();
    for _ in 0..LINKS_MAX {
        let here = join(&directory, &name);
        let Ok(opened) = root.dir(&directory) else { return Ok(absolute(&here)) };
        let target = match readlinkat(&opened.fd, OsStr::from_bytes(&name), Vec::new()) {
            Ok(target) => target.into_bytes(),
            // No link, or nothing.
            Err(_) => return Ok(absolute(&join(&opened.real, &name))),
        };
        let next = match target.starts_with(b"/") {
            true => clean(&target),
            false => clean(&[b"/", &opened.real[..], b"/", &target].concat()),
        };
        let next = next.unwrap_or_default();
        let (parent, last) = split(&next);
        (directory, name) = (parent.to_vec(), last.to_vec());
        if name.is_empty() {
            return Ok("/".to_owned());
        }
    }
    Ok(absolute(&join(&directory, &name)))
}

fn absolute(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path))
}

impl Source {
    pub(super) fn stat(&self) -> &PathStat {
        &self.stat
    }

    pub(super) fn write(self, archive: &mut dyn Write) -> Result<()> {
        let options = diff::Options { include_root: true, ..diff::Options::default() };
        let written = match &self.at {
            Place::Name { directory, name, .. } => {
                write_one(directory, name, &self.stored, options, archive)
            }
            Place::Directory(directory) => write_tree(directory, &self.stored, options, archive),
        };
        drop(self.rootfs);
        written.map(|_| ()).map_err(|error| Error::failed("copy from the container", error))
    }
}

pub(super) fn put(
    core: &Core,
    name: &str,
    path: &str,
    archive: &mut dyn Read,
    options: PutOptions,
) -> Result<()> {
    let view = core.containers.get(name)?.view();
    let cleaned = checked(path)?;
    let rootfs = Rootfs::open(core, &view, Access::Write)?;
    let directory = rootfs.root.dir(&cleaned).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotADirectory => Error::invalid("extraction point is not a directory"),
        _ => not_found(error, name, path),
    })?;
    let free = check_writable(&directory.fd, &view)?;
    let owner = match options.copy_uid_gid {
        true => owner(&rootfs.root, &view.record)?,
        false => None,
    };
    let apply_options = apply::Options {
        keep_directories: options.no_overwrite_dir_non_dir,
        owner,
        ids: rootfs.ids.clone().map(Arc::new),
        budget: free,
        ..apply::Options::default()
    };
    let owner = rootfs.ids.as_ref().and_then(IdMap::root).map(Owner::new).transpose()?;
    extract(archive, &Root::from_fd(directory.fd), apply_options)?;
    drop(owner);
    emit(&core.events, &view.record, "extract-to-dir", []);
    Ok(())
}

/// While it lives, files that this thread makes are the container's root's: the host's root has no
/// id on mapped layers.
struct Owner;

impl Owner {
    fn new((uid, gid): (u32, u32)) -> Result<Owner> {
        let owner = Owner;
        skiff_sys::process::own_files_as(uid, gid)
            .map_err(|error| Error::failed("become the owner of the container's files", error))?;
        Ok(owner)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Root may always become itself.
        let _ = skiff_sys::process::own_files_as(0, 0);
    }
}

fn extract(archive: &mut dyn Read, root: &Root, options: apply::Options) -> Result<()> {
    let failed = |error: std::io::Error| Error::failed("read the archive", error);
    let (head, source) =
        skiff_store::compression::peek(BufReader::new(archive), 6).map_err(failed)?;
    let compression = skiff_store::compression::detect(&head)
        .map_err(|error| Error::internal(error.to_string()))?;
    let plain = skiff_store::compression::decoder(compression, source).map_err(failed)?;
    match apply(root, BufReader::with_capacity(128 << 10, plain), options) {
        Ok(_) => Ok(()),
        Err(error @ TarError::DirectoryInTheWay(_) | error @ TarError::NonDirectoryInTheWay(_)) => {
            Err(Error::internal(error.to_string()))
        }
        Err(error) => Err(Error::internal(error.to_string())),
    }
}

/// Fails on a file system that the container may not write to; gives the bytes that are free.
fn check_writable(directory: &OwnedFd, view: &View) -> Result<u64> {
    let stat = rustix::fs::fstatvfs(directory)
        .map_err(|error| Error::failed("look at the extraction point", error))?;
    if stat.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(Error::forbidden(match view.record.host_config.readonly_rootfs {
            true => "container rootfs is marked read-only",
            false => "mounted volume is marked read-only",
        }));
    }
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The container's user, whom Docker makes the owner of what is copied with `copyUIDGID`.
fn owner(root: &Root, record: &Record) -> Result<Option<(u32, u32)>> {
    if record.config.user.is_empty() {
        return Ok(None);
    }
    let request = UserRequest { user: record.config.user.clone(), ..UserRequest::default() };
    let identity = Accounts::read(root.as_fd())
        .and_then(|accounts| accounts.resolve(&request))
        .map_err(|error| Error::internal(error.message))?;
    Ok(Some((identity.uid, identity.gid)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempDir;

    fn tree() -> (TempDir, Root) {
        let directory = TempDir::new();
        let path = directory.path();
        fs::create_dir_all(path.join("usr/bin")).unwrap();
        fs::write(path.join("usr/bin/tool"), "x").unwrap();
        symlink("usr/bin", path.join("bin")).unwrap();
        symlink("/usr/bin/tool", path.join("abs")).unwrap();
        symlink("abs", path.join("twice")).unwrap();
        symlink("../../../../etc/passwd", path.join("escape")).unwrap();
        symlink("loop", path.join("loop")).unwrap();
        symlink("/", path.join("top")).unwrap();
        let root = Root::open_path(path).unwrap();
        (directory, root)
    }

    fn look(root: &Root, path: &str) -> std::io::Result<PathStat> {
        let cleaned = checked(path).unwrap();
        Place::find(root, &cleaned, path)?.stat(root, &cleaned)
    }

    #[test]
    fn links_lead_where_they_lead_in_the_container() {
        let (_directory, root) = tree();
        for (path, name, target) in [
            ("/usr/bin/tool", "tool", ""),
            ("/bin/tool", "tool", ""),
            ("abs", "abs", "/usr/bin/tool"),
            ("/twice", "twice", "/usr/bin/tool"),
            ("/bin", "bin", "/usr/bin"),
            ("/bin/", "bin", ""),
            ("/bin/.", "bin", ""),
            ("/escape", "escape", "/etc/passwd"),
            ("/top", "top", "/"),
            ("/", "/", ""),
            ("/../..", "/", ""),
        ] {
            let found = look(&root, path).unwrap();
            assert_eq!((&*found.name, &*found.link_target), (name, target), "{path}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let (_directory, root) = tree();
        for path in ["/nope", "/usr/nope/x", "/usr/bin/tool/x", "/escape/"] {
            let error = not_found(look(&root, path).unwrap_err(), "c", path);
            assert_eq!(error.to_string(), format!("Could not find the file {path} in container c"));
        }
        assert!(look(&root, "/loop/x").is_err());
        assert_eq!(checked("").unwrap_err().to_string(), "bad parameter: path cannot be empty");
    }

    #[test]
    fn archives_are_named_as_the_client_asked() {
        for (path, expect) in [
            ("/usr/bin", "bin"),
            ("/usr/bin/", "bin"),
            ("/usr/bin/.", "."),
            ("/", "/"),
            ("/usr/../bin", "bin"),
        ] {
            let cleaned = checked(path).unwrap();
            assert_eq!(stored_name(&cleaned, path), expect.as_bytes(), "{path}");
        }
    }

    #[test]
    fn archives_are_extracted_below_the_directory_only() {
        let (directory, root) = tree();
        let outside = TempDir::new();
        symlink(outside.path(), directory.path().join("out")).unwrap();
        let put = |path: &str| {
            let mut archive = skiff_store::tar::writer::Writer::new(Vec::new());
            let path = path.as_bytes().to_vec();
            let entry = skiff_store::tar::Entry { path, mode: 0o644, ..Default::default() };
            archive.file(&entry, b"data").unwrap();
            let bytes = archive.finish().unwrap();
            let options = apply::Options { budget: 1 << 20, ..Default::default() };
            extract(&mut &bytes[..], &root, options)
        };
        put("bin/new").unwrap();
        assert_eq!(fs::read(directory.path().join("usr/bin/new")).unwrap(), b"data");
        // Inside, the link leads nowhere.
        put("out/file").unwrap_err();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
