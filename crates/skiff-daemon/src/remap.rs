//! `userns-remap`: whose subordinate ids the containers' user namespaces get.
//!
//! `/etc/subuid` and `/etc/subgid` give ranges of ids to users; the ranges of the one that the
//! option names follow each other from the container's root on. `default` stands for
//! [`DEFAULT_USER`], which needs no account, only ranges: where the files have none they are
//! given to it, so that nobody else gets them. Kernels before 5.19 cannot show layers with mapped ids.

use std::io::Write;
use std::path::{Path, PathBuf};

use skiff_model::id_map::IdMap;
use skiff_model::oci::IdMapping;
use thiserror::Error;

use crate::logging;

/// Whom `default` means.
const DEFAULT_USER: &str = "skiffremap";
/// Ids in a range that is given away, and where those begin: as `useradd` has it.
const RANGE: u32 = 65536;
const FIRST: u32 = 100_000;

/// Why there are no ids; the words are dockerd's where it has them.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum RemapError {
    #[error("Invalid user/group specification in --userns-remap: {0:?}")]
    Syntax(String),
    #[error("Error during uid lookup for {0:?}: no such user")]
    NoUser(String),
    #[error("Uid {0} has no entry in /etc/passwd")]
    NoUid(u32),
    #[error("Error during gid lookup for {0:?}: no such group")]
    NoGroup(String),
    #[error("Gid {0} has no entry in /etc/group")]
    NoGid(u32),
    #[error("Can't create ID mappings: no {kind} ranges found for user {user:?}")]
    NoRanges { kind: &'static str, user: String },
    #[error("Can't create ID mappings: {0}: no ids are left")]
    Full(String),
    #[error("{what}: {why}")]
    Io { what: String, why: String },
    #[error("userns-remap needs id-mapped mounts, which came with Linux 5.19; this is {0}")]
    OldKernel(String),
}

/// The files, and where they are.
struct Files {
    passwd: String,
    group: String,
    subuid: PathBuf,
    subgid: PathBuf,
}

/// Finds the ids that the option names; `None` where containers keep the host's.
pub(crate) fn resolve(option: &str) -> Result<Option<IdMap>, RemapError> {
    if option.is_empty() {
        return Ok(None);
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let files = Files {
        passwd: read("/etc/passwd"),
        group: read("/etc/group"),
        subuid: "/etc/subuid".into(),
        subgid: "/etc/subgid".into(),
    };
    let map = files.resolve(option)?;
    if map.is_some() {
        check_kernel(&rustix::system::uname().release().to_string_lossy())?;
    }
    Ok(map)
}

fn check_kernel(release: &str) -> Result<(), RemapError> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|n| n.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version >= (5, 19) {
        true => Ok(()),
        false => Err(RemapError::OldKernel(release.to_owned())),
    }
}

impl Files {
    fn resolve(&self, option: &str) -> Result<Option<IdMap>, RemapError> {
        let (user, group) = match option.split_once(':') {
            Some((_, group)) if group.contains(':') => {
                return Err(RemapError::Syntax(option.to_owned()));
            }
            Some((user, group)) => (user, Some(group)),
            None => (option, None),
        };
        let user = if user == "default" {
            self.give(&self.subuid, DEFAULT_USER)?;
            self.give(&self.subgid, DEFAULT_USER)?;
            DEFAULT_USER.to_owned()
        } else {
            self.check_names(user, group)?
        };
        if user == "root" {
            logging::warn(format_args!(
                "User namespaces: root cannot be remapped with itself; user namespaces are OFF"
            ));
            return Ok(None);
        }
        logging::info(format_args!(
            "User namespaces: ID ranges will be mapped to subuid/subgid ranges of: {user}"
        ));
        let ranges = |path: &Path, kind: &'static str| {
            let found = sequence(&ranges_of(&read(path)?, &user, self.uid(&user)));
            if found.is_empty() {
                return Err(RemapError::NoRanges { kind, user: user.clone() });
            }
            Ok(found)
        };
        let uids = ranges(&self.subuid, "subuid")?;
        Ok(Some(IdMap { uids, gids: ranges(&self.subgid, "subgid")? }))
    }

    /// Checks that user and group exist; gives the user's name.
    fn check_names(&self, user: &str, group: Option<&str>) -> Result<String, RemapError> {
        let name = match user.parse::<u32>() {
            Ok(uid) => name_of(&self.passwd, uid).ok_or(RemapError::NoUid(uid))?,
            Err(_) if self.uid(user).is_some() => user.to_owned(),
            Err(_) => return Err(RemapError::NoUser(user.to_owned())),
        };
        // The group of the same name or number, unless one is named.
        let group = group.unwrap_or(user);
        match group.parse::<u32>() {
            Ok(gid) if name_of(&self.group, gid).is_none() => Err(RemapError::NoGid(gid)),
            Err(_) if number_of(&self.group, group).is_none() => {
                Err(RemapError::NoGroup(group.to_owned()))
            }
            _ => Ok(name),
        }
    }

    fn uid(&self, user: &str) -> Option<u32> {
        number_of(&self.passwd, user)
    }

    /// Gives the default user ids, if it has none.
    fn give(&self, path: &Path, user: &str) -> Result<(), RemapError> {
        let text = read(path)?;
        if !ranges_of(&text, user, None).is_empty() {
            return Ok(());
        }
        let first =
            free(&text).ok_or_else(|| RemapError::Full(path.to_string_lossy().into_owned()))?;
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let line = format!("{newline}{user}:{first}:{RANGE}\n");
        let written = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|mut file| file.write_all(line.as_bytes()));
        written.map_err(|error| io_error(format!("add a range to {}", path.display()), &error))
    }
}

