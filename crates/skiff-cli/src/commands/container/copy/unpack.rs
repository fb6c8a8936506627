//! Unpacking an archive that a container may have had its hands in.
//!
//! Every directory on the way to a member is opened from the one above it without following links,
//! so that no link in the archive (or made meanwhile) leads out of the target directory.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, linkat, mkdirat, mknodat,
    openat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use crate::commands::tar::{BLOCK, Header};
use crate::failure::{Failure, describe_io};

/// Unpacks into `root`; with `rename`, the topmost name becomes that one.
pub(super) fn unpack(
    archive: &mut dyn Read,
    root: &Path,
    rename: Option<&str>,
    keep_owners: bool,
) -> Result<(), Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root_fd = openat(CWD, root, flags, Mode::empty()).map_err(|error| {
        let error = io::Error::from(error);
        Failure::new(format!("open {}: {}", root.display(), describe_io(&error)))
    })?;
    let mut unpacker = Unpacker { root: root_fd, rename, keep_owners, directories: Vec::new() };
    while let Some(header) = Header::read(archive)? {
        unpacker.member(archive, &header).map_err(|error| {
            Failure::new(format!("unpack {:?}: {}", header.name, describe_io(&error)))
        })?;
    }
    unpacker.finish();
    Ok(())
}

struct Unpacker<'a> {
    root: OwnedFd,
    rename: Option<&'a str>,
    keep_owners: bool,
    /// Modes and times of directories are set last: writing into one changes its time.
    directories: Vec<(OwnedFd, Header)>,
}

