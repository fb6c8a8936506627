//! Published ports as the API has them: `80/tcp` to addresses on the host.

use std::net::IpAddr;

use skiff_api::{List, Map, PortBinding};
use skiff_model::shortform::parse_port_range;

use crate::error::{Error, Result};

/// Checks the keys and the addresses.
pub(in crate::container) fn check(bindings: &Map<List<PortBinding>>) -> Result<()> {
    for (key, list) in bindings.iter() {
        let (port, protocol) = split(key);
        if !parse_port_range(port).is_ok_and(|(first, last)| first == last) || port.contains('-') {
            return Err(wrong(port));
        }
        if !matches!(&*protocol.to_ascii_lowercase(), "" | "tcp" | "udp" | "sctp") {
            return Err(Error::invalid(format!("invalid proto: {protocol}")));
        }
        for binding in list.iter() {
            let (host_port, _) = split(&binding.host_port);
            if !host_port.is_empty() && parse_port_range(host_port).is_err() {
                return Err(wrong(&binding.host_port));
            }
            if !binding.host_ip.is_empty() && binding.host_ip.parse::<IpAddr>().is_err() {
                return Err(Error::invalid(format!("invalid IP address: {}", binding.host_ip)));
            }
        }
    }
    Ok(())
}

fn wrong(port: &str) -> Error {
    Error::invalid(format!("invalid port specification: {port:?}"))
}

/// Docker does not mind a protocol behind the host's port, nor what follows a second slash.
fn split(text: &str) -> (&str, &str) {
    let (port, rest) = text.split_once('/').unwrap_or((text, ""));
    (port, rest.split('/').next().unwrap_or_default())
}

/// Brings checked bindings into the one form in which everybody else reads them: keys as `80/tcp`,
/// ports on the host without a protocol.
pub(in crate::container) fn normalize(bindings: &mut Map<List<PortBinding>>) {
    for (key, mut list) in std::mem::take(&mut **bindings) {
        let (port, protocol) = split(&key);
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        let port = port.parse::<u16>().map_or_else(|_| port.to_owned(), |port| port.to_string());
        for binding in list.iter_mut() {
            let length = split(&binding.host_port).0.len();
            binding.host_port.truncate(length);
        }
        bindings.insert(format!("{port}/{}", protocol.to_ascii_lowercase()), list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn bindings(key: &str, host_ip: &str, host_port: &str) -> Map<List<PortBinding>> {
        let (host_ip, host_port) = (host_ip.to_owned(), host_port.to_owned());
        [(key, List::from(vec![PortBinding { host_ip, host_port }]))].into_iter().collect()
    }

    #[test]
    fn what_is_no_port_is_refused_in_dockers_words() {
        for (key, host_ip, host_port, message) in [
            ("80/tcp", "", "x", "invalid port specification: \"x\""),
            ("80/tcp", "", "90-80", "invalid port specification: \"90-80\""),
            ("80/tcp", "", "70000", "invalid port specification: \"70000\""),
            ("80/tcp", "", " 80", "invalid port specification: \" 80\""),
            ("80-90/tcp", "", "80-90", "invalid port specification: \"80-90\""),
            ("x/tcp", "", "", "invalid port specification: \"x\""),
            ("70000/tcp", "", "", "invalid port specification: \"70000\""),
            ("/tcp", "", "", "invalid port specification: \"\""),
            ("80/foo", "", "", "invalid proto: foo"),
            ("80/tcp", "x", "80", "invalid IP address: x"),
            ("80/tcp", "[::1]", "80", "invalid IP address: [::1]"),
        ] {
            let error = check(&bindings(key, host_ip, host_port)).expect_err(message);
            assert_eq!((error.to_string(), error.kind()), (message.into(), Kind::InvalidArgument));
        }
    }

    #[test]
    fn odd_forms_that_docker_takes_mean_the_plain_one() {
        for (key, host_port, expected_key, expected_port) in [
            ("80/tcp", "", "80/tcp", ""),
            ("80", "8080", "80/tcp", "8080"),
            ("080/UDP", "8000-8010", "80/udp", "8000-8010"),
            ("80/tcp/x", "80/udp", "80/tcp", "80"),
            ("80/", "0", "80/tcp", "0"),
        ] {
            let mut found = bindings(key, "::1", host_port);
            check(&found).unwrap();
            normalize(&mut found);
            assert_eq!(found, bindings(expected_key, "::1", expected_port), "{key}");
        }
        let mut null: Map<List<PortBinding>> = [("80/tcp", List::default())].into_iter().collect();
        normalize(&mut null);
        assert!(null["80/tcp"].is_null());
    }
}