fn io_error(what: String, error: &std::io::Error) -> RemapError {
    RemapError::Io { what, why: error.to_string() }
}

/// A file that does not exist gives nothing to anybody.
fn read(path: &Path) -> Result<String, RemapError> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(|error| io_error(format!("read {}", path.display()), &error)),
    }
}

/// First number of `name:x:number:…`.
fn number_of(file: &str, name: &str) -> Option<u32> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

fn name_of(file: &str, number: u32) -> Option<String> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let has = fields.nth(1)?.parse::<u32>().ok()?;
        (has == number).then(|| name.to_owned())
    })
}

/// First id and number of ids in a line of the file.
fn range(line: &str) -> Option<(&str, u32, u32)> {
    let mut fields = line.trim().split(':');
    let owner = fields.next()?;
    Some((owner, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Ranges of a user, who may be named by number.
fn ranges_of(file: &str, user: &str, uid: Option<u32>) -> Vec<(u32, u32)> {
    let uid = uid.map(|uid| uid.to_string());
    let is_owner = |owner: &str| owner == user || uid.as_deref() == Some(owner);
    let ranges = file.lines().filter_map(range);
    ranges
        .filter(|(owner, _, size)| is_owner(owner) && *size > 0)
        .map(|(_, first, size)| (first, size))
        .collect()
}

/// Ranges one after the other, from the container's root on.
fn sequence(ranges: &[(u32, u32)]) -> Vec<IdMapping> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let mut next = 0;
    ranges
        .into_iter()
        .map_while(|(host_id, size)| {
            let mapping = IdMapping { container_id: next, host_id, size };
            next = next.checked_add(size)?;
            Some(mapping)
        })
        .collect()
}

/// Where a range that nobody has begins.
fn free(file: &str) -> Option<u32> {
    let mut taken: Vec<(u32, u32)> =
        file.lines().filter_map(range).map(|(_, first, size)| (first, size)).collect();
    taken.sort_unstable();
    let mut candidate = FIRST;
    for (first, size) in taken {
        if first.saturating_add(size) > candidate && first < candidate.checked_add(RANGE)? {
            candidate = first.checked_add(size)?;
        }
    }
    candidate.checked_add(RANGE).map(|_| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\nlone:x:5:5::/:/x\n";
    const GROUP: &str = "root:x:0:\napp:x:1000:\nstaff:x:50:app\n";

    fn files(dir: &Path, ranges: &str) -> Files {
        let files = Files {
            passwd: PASSWD.to_owned(),
            group: GROUP.to_owned(),
            subuid: dir.join("subuid"),
            subgid: dir.join("subgid"),
        };
        std::fs::write(&files.subuid, ranges).unwrap();
        std::fs::write(&files.subgid, ranges).unwrap();
        files
    }

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("skiff-remap-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn ranges_of_a_user_follow_each_other() {
        let dir = directory("ranges");
        let files = files(&dir, "app:300000:10\nother:1:5\n1000:200000:65536\nbad\n");
        for option in ["app", "1000", "app:staff", "1000:50", "app:1000"] {
            let map = files.resolve(option).unwrap().unwrap();
            assert_eq!(map.root(), Some((200_000, 200_000)), "{option}");
            assert_eq!((map.uid(65536), map.uid(65546)), (Some(300_000), None), "{option}");
        }
        assert_eq!(files.resolve("root"), Ok(None));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn refusals_are_dockerds() {
        let dir = directory("refusals");
        let files = files(&dir, "other:1:5\n");
        for (option, message) in [
            ("a:b:c", "Invalid user/group specification in --userns-remap: \"a:b:c\""),
            ("nobody", "Error during uid lookup for \"nobody\": no such user"),
            ("7", "Uid 7 has no entry in /etc/passwd"),
            ("lone", "Error during gid lookup for \"lone\": no such group"),
            ("app:nope", "Error during gid lookup for \"nope\": no such group"),
            ("app:7", "Gid 7 has no entry in /etc/group"),
            ("app", "Can't create ID mappings: no subuid ranges found for user \"app\""),
        ] {
            assert_eq!(files.resolve(option).unwrap_err().to_string(), message);
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_default_user_is_given_ids_that_nobody_has_once() {
        let dir = directory("default");
        let files = files(&dir, "a:100000:65536\nb:165536:65536\nc:400000:1");
        for _ in 0..2 {
            let map = files.resolve("default").unwrap().unwrap();
            assert_eq!(map.root(), Some((231_072, 231_072)));
        }
        let text = std::fs::read_to_string(&files.subuid).unwrap();
        assert!(text.ends_with("c:400000:1\nskiffremap:231072:65536\n"), "{text}");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn old_kernels_are_refused() {
        assert!(check_kernel("5.19.0-generic").is_ok() && check_kernel("6.1").is_ok());
        assert!(check_kernel("5.15.0-91-generic").is_err());
    }
}