impl Unpacker<'_> {
    fn member(&mut self, archive: &mut dyn Read, header: &Header) -> io::Result<()> {
        let parts = self.parts(&header.name)?;
        let mut contents = archive.take(if header.kind == b'0' { header.size } else { 0 });
        if let Some((name, parents)) = parts.split_last() {
            let parent = self.open_parents(parents)?;
            self.make(&parent, name, header, &mut contents)?;
        } else if header.kind == b'5' {
            self.directories.push((self.root.try_clone()?, header.clone()));
        }
        // What was not used (and the padding) is passed over.
        let size = if header.kind == b'0' { header.size } else { 0 };
        io::copy(&mut contents, &mut io::sink())?;
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        io::copy(&mut archive.take(padding), &mut io::sink())?;
        Ok(())
    }

    /// The names on the way to a member, the topmost one renamed.
    fn parts(&self, name: &str) -> io::Result<Vec<String>> {
        let mut parts = Vec::new();
        for (index, part) in name.split('/').filter(|part| !part.is_empty()).enumerate() {
            match (part, self.rename) {
                ("..", _) => return Err(io::Error::other("the name leads out of the archive")),
                // Also when it is `.`: then the contents of a directory get a new place.
                (_, Some(new)) if index == 0 => parts.push(new.to_owned()),
                (".", _) => {}
                _ => parts.push(part.to_owned()),
            }
        }
        Ok(parts)
    }

    fn open_parents(&self, parents: &[String]) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = self.root.try_clone()?;
        for name in parents {
            directory = match openat(&directory, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => {
                    mkdirat(&directory, name, Mode::from_raw_mode(0o755))?;
                    openat(&directory, name, flags, Mode::empty())?
                }
                result => result?,
            };
        }
        Ok(directory)
    }

    fn make(
        &mut self,
        parent: &OwnedFd,
        name: &str,
        header: &Header,
        contents: &mut dyn Read,
    ) -> io::Result<()> {
        if header.kind == b'5' {
            match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
                Err(Errno::EXIST) => {}
                result => result?,
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = openat(parent, name, flags, Mode::empty())?;
            self.directories.push((directory, header.clone()));
            return Ok(());
        }
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => {
                return Err(io::Error::other("cannot overwrite a directory with a file"));
            }
            Err(error) => return Err(error.into()),
        }
        match header.kind {
            b'0' | b'7' => self.make_file(parent, name, header, contents),
            b'1' => {
                let target = self.parts(&header.link)?;
                let (target, parents) =
                    target.split_last().ok_or_else(|| io::Error::other("link without target"))?;
                let from = self.open_parents(parents)?;
                Ok(linkat(&from, target, parent, name, AtFlags::empty())?)
            }
            b'2' => {
                symlinkat(&header.link, parent, name)?;
                self.own(parent, name, header)?;
                set_time(parent, name, header)
            }
            b'3' | b'4' | b'6' => {
                let kind = match header.kind {
                    b'3' => FileType::CharacterDevice,
                    b'4' => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                let device = rustix::fs::makedev(header.device.0, header.device.1);
                mknodat(parent, name, kind, Mode::from_raw_mode(header.mode & 0o7777), device)?;
                self.own(parent, name, header)
            }
            _ => Ok(()),
        }
    }

    fn make_file(
        &self,
        parent: &OwnedFd,
        name: &str,
        header: &Header,
        contents: &mut dyn Read,
    ) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(parent, name, flags, Mode::from_raw_mode(0o600))?);
        io::copy(contents, &mut file)?;
        // The owner first: changing it takes set-user-ID bits away.
        self.own(parent, name, header)?;
        fchmod(&file, Mode::from_raw_mode(header.mode & 0o7777))?;
        set_time(parent, name, header)
    }

    fn own(&self, parent: &OwnedFd, name: &str, header: &Header) -> io::Result<()> {
        if !self.keep_owners {
            return Ok(());
        }
        let (uid, gid) = (header.uid as u32, header.gid as u32);
        rustix::fs::chownat(
            parent,
            name,
            Some(rustix::fs::Uid::from_raw(uid)),
            Some(rustix::fs::Gid::from_raw(gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
        Ok(())
    }

    fn finish(&self) {
        for (directory, header) in self.directories.iter().rev() {
            // Not being able to is no reason to throw the copy away.
            if self.keep_owners {
                let (uid, gid) = (header.uid as u32, header.gid as u32);
                let _ = rustix::fs::fchown(
                    directory,
                    Some(rustix::fs::Uid::from_raw(uid)),
                    Some(rustix::fs::Gid::from_raw(gid)),
                );
            }
            let _ = fchmod(directory, Mode::from_raw_mode(header.mode & 0o7777));
            let _ = rustix::fs::futimens(directory.as_fd(), &times(header));
        }
    }
}

fn times(header: &Header) -> Timestamps {
    let time = Timespec { tv_sec: header.mtime, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

fn set_time(parent: &OwnedFd, name: &str, header: &Header) -> io::Result<()> {
    Ok(utimensat(parent, name, &times(header), AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[Header]) -> Vec<u8> {
        let mut bytes: Vec<u8> = members.iter().flat_map(Header::encode).collect();
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    fn member(name: &str, kind: u8, link: &str) -> Header {
        Header {
            name: name.to_owned(),
            link: link.to_owned(),
            kind,
            mode: 0o644,
            ..Header::default()
        }
    }

    #[test]
    fn the_top_of_an_archive_is_renamed() {
        let root = std::fs::File::open("/").unwrap().into();
        let unpacker =
            Unpacker { root, rename: Some("n"), keep_owners: false, directories: Vec::new() };
        for (name, parts) in
            [("d/", vec!["n"]), ("d/x", vec!["n", "x"]), ("./", vec!["n"]), ("./x", vec!["n", "x"])]
        {
            assert_eq!(unpacker.parts(name).unwrap(), parts);
        }
        assert!(unpacker.parts("d/../../x").is_err());
    }

    #[test]
    fn links_in_the_archive_lead_nowhere() {
        let dir = std::env::temp_dir().join(format!("skiff-cp-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("in")).unwrap();
        for members in [
            vec![member("x", b'2', ".."), member("x/out", b'0', "")],
            vec![member("../out", b'0', "")],
            vec![member("y", b'1', "../../etc/passwd")],
        ] {
            let bytes = archive(&members);
            assert!(unpack(&mut &bytes[..], &dir.join("in"), None, false).is_err());
        }
        assert!(!dir.join("out").exists());
        let bytes = archive(&[member("a", b'0', "")]);
        unpack(&mut &bytes[..], &dir.join("in"), Some("b"), false).unwrap();
        assert!(dir.join("in/b").exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
