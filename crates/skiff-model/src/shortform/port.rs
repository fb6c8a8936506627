//! `-p [[ip:]hostPort:]containerPort[/proto]`, its long form `-p target=80,published=8080`, and
//! `--expose`.

use std::net::IpAddr;

use super::{Result, ShortFormError, refuse};

/// One port of a container and where it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortMapping {
    /// The port in the container.
    pub container_port: u16,
    /// tcp, udp or sctp.
    pub protocol: String,
    /// The address on the host; empty is all.
    pub host_ip: String,
    /// The port on the host: empty (any free one), `8080` or a range to choose from `8000-8010`.
    pub host_port: String,
}

impl PortMapping {
    /// The key the API uses: `80/tcp`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.container_port, self.protocol)
    }
}

/// Reads a published port; ranges give several mappings.
pub fn parse_published(text: &str) -> Result<Vec<PortMapping>> {
    if text.contains('=') {
        return parse_short(&short_form(text)?);
    }
    parse_short(text)
}

/// The short form of `target=80,published=8080,protocol=tcp`; other keys mean nothing here.
fn short_form(text: &str) -> Result<String> {
    let (mut target, mut published, mut protocol) = ("", "", "tcp");
    for option in text.split(',') {
        match option.split_once('=') {
            Some(("target", value)) => target = value,
            Some(("published", value)) => published = value,
            Some(("protocol", value)) => protocol = value,
            Some((name, _)) if !name.is_empty() => {}
            _ => refuse!("invalid publish opts format (should be name=value but got '{option}')"),
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

fn parse_short(text: &str) -> Result<Vec<PortMapping>> {
    let (address, protocol) = split_protocol(text)?;
    let (host_ip, host_port, container_port) = split_address(address);
    if container_port.is_empty() {
        refuse!("no port specified: {text}<empty>");
    }
    let host_ip = check_ip(host_ip)?;
    let (start, end) = parse_port_range(container_port)
        .map_err(|_| ShortFormError::new(format!("invalid containerPort: {container_port}")))?;
    let host_range = match host_port {
        "" => None,
        range => Some(
            parse_port_range(range)
                .map_err(|_| ShortFormError::new(format!("invalid hostPort: {range}")))?,
        ),
    };
    if let Some((host_start, host_end)) = host_range
        && host_end - host_start != end - start
        // One port may be published on any of a range.
        && start != end
    {
        refuse!(
            "invalid ranges specified for container and host Ports: {container_port} and {host_port}"
        );
    }
    let mappings = (start..=end).map(|port| PortMapping {
        container_port: port,
        protocol: protocol.clone(),
        host_ip: host_ip.to_owned(),
        host_port: match host_range {
            None => String::new(),
            Some((host_start, host_end)) if start == end && host_start != host_end => {
                format!("{host_start}-{host_end}")
            }
            Some((host_start, _)) => (host_start + (port - start)).to_string(),
        },
    });
    Ok(mappings.collect())
}

fn split_protocol(text: &str) -> Result<(&str, String)> {
    let (address, protocol) = split_slash(text);
    let lower = protocol.to_ascii_lowercase();
    match lower.as_str() {
        "" => Ok((address, "tcp".to_owned())),
        "tcp" | "udp" | "sctp" => Ok((address, lower)),
        _ => refuse!("invalid proto: {protocol}"),
    }
}

/// What follows a second slash means nothing to Docker.
fn split_slash(text: &str) -> (&str, &str) {
    let (address, rest) = text.split_once('/').unwrap_or((text, ""));
    (address, rest.split('/').next().unwrap_or_default())
}

/// Splits at the last two colons: everything before them is the address, IPv6 included.
fn split_address(text: &str) -> (&str, &str, &str) {
    match text.rsplit_once(':') {
        None => ("", "", text),
        Some((rest, container)) => match rest.rsplit_once(':') {
            None => ("", rest, container),
            Some((ip, host)) => (ip, host, container),
        },
    }
}

fn check_ip(text: &str) -> Result<&str> {
    if text.starts_with('[') && !text.ends_with(']') {
        refuse!("invalid IP address {text}: address {text}:: missing ']' in address");
    }
    let bare = text.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(text);
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        refuse!("invalid IP address: {text}");
    }
    Ok(bare)
}

/// Reads `80` or `80-90`.
pub fn parse_port_range(text: &str) -> Result<(u16, u16)> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let why = if digits { "value out of range" } else { "invalid syntax" };
        text.parse::<u16>().ok().filter(|_| digits).ok_or_else(|| {
            ShortFormError::new(format!("strconv.ParseUint: parsing {text:?}: {why}"))
        })
    };
    if text.is_empty() {
        refuse!("empty string specified for ports");
    }
    let (start, end) = match text.split_once('-') {
        Some((start, end)) => (port(start)?, port(end)?),
        None => (port(text)?, port(text)?),
    };
    if end < start {
        refuse!("invalid range specified for port: {text}");
    }
    Ok((start, end))
}

