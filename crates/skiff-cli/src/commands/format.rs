//! Pieces of rows that several commands show.

use std::collections::BTreeMap;

use skiff_api::PortSummary;

/// The description of `--format`.
pub(crate) const FORMAT_HELP: &str =
    "How to print: 'table', 'table TEMPLATE', 'json', or a Go template";

/// `0.0.0.0:8080-8081->80-81/tcp, 90/tcp`: neighbouring ports become ranges.
pub(crate) fn ports(ports: &[PortSummary]) -> String {
    let mut ports: Vec<&PortSummary> = ports.iter().collect();
    ports.sort_by(|a, b| {
        (a.private_port, &a.ip, a.public_port, &a.kind).cmp(&(
            b.private_port,
            &b.ip,
            b.public_port,
            &b.kind,
        ))
    });
    // Ranges grow for each address and protocol on their own.
    let mut ranges: BTreeMap<(String, String), (u16, u16)> = BTreeMap::new();
    let mut finished = Vec::new();
    let mut direct = Vec::new();
    for port in ports {
        if !port.ip.is_empty() && port.public_port != port.private_port {
            direct.push(format!(
                "{}->{}/{}",
                address(&port.ip, port.public_port),
                port.private_port,
                port.kind
            ));
            continue;
        }
        let key = (port.kind.clone(), port.ip.clone());
        match ranges.get_mut(&key) {
            Some((_, last)) if port.private_port == *last => {}
            Some((_, last)) if port.private_port == *last + 1 => *last += 1,
            Some(range) => {
                finished.push(group(&key, *range));
                *range = (port.private_port, port.private_port);
            }
            None => {
                ranges.insert(key, (port.private_port, port.private_port));
            }
        }
    }
    finished.extend(ranges.iter().map(|(key, range)| group(key, *range)));
    finished.extend(direct);
    finished.join(", ")
}

fn address(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

fn group((kind, ip): &(String, String), (first, last): (u16, u16)) -> String {
    let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
    if ip.is_empty() {
        return format!("{range}/{kind}");
    }
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    format!("{ip}:{range}->{range}/{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str, private: u16, public: u16) -> PortSummary {
        PortSummary {
            ip: ip.to_owned(),
            private_port: private,
            public_port: public,
            kind: "tcp".to_owned(),
        }
    }

    #[test]
    fn neighbours_become_ranges() {
        assert_eq!(ports(&[port("", 80, 0)]), "80/tcp");
        assert_eq!(
            ports(&[port("", 81, 0), port("", 80, 0), port("", 90, 0)]),
            "80-81/tcp, 90/tcp"
        );
        assert_eq!(ports(&[port("0.0.0.0", 80, 8080)]), "0.0.0.0:8080->80/tcp");
        assert_eq!(ports(&[port("::", 80, 80)]), "[::]:80->80/tcp");
        assert_eq!(
            ports(&[port("0.0.0.0", 80, 80), port("0.0.0.0", 81, 81)]),
            "0.0.0.0:80-81->80-81/tcp"
        );
    }
}
