//! `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of a container: made on the host when it is
//! created, bound into it when it starts.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::record::{Paths, Record};
use super::registry::View;
use crate::config::EngineConfig;
use crate::error::{Error, Result};

/// Where the files are on the host; `None` is not bound.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bound {
    pub hosts: Option<PathBuf>,
    pub hostname: Option<PathBuf>,
    pub resolv_conf: Option<PathBuf>,
}

/// The files a container binds: its own, or those of the container whose network it shares.
pub(crate) fn bound(config: &EngineConfig, paths: &Paths, network_peer: Option<&View>) -> Bound {
    let of = |paths: &Paths| Bound {
        hosts: Some(paths.hosts()),
        hostname: Some(paths.hostname()),
        resolv_conf: Some(paths.resolv_conf()),
    };
    match network_peer {
        Some(peer) => of(&Paths::new(&config.data_root, &config.exec_root, &peer.record.id)),
        None => of(paths),
    }
}

const LOCAL_HOSTS: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// Writes the three files of a new container.
pub(crate) fn write(config: &EngineConfig, paths: &Paths, record: &Record) -> Result<()> {
    let host = &record.host_config;
    let shares_host = host.network_mode == "host";
    let base = if shares_host {
        fs::read_to_string("/etc/hosts").unwrap_or_else(|_| LOCAL_HOSTS.to_owned())
    } else {
        LOCAL_HOSTS.to_owned()
    };
    put(&paths.hosts(), &hosts(base, &host.extra_hosts))?;
    put(&paths.hostname(), &format!("{}\n", record.config.hostname))?;
    let of_host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let first = |own: &[String], default: &[String]| {
        if own.is_empty() { default.to_vec() } else { own.to_vec() }
    };
    let wanted = Resolver {
        servers: first(&host.dns, &config.dns),
        search: first(&host.dns_search, &config.dns_search),
        options: first(&host.dns_options, &config.dns_options),
    };
    put(&paths.resolv_conf(), &resolv_conf(&of_host, &wanted))
}

fn put(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| Error::failed(format!("write {}", path.display()), error))
}

fn hosts(mut text: String, extra: &[String]) -> String {
    for entry in extra {
        // `host-gateway` gets its address with bridge networks; until then it is this host.
        if let Some((name, address)) = entry.split_once([':', '=']) {
            let address = if address == "host-gateway" { "127.0.0.1" } else { address };
            let address = address.trim_start_matches('[').trim_end_matches(']');
            let _ = writeln!(text, "{address}\t{name}");
        }
    }
    text
}

struct Resolver {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

/// The host's resolver configuration with the parts replaced that were asked for.
fn resolv_conf(of_host: &str, wanted: &Resolver) -> String {
    let mut text = String::new();
    let replaced = |keyword: &str| match keyword {
        "nameserver" => !wanted.servers.is_empty(),
        "search" | "domain" => !wanted.search.is_empty(),
        "options" => !wanted.options.is_empty(),
        _ => false,
    };
    for line in of_host.lines() {
        let keyword = line.split_whitespace().next().unwrap_or_default();
        if !replaced(keyword) {
            text.push_str(line);
            text.push('\n');
        }
    }
    for server in &wanted.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    // "." is Docker's way to ask for no search domain.
    if !wanted.search.is_empty() && wanted.search != ["."] {
        let _ = writeln!(text, "search {}", wanted.search.join(" "));
    }
    if !wanted.options.is_empty() {
        let _ = writeln!(text, "options {}", wanted.options.join(" "));
    }
    text
}

/// Checks `--add-host`: `name:address` or `name=address`.
pub(crate) fn check_extra_host(entry: &str) -> Result<()> {
    let bad = || Error::invalid(format!("bad format for add-host: \"{entry}\""));
    let (name, address) = entry.split_once([':', '=']).ok_or_else(bad)?;
    if name.is_empty() || !plain(name) {
        return Err(bad());
    }
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if address != "host-gateway" && bare.parse::<IpAddr>().is_err() {
        return Err(Error::invalid(format!("invalid IP address in add-host: \"{address}\"")));
    }
    Ok(())
}

/// Whether a word can stand in these files without becoming more than a word.
pub(crate) fn plain(word: &str) -> bool {
    !word.chars().any(|letter| letter.is_whitespace() || letter.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_resolver_is_kept_where_nothing_else_is_wanted() {
        let of_host = "# by hand\nnameserver 1.1.1.1\nsearch a.example\noptions edns0\n";
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (servers, search, options, expected) in [
            (&[][..], &[][..], &[][..], of_host),
            (
                &["9.9.9.9", "8.8.8.8"][..],
                &["."][..],
                &["ndots:2"][..],
                "# by hand\nnameserver 9.9.9.9\nnameserver 8.8.8.8\noptions ndots:2\n",
            ),
            (
                &[][..],
                &["b.example", "c.example"][..],
                &[][..],
                "# by hand\nnameserver 1.1.1.1\noptions edns0\nsearch b.example c.example\n",
            ),
        ] {
            let wanted = Resolver {
                servers: words(servers),
                search: words(search),
                options: words(options),
            };
            assert_eq!(resolv_conf(of_host, &wanted), expected);
        }
    }

    #[test]
    fn extra_hosts_cannot_smuggle_lines() {
        for (entry, fine) in [
            ("a:1.2.3.4", true),
            ("a:::1", true),
            ("a=[::1]", true),
            ("a:host-gateway", true),
            ("a", false),
            (":1.2.3.4", false),
            ("a b:1.2.3.4", false),
            ("a\n9.9.9.9 b:1.2.3.4", false),
            ("a:1.2.3.4\n", false),
            ("a:nope", false),
        ] {
            assert_eq!(check_extra_host(entry).is_ok(), fine, "{entry:?}");
        }
    }
}
