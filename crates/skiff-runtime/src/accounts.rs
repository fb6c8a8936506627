//! Users and groups of a container, looked up in its own `/etc/passwd` and `/etc/group`.
//!
//! The files are a stranger's: they are read by this parser and no other (never through NSS), as a
//! stream, up to [`MAX_FILE`] bytes, and only if they are regular files. A field that looks like a
//! number is a number first: a user called "0" does not become root's twin (CVE-2016-3697).

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, fstat};
use skiff_sys::resolve;

use crate::failure::{failed, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind, UserRequest};

/// More than this of either file is an error, not a longer wait.
const MAX_FILE: u64 = 1 << 20;

/// Who a process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the primary one included and first.
    pub groups: Vec<u32>,
    pub home: String,
}

/// Contents of the two files.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl Accounts {
    /// Reads both files of the root `root`. A file that does not exist is empty.
    pub fn read(root: BorrowedFd<'_>) -> Result<Self, LaunchError> {
        Ok(Self { passwd: read_file(root, "/etc/passwd")?, group: read_file(root, "/etc/group")? })
    }

    /// Reads only what the home directory of a uid needs.
    pub fn home_of(root: BorrowedFd<'_>, uid: u32) -> Option<String> {
        // A damaged file must not keep a container from starting that names nobody in it.
        let accounts = Self { passwd: read_file(root, "/etc/passwd").ok()?, group: String::new() };
        accounts.users().find(|user| user.uid == uid).map(|user| user.home.to_owned())
    }

    /// Looks a request up, with Docker's rules and words.
    pub fn resolve(&self, request: &UserRequest) -> Result<Identity, LaunchError> {
        // What follows a second colon means nothing to Docker.
        let mut words = request.user.split(':');
        let user_word = words.next().unwrap_or_default();
        let group_word = words.next().unwrap_or_default();
        let mut identity = Identity { home: "/".into(), ..Identity::default() };
        let number = numeric(user_word)?;
        let found = self.users().find(|user| match number {
            _ if user_word.is_empty() => user.uid == 0,
            Some(uid) => user.uid == uid,
            None => user.name == user_word,
        });
        match (&found, number) {
            (Some(user), _) => {
                identity.uid = user.uid;
                identity.gid = user.gid;
                identity.home = user.home.to_owned();
            }
            (None, Some(uid)) => identity.uid = uid,
            (None, None) if user_word.is_empty() => {}
            (None, None) => {
                return Err(unknown(format!(
                    "unable to find user {user_word}: no matching entries in passwd file"
                )));
            }
        }
        if !group_word.is_empty() {
            identity.gid = self.group_id(group_word)?;
        }
        identity.groups.push(identity.gid);
        // Membership lists count only where the request does not say the group itself.
        if let (Some(user), true) = (&found, group_word.is_empty()) {
            let member = |group: &Group<'_>| group.members.split(',').any(|m| m == user.name);
            identity.groups.extend(self.groups().filter(member).map(|group| group.gid));
        }
        for word in &request.additional_groups {
            identity.groups.push(self.group_id(word)?);
        }
        let mut seen = Vec::with_capacity(identity.groups.len());
        identity.groups.retain(|gid| {
            let new = !seen.contains(gid);
            seen.push(*gid);
            new
        });
        Ok(identity)
    }

    fn group_id(&self, word: &str) -> Result<u32, LaunchError> {
        let number = numeric(word)?;
        let found = self.groups().find(|group| match number {
            Some(gid) => group.gid == gid,
            None => group.name == word,
        });
        found.map(|group| group.gid).or(number).ok_or_else(|| {
            unknown(format!("unable to find group {word}: no matching entries in group file"))
        })
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        lines(&self.passwd).filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(User { name, uid, gid, home: fields.nth(1).unwrap_or("") })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        lines(&self.group).filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid = fields.nth(1)?.parse().ok()?;
            Some(Group { name, gid, members: fields.next().unwrap_or("") })
        })
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Reads a word as a number if it looks like one at all.
fn numeric(word: &str) -> Result<Option<u32>, LaunchError> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match word.parse::<i64>() {
        Ok(number @ 0..=0x7fff_ffff) => Ok(u32::try_from(number).ok()),
        _ => Err(unknown("uids and gids must be in range 0-2147483647".to_owned())),
    }
}

fn unknown(message: String) -> LaunchError {
    of_kind(LaunchErrorKind::UnknownUser, message)
}

fn read_file(root: BorrowedFd<'_>, path: &str) -> Result<String, LaunchError> {
    let context = |error: io::Error| failed(format_args!("open {path}"), error);
    // Not to hang on a fifo that an image has in this place.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match resolve::open(root, Path::new(path), flags) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        other => other.map_err(context)?,
    };
    let stat = fstat(file.as_fd()).map_err(|error| context(error.into()))?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(unknown(format!("{path}: not a regular file")));
    }
    let mut text = Vec::new();
    let file = std::fs::File::from(file);
    let length = file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(context)?;
    if length as u64 > MAX_FILE {
        return Err(unknown(format!("{path}: larger than {MAX_FILE} bytes")));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\n# comment\n\nbroken\n\
                     1000:x:0:0:trap:/trap:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\n\
                     nohome:x:7:7\n"
                .into(),
            group: "root:x:0:\napp:x:1001:\nwheel:x:10:app,other\nvideo:x:44:app\n27:x:99:\n"
                .into(),
        }
    }

    fn check(user: &str, more: &[&str], expected: Result<(u32, u32, &[u32], &str), &str>) {
        let request = UserRequest {
            user: user.into(),
            additional_groups: more.iter().map(|&word| word.to_owned()).collect(),
        };
        let got = accounts().resolve(&request);
        match expected {
            Ok((uid, gid, groups, home)) => assert_eq!(
                got.unwrap(),
                Identity { uid, gid, groups: groups.to_vec(), home: home.into() },
                "{user:?}"
            ),
            Err(text) => assert_eq!(got.unwrap_err().message, text, "{user:?}"),
        }
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        check("", &[], Ok((0, 0, &[0], "/root")));
        check("root", &[], Ok((0, 0, &[0], "/root")));
        check("app", &[], Ok((1000, 1001, &[1001, 10, 44], "/home/app")));
        check("1000", &[], Ok((1000, 1001, &[1001, 10, 44], "/home/app")));
        check("app:wheel", &[], Ok((1000, 10, &[10], "/home/app")));
        check("0:5:6", &[], Ok((0, 5, &[5], "/root")));
        check("app:27", &[], Ok((1000, 27, &[27], "/home/app")));
        check("4242", &[], Ok((4242, 0, &[0], "/")));
        check("4242:4343", &["video", "5", "4343"], Ok((4242, 4343, &[4343, 44, 5], "/")));
        check(":10", &[], Ok((0, 10, &[10], "/root")));
        check("nohome", &[], Ok((7, 7, &[7], "")));
    }

    #[test]
    fn what_does_not_exist_or_overflows_is_refused() {
        let range = "uids and gids must be in range 0-2147483647";
        check("nope", &[], Err("unable to find user nope: no matching entries in passwd file"));
        check("app:nope", &[], Err("unable to find group nope: no matching entries in group file"));
        check(
            "app",
            &["nope"],
            Err("unable to find group nope: no matching entries in group file"),
        );
        for user in ["4294967296", "2147483648", "-1", "99999999999999999999", "app:4294967296"] {
            check(user, &[], Err(range));
        }
        check("0x0", &[], Err("unable to find user 0x0: no matching entries in passwd file"));
        check(" 0", &[], Err("unable to find user  0: no matching entries in passwd file"));
    }
}
