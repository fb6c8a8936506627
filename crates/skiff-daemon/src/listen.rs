//! Sockets to listen on: made, or taken over from systemd.
//!
//! A unix socket is never open to more than root and its group, not even for a moment: it is bound
//! under a umask. Everything here runs before there are threads, since the umask is the process's.

use std::io;
use std::net::{TcpListener, ToSocketAddrs};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode};
use rustix::net::{AddressFamily, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags};
use thiserror::Error;

use crate::host::Host;
use crate::logging;

/// Why a socket cannot be listened on.
#[derive(Debug, Error)]
pub(crate) enum ListenError {
    #[error("listen on {address}: {source}")]
    Io { address: String, source: io::Error },
    #[error("listen on unix://{0}: another process listens there")]
    InUse(PathBuf),
    #[error("group {0} not found")]
    NoGroup(String),
    #[error("fd://{0}: no such socket was passed by systemd")]
    NoSocket(String),
    #[error("fd://: socket {0} is neither a unix nor an internet socket")]
    OddSocket(RawFd),
}

/// A socket that clients can connect to.
#[derive(Debug)]
pub(crate) enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// All sockets of the daemon, and the paths to unlink at its end.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    pub(crate) open: Vec<Socket>,
    pub(crate) paths: Vec<PathBuf>,
}

impl Sockets {
    /// Opens all. `group` is who may use the unix sockets; `None` is docker's, if there is one.
    pub(crate) fn open(
        hosts: &[Host],
        group: Option<&str>,
        secured: bool,
    ) -> Result<Sockets, ListenError> {
        let mut sockets = Sockets::default();
        for host in hosts {
            match host {
                Host::Unix(path) => {
                    sockets.open.push(Socket::Unix(listen_unix(path, group)?));
                    sockets.paths.push(path.clone());
                }
                Host::Tcp(name, port) => sockets.listen_tcp(name, *port, secured)?,
                Host::Fd(which) => sockets.open.extend(inherited(which)?),
            }
        }
        Ok(sockets)
    }

    fn listen_tcp(&mut self, name: &str, port: u16, secured: bool) -> Result<(), ListenError> {
        let fail = |source| ListenError::Io { address: format!("tcp://{name}:{port}"), source };
        for address in (name, port).to_socket_addrs().map_err(fail)? {
            if !secured && !address.ip().is_loopback() {
                logging::warn(format_args!(
                    "[DEPRECATION NOTICE] the API is reachable on tcp://{address} WITHOUT \
                     AUTHENTICATION: whoever can connect is root on this host; use --tlsverify"
                ));
            }
            let listener = TcpListener::bind(address).map_err(fail)?;
            listener.set_nonblocking(true).map_err(fail)?;
            self.open.push(Socket::Tcp(listener));
        }
        Ok(())
    }

    /// Unlinks the unix sockets.
    pub(crate) fn unlink(paths: &[PathBuf]) {
        for path in paths {
            drop(std::fs::remove_file(path));
        }
    }
}

fn listen_unix(path: &Path, group: Option<&str>) -> Result<UnixListener, ListenError> {
    let fail = |source| ListenError::Io { address: format!("unix://{}", path.display()), source };
    let gid = group_id(group)?;
    if let Some(parent) = path.parent() {
        // Members of the group must be able to pass through.
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(parent).map_err(fail)?;
    }
    if path.exists() {
        if UnixStream::connect(path).is_ok() {
            return Err(ListenError::InUse(path.to_owned()));
        }
        std::fs::remove_file(path).map_err(fail)?;
    }
    let before = rustix::process::umask(Mode::from_raw_mode(0o117));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.map_err(fail)?;
    if let Some(gid) = gid {
        rustix::fs::chown(path, None, Some(gid)).map_err(|error| fail(error.into()))?;
    }
    listener.set_nonblocking(true).map_err(fail)?;
    Ok(listener)
}

fn group_id(group: Option<&str>) -> Result<Option<Gid>, ListenError> {
    let name = group.unwrap_or("docker");
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(id) = name.parse() {
        return Ok(Some(Gid::from_raw(id)));
    }
    let file = std::fs::read_to_string("/etc/group").unwrap_or_default();
    match (find_group(&file, name), group) {
        (Some(id), _) => Ok(Some(Gid::from_raw(id))),
        (None, Some(_)) => Err(ListenError::NoGroup(name.to_owned())),
        (None, None) => Ok(None),
    }
}

fn find_group(file: &str, name: &str) -> Option<u32> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// First descriptor that systemd passes (`sd_listen_fds(3)`).
const FIRST: RawFd = 3;

/// Takes over the sockets that systemd opened for us.
fn inherited(which: &str) -> Result<Vec<Socket>, ListenError> {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let ours = variable("LISTEN_PID") == std::process::id().to_string();
    let count: RawFd = if ours { variable("LISTEN_FDS").parse().unwrap_or(0) } else { 0 };
    let names = variable("LISTEN_FDNAMES");
    let chosen = choose(which, count, &names);
    if chosen.is_empty() {
        return Err(ListenError::NoSocket(which.to_owned()));
    }
    chosen.into_iter().map(adopt).collect()
}

/// The descriptors that `fd://` names: all, one by number, or some by name.
fn choose(which: &str, count: RawFd, names: &str) -> Vec<RawFd> {
    let all = FIRST..FIRST + count;
    if which.is_empty() || which == "*" {
        return all.collect();
    }
    if let Ok(number) = which.parse::<RawFd>() {
        return if all.contains(&number) { vec![number] } else { Vec::new() };
    }
    all.zip(names.split(':')).filter(|(_, name)| *name == which).map(|(fd, _)| fd).collect()
}

/// Makes a socket of a bare number: by asking the kernel for a duplicate of our own descriptor,
/// which is checked, while claiming the number itself could not be.
fn adopt(number: RawFd) -> Result<Socket, ListenError> {
    let fail = |error: rustix::io::Errno| ListenError::Io {
        address: format!("fd://{number}"),
        source: error.into(),
    };
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .map_err(fail)?;
    let fd: OwnedFd =
        rustix::process::pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).map_err(fail)?;
    rustix::io::ioctl_fionbio(&fd, true).map_err(fail)?;
    match sockopt::socket_domain(&fd).map_err(fail)? {
        AddressFamily::UNIX => Ok(Socket::Unix(fd.into())),
        AddressFamily::INET | AddressFamily::INET6 => Ok(Socket::Tcp(fd.into())),
        _ => Err(ListenError::OddSocket(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_systemd_are_chosen_by_number_or_name() {
        for (which, expect) in [
            ("", vec![3, 4, 5]),
            ("*", vec![3, 4, 5]),
            ("4", vec![4]),
            ("9", vec![]),
            ("b", vec![4, 5]),
        ] {
            assert_eq!(choose(which, 3, "a:b:b"), expect, "{which}");
        }
        assert!(choose("", 0, "").is_empty());
    }

    #[test]
    fn groups_are_found_in_the_file() {
        let file = "root:x:0:\ndocker:x:998:a,b\nbroken\ndocker2:x:5\n";
        assert_eq!(find_group(file, "docker"), Some(998));
        assert_eq!(find_group(file, "docker2"), Some(5));
        assert_eq!(find_group(file, "broken"), None);
    }
}
