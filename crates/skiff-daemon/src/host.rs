//! `-H`: the addresses a daemon can listen on.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// The text is no address of ours.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unable to parse docker host `{0}`: use unix://PATH, tcp://ADDRESS:PORT or fd://")]
pub(crate) struct HostError(String);

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Unix(PathBuf),
    /// Name or address, and port.
    Tcp(String, u16),
    /// Sockets that systemd opened: all, or the one with this number or name.
    Fd(String),
}

impl Host {
    /// Reads one address; a port that is left out depends on TLS.
    pub(crate) fn parse(text: &str, tls: bool) -> Result<Host, HostError> {
        let refuse = || HostError(text.to_owned());
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        match scheme {
            "unix" if rest.is_empty() => Ok(Host::Unix("/run/skiff/skiff.sock".into())),
            "unix" if rest.starts_with('/') => Ok(Host::Unix(rest.into())),
            "fd" => Ok(Host::Fd(rest.to_owned())),
            "tcp" => {
                let (host, port) = split_port(rest.trim_end_matches('/')).ok_or_else(refuse)?;
                let host = if host.is_empty() { "127.0.0.1" } else { host };
                if host.contains('/') || text.is_empty() {
                    return Err(refuse());
                }
                let default = if tls { 2376 } else { 2375 };
                let port = match port {
                    Some(port) => port.parse().map_err(|_| refuse())?,
                    None => default,
                };
                Ok(Host::Tcp(host.to_owned(), port))
            }
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Unix(path) => write!(f, "unix://{}", path.display()),
            Host::Tcp(host, port) if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Host::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
            Host::Fd(which) => write!(f, "fd://{which}"),
        }
    }
}

fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |host: &str, port| Host::Tcp(host.to_owned(), port);
        for (text, expect) in [
            ("unix://", Host::Unix("/run/skiff/skiff.sock".into())),
            ("unix:///x/y.sock", Host::Unix("/x/y.sock".into())),
            ("tcp://", tcp("127.0.0.1", 2375)),
            ("tcp://0.0.0.0", tcp("0.0.0.0", 2375)),
            ("tcp://:1", tcp("127.0.0.1", 1)),
            ("tcp://[::1]:5/", tcp("::1", 5)),
            ("tcp://[::]", tcp("::", 2375)),
            ("localhost:80", tcp("localhost", 80)),
            ("fd://", Host::Fd(String::new())),
            ("fd://docker.socket", Host::Fd("docker.socket".into())),
        ] {
            assert_eq!(Host::parse(text, false), Ok(expect), "{text}");
        }
        assert_eq!(Host::parse("tcp://a", true), Ok(tcp("a", 2376)));
        for text in
            ["", "unix://x", "http://x", "tcp://a:b", "tcp://[::1", "/a.sock", "tcp://a:99999"]
        {
            assert!(Host::parse(text, false).is_err(), "{text}");
        }
    }
}