/// Reads an `--expose` value and returns the API's keys: `80/tcp`.
pub fn parse_exposed(text: &str) -> Result<Vec<String>> {
    if text.contains(':') {
        refuse!("invalid port format for --expose: {text}");
    }
    // Docker looks at the protocol only where a port is published.
    let (ports, protocol) = split_slash(text);
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let (start, end) = parse_port_range(ports).map_err(|error| {
        ShortFormError::new(format!("invalid range format for --expose: {text}, error: {error}"))
    })?;
    Ok((start..=end).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let show = |m: PortMapping| format!("{} {} {}", m.key(), m.host_ip, m.host_port);
        parse_published(text).unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn ports_are_read_in_all_forms() {
        assert_eq!(shown("80"), ["80/tcp  "]);
        assert_eq!(shown("8080:80"), ["80/tcp  8080"]);
        assert_eq!(shown("8080:80/UDP"), ["80/udp  8080"]);
        assert_eq!(shown("127.0.0.1:8080:80"), ["80/tcp 127.0.0.1 8080"]);
        assert_eq!(shown("127.0.0.1::80"), ["80/tcp 127.0.0.1 "]);
        assert_eq!(shown("[::1]:8080:80"), ["80/tcp ::1 8080"]);
        assert_eq!(shown("::1:8080:80"), ["80/tcp ::1 8080"]);
        assert_eq!(shown("8000-8001:80-81/sctp"), ["80/sctp  8000", "81/sctp  8001"]);
        assert_eq!(shown("8000-8010:80"), ["80/tcp  8000-8010"]);
        assert_eq!(shown("80-81"), ["80/tcp  ", "81/tcp  "]);
        assert_eq!(shown("80/tcp/udp"), ["80/tcp  "]);
        assert_eq!(shown("target=80,published=8080,mode=host"), ["80/tcp  8080"]);
        assert_eq!(shown("target=80,protocol=UDP"), ["80/udp  "]);
        assert_eq!(shown("target=80-81,published=90-91"), ["80/tcp  90", "81/tcp  91"]);
    }

    #[test]
    fn wrong_ports_get_dockers_words() {
        for (text, message) in [
            ("", "no port specified: <empty>"),
            ("80:", "no port specified: 80:<empty>"),
            ("x", "invalid containerPort: x"),
            ("70000", "invalid containerPort: 70000"),
            ("x:80", "invalid hostPort: x"),
            ("80/foo", "invalid proto: foo"),
            ("90-80", "invalid containerPort: 90-80"),
            ("1-3:80-81", "invalid ranges specified for container and host Ports: 80-81 and 1-3"),
            ("80:80:80:80:80", "invalid IP address: 80:80:80"),
            ("[::1:80:80", "invalid IP address [::1: address [::1:: missing ']' in address"),
            ("published=80", "no port specified: 80:/tcp<empty>"),
            ("target=80,protocol=foo", "invalid proto: foo"),
            ("target=80,x", "invalid publish opts format (should be name=value but got 'x')"),
        ] {
            assert_eq!(parse_published(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn exposed_ports_may_be_ranges() {
        assert_eq!(parse_exposed("80-81/udp").unwrap(), ["80/udp", "81/udp"]);
        assert_eq!(
            parse_exposed("1:2").unwrap_err().to_string(),
            "invalid port format for --expose: 1:2"
        );
        assert_eq!(
            parse_exposed("70000").unwrap_err().to_string(),
            "invalid range format for --expose: 70000, error: strconv.ParseUint: parsing \"70000\": \
             value out of range"
        );
    }
}
