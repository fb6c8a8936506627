//! What a specification needs before another runtime understands it: numbers for users, and a root
//! file system and a working directory that are there.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use skiff_model::oci::{Process, Root, Spec, User};
use skiff_runtime::accounts::{Accounts, Identity};
use skiff_runtime::launch::{LaunchError, LaunchErrorKind, UserRequest};

use super::{failed, words};

/// The oldest version that has what we use, and a runtime ignores what it does not know: crun before
/// 1.8.5 refuses anything newer than 1.0.
const VERSION: &str = "1.0.2";

const DIRECTORY_MODE: u32 = 0o755;

/// The specification of the bundle; its root file system is mounted at `rootfs`.
pub(super) fn spec(
    spec: &Spec,
    user: Option<&UserRequest>,
    rootfs: &Path,
) -> Result<Spec, LaunchError> {
    let mut spec = spec.clone();
    VERSION.clone_into(&mut spec.oci_version);
    let readonly = spec.root.as_ref().is_some_and(|root| root.readonly);
    spec.root = Some(Root { path: PathBuf::from(super::bundle::ROOTFS), readonly });
    if let Some(process) = &mut spec.process {
        identify(process, user, rootfs)?;
        make_cwd(&process.cwd, rootfs)?;
    }
    Ok(spec)
}

/// Puts numbers in the place of names, which the container's own files say.
pub(super) fn identify(
    process: &mut Process,
    user: Option<&UserRequest>,
    rootfs: &Path,
) -> Result<(), LaunchError> {
    let Some(user) = user else { return Ok(()) };
    let root = open_root(rootfs)?;
    let identity = Accounts::read(root.as_fd())?.resolve(user)?;
    become_user(process, identity);
    Ok(())
}

fn become_user(process: &mut Process, identity: Identity) {
    let umask = process.user.umask;
    let Identity { uid, gid, groups, home } = identity;
    process.user = User { uid, gid, umask, additional_gids: groups };
    let has_home = |entry: &String| entry.strip_prefix("HOME=").is_some_and(|at| !at.is_empty());
    if !process.env.iter().any(has_home) {
        process.env.retain(|entry| !entry.starts_with("HOME="));
        process.env.push(format!("HOME={}", if home.is_empty() { "/" } else { &home }));
    }
}

/// Makes the directory that the process begins in.
fn make_cwd(cwd: &str, rootfs: &Path) -> Result<(), LaunchError> {
    if !cwd.starts_with('/') {
        let message = "Cwd must be an absolute path".to_owned();
        return Err(LaunchError { kind: LaunchErrorKind::InvalidConfig, message });
    }
    let root = open_root(rootfs)?;
    let mode = Mode::from_raw_mode(DIRECTORY_MODE);
    match skiff_sys::resolve::ensure_dir(root.as_fd(), Path::new(cwd), mode) {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(format!("mkdir {cwd}: {}", words::reason(&error)))),
    }
}

fn open_root(rootfs: &Path) -> Result<std::os::fd::OwnedFd, LaunchError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(rootfs, flags, Mode::empty())
        .map_err(|errno| words::file("open", rootfs)(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(env: &[&str]) -> Process {
        Process {
            env: env.iter().map(|&entry| entry.to_owned()).collect(),
            user: User { umask: Some(0o27), ..User::default() },
            ..Process::default()
        }
    }

    fn identity(home: &str) -> Identity {
        Identity { uid: 7, gid: 8, groups: vec![8, 9], home: home.to_owned() }
    }

    #[test]
    fn a_user_has_numbers_and_a_home() {
        for (env, home, expect) in [
            (&["A=1"][..], "/home/x", &["A=1", "HOME=/home/x"][..]),
            (&["HOME=/mine"], "/home/x", &["HOME=/mine"]),
            (&["HOME=", "B=2"], "", &["B=2", "HOME=/"]),
        ] {
            let mut process = process(env);
            become_user(&mut process, identity(home));
            assert_eq!(process.env, expect);
            let user = User { uid: 7, gid: 8, umask: Some(0o27), additional_gids: vec![8, 9] };
            assert_eq!(process.user, user);
        }
    }

    #[test]
    fn a_relative_directory_is_refused() {
        let error = make_cwd("x", Path::new("/")).unwrap_err();
        assert_eq!(error.kind, LaunchErrorKind::InvalidConfig);
    }
}
