//! Where a daemon is: parsing of `-H`, `DOCKER_HOST` and the hosts of contexts.

use std::fmt;
use std::path::PathBuf;

/// The certificates for a TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    /// Whether the server's certificate is checked.
    pub(crate) verify: bool,
}

/// The address of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`, in clear.
    Tcp(String),
    /// `host:port`, encrypted.
    Tls(String, TlsFiles),
    /// `ssh` and its arguments that start a tunnel; the text is the address as given.
    Ssh { address: String, arguments: Vec<String> },
}

impl Endpoint {
    /// Reads an address as Docker's clients do. `tls` turns TCP into TLS.
    pub(crate) fn parse(text: &str, tls: Option<&TlsFiles>) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::Unix("/var/run/docker.sock".into())),
            "unix" => Ok(Self::Unix(rest.into())),
            "tcp" | "http" | "https" => {
                let address = host_and_port(rest, tls.is_some() || scheme == "https")
                    .ok_or_else(|| format!("invalid bind address format: {text}"))?;
                match tls {
                    Some(files) => Ok(Self::Tls(address, files.clone())),
                    None if scheme == "https" => {
                        let files = TlsFiles { verify: true, ..TlsFiles::default() };
                        Ok(Self::Tls(address, files))
                    }
                    None => Ok(Self::Tcp(address)),
                }
            }
            "ssh" => ssh(text, rest),
            "npipe" => Err("protocol not available".to_owned()),
            _ => Err(format!("invalid bind address format: {text}")),
        }
    }

    /// The value of the `Host` header. For sockets it is a placeholder, as there is no host.
    pub(super) fn host_header(&self) -> String {
        match self {
            Self::Unix(_) | Self::Ssh { .. } => "skiff".to_owned(),
            Self::Tcp(address) | Self::Tls(address, _) => address.clone(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) | Self::Tls(address, _) => write!(f, "tcp://{address}"),
            Self::Ssh { address, .. } => f.write_str(address),
        }
    }
}

/// Completes `host`, `:port`, `host:port` and `[v6]:port` with Docker's defaults.
fn host_and_port(rest: &str, tls: bool) -> Option<String> {
    let rest = rest.split('/').next().unwrap_or(rest);
    let default_port = if tls { 2376 } else { 2375 };
    let (host, port) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']')?;
            (format!("[{host}]"), after.strip_prefix(':').unwrap_or(""))
        }
        None => match rest.rsplit_once(':') {
            Some((host, port)) => (host.to_owned(), port),
            None => (rest.to_owned(), ""),
        },
    };
    let port: u16 = if port.is_empty() { default_port } else { port.parse().ok()? };
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Some(format!("{host}:{port}"))
}

/// `ssh://[user@]host[:port][/socket]` runs `docker system dial-stdio` at the other end.
fn ssh(text: &str, rest: &str) -> Result<Endpoint, String> {
    let invalid = |why: &str| format!("ssh host connection is not valid: {why}");
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err(invalid("plain-text password is not supported"));
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // A host that starts with a dash would be an option of ssh.
    if host.is_empty() || host.starts_with('-') || user.is_some_and(|u| u.starts_with('-')) {
        return Err(invalid("no host specified"));
    }
    let mut arguments = Vec::new();
    if let Some(user) = user {
        arguments.extend(["-l".to_owned(), user.to_owned()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_owned()]);
    }
    arguments.extend(["-o", "ConnectTimeout=30", "-T", "--", host, "docker"].map(str::to_owned));
    if !path.is_empty() {
        arguments.extend(["--host".to_owned(), format!("unix:///{path}")]);
    }
    arguments.extend(["system".to_owned(), "dial-stdio".to_owned()]);
    Ok(Endpoint::Ssh { address: text.to_owned(), arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        for (text, expected) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("tcp://1.2.3.4:99", "tcp://1.2.3.4:99"),
            ("tcp://", "tcp://localhost:2375"),
            ("tcp://:7", "tcp://localhost:7"),
            ("myhost", "tcp://myhost:2375"),
            ("tcp://[::1]", "tcp://[::1]:2375"),
            ("tcp://[::1]:5", "tcp://[::1]:5"),
            ("ssh://me@host:22", "ssh://me@host:22"),
        ] {
            assert_eq!(Endpoint::parse(text, None).unwrap().to_string(), expected, "{text}");
        }
        let tls = TlsFiles::default();
        assert_eq!(
            Endpoint::parse("tcp://h", Some(&tls)).unwrap(),
            Endpoint::Tls("h:2376".to_owned(), tls)
        );
        assert_eq!(
            Endpoint::parse("foo://bar", None).unwrap_err(),
            "invalid bind address format: foo://bar"
        );
    }

    #[test]
    fn ssh_arguments_cannot_smuggle_options() {
        let Ok(Endpoint::Ssh { arguments, .. }) = Endpoint::parse("ssh://u@h:5/run/d.sock", None)
        else {
            panic!("not ssh")
        };
        assert_eq!(
            arguments.join(" "),
            "-l u -p 5 -o ConnectTimeout=30 -T -- h docker --host unix:///run/d.sock system \
             dial-stdio"
        );
        assert!(Endpoint::parse("ssh://-oProxyCommand=x", None).is_err());
        assert!(Endpoint::parse("ssh://u:secret@h", None).is_err());
    }
}
