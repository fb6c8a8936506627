//! `--network name=…,alias=…` and `--add-host`.

use std::net::IpAddr;

use super::{Result, refuse, split_csv};

/// A network a container joins, with what it asks for there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSpec {
    /// The network's name or mode.
    pub name: String,
    /// Further names in the network's DNS.
    pub aliases: Vec<String>,
    /// The IPv4 address.
    pub ipv4: String,
    /// The IPv6 address.
    pub ipv6: String,
    /// The MAC address.
    pub mac_address: String,
    /// Link-local addresses.
    pub link_local_ips: Vec<String>,
    /// Options for the network's driver.
    pub driver_options: Vec<(String, String)>,
    /// The highest one provides the default gateway.
    pub gateway_priority: i64,
}

/// Reads a `--network` value: a bare name, or a list of keys and values.
pub fn parse_network(text: &str) -> Result<NetworkSpec> {
    if !text.contains('=') {
        return Ok(NetworkSpec { name: text.to_owned(), ..NetworkSpec::default() });
    }
    let mut spec = NetworkSpec::default();
    for field in split_csv(text)? {
        let Some((key, value)) = field.split_once('=') else {
            refuse!("invalid field {field}");
        };
        let value = value.trim();
        let owned = value.to_owned();
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => spec.name = owned,
            "alias" => spec.aliases.push(owned),
            "driver-opt" => match value.split_once('=') {
                Some((key, value)) => spec.driver_options.push((key.to_owned(), value.to_owned())),
                None => refuse!("invalid key value pair format in driver options"),
            },
            "ip" => spec.ipv4 = owned,
            "ip6" => spec.ipv6 = owned,
            "mac-address" => spec.mac_address = owned,
            "link-local-ip" => spec.link_local_ips.push(owned),
            "gw-priority" => match value.parse() {
                Ok(priority) => spec.gateway_priority = priority,
                Err(_) => refuse!("invalid gw-priority ({value}): invalid syntax"),
            },
            key => refuse!("invalid field key {key}"),
        }
    }
    if spec.name.is_empty() {
        refuse!("network name/id is not specified");
    }
    Ok(spec)
}

/// Reads `host:ip`, `host=ip` or `host:host-gateway` and returns it as `host:ip`.
pub fn parse_extra_host(text: &str) -> Result<String> {
    let split = match text.split_once('=') {
        Some(parts) => Some(parts),
        None => text.split_once(':'),
    };
    let Some((host, address)) = split.filter(|(host, _)| !host.is_empty()) else {
        refuse!("bad format for add-host: {text:?}");
    };
    if address == "host-gateway" {
        return Ok(format!("{host}:{address}"));
    }
    let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if bare.parse::<IpAddr>().is_err() {
        refuse!("invalid IP address in add-host: {address:?}");
    }
    Ok(format!("{host}:{bare}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        assert_eq!(parse_network("none").unwrap().name, "none");
        assert_eq!(parse_network("container:x").unwrap().name, "container:x");
        let spec = parse_network("name=n,alias=a,alias=b,ip=1.2.3.4,driver-opt=k=v").unwrap();
        assert_eq!((&*spec.name, &*spec.ipv4), ("n", "1.2.3.4"));
        assert_eq!(spec.aliases, ["a", "b"]);
        for (text, message) in [
            ("foo=x", "invalid field key foo"),
            ("alias=x", "network name/id is not specified"),
            ("name=x,driver-opt=y", "invalid key value pair format in driver options"),
        ] {
            assert_eq!(parse_network(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn hosts_are_normalised() {
        for (text, expected) in [
            ("a:1.2.3.4", "a:1.2.3.4"),
            ("a=1.2.3.4", "a:1.2.3.4"),
            ("a:::1", "a:::1"),
            ("a=[::1]", "a:::1"),
            ("a:host-gateway", "a:host-gateway"),
        ] {
            assert_eq!(parse_extra_host(text).unwrap(), expected);
        }
        for (text, message) in [
            ("a", "bad format for add-host: \"a\""),
            ("a:b", "invalid IP address in add-host: \"b\""),
            (":1.2.3.4", "bad format for add-host: \":1.2.3.4\""),
        ] {
            assert_eq!(parse_extra_host(text).unwrap_err().to_string(), message);
        }
    }
}
