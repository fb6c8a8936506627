//! Values that dockerd refuses, in its words, also those that no part of this version uses yet: a
//! configuration that is wrong there must not start here.

use super::{Merged, SettingsError, refused};

/// Checks them all.
pub(super) fn check(merged: &Merged) -> Result<(), SettingsError> {
    for server in merged.list("dns") {
        if server.parse::<std::net::IpAddr>().is_err() {
            return Err(refused(format!("{server} is not an ip address")));
        }
    }
    for domain in merged.list("dns-search") {
        if !is_domain(&domain) {
            return Err(refused(format!("{domain} is not a valid domain")));
        }
    }
    for (option, least, name) in [
        ("mtu", 0, "default MTU"),
        ("max-concurrent-downloads", 0, "max concurrent downloads"),
        ("max-concurrent-uploads", 0, "max concurrent uploads"),
        ("max-download-attempts", 1, "max download attempts"),
    ] {
        let text = merged.text(option, "1");
        if text.parse::<f64>().is_ok_and(|number| number < f64::from(least)) {
            return Err(refused(format!("invalid {name}: {text}")));
        }
    }
    merged.list("registry-mirror").iter().try_for_each(|mirror| check_mirror(mirror))
}

/// A domain name's labels: letters, digits and inner hyphens. A lone point asks for none.
fn is_domain(name: &str) -> bool {
    let plain = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name == "." || (name.len() <= 255 && name.trim_end_matches('.').split('.').all(plain))
}

fn check_mirror(mirror: &str) -> Result<(), SettingsError> {
    let invalid = |why: &str| refused(format!("invalid mirror: {why} in {mirror:?}"));
    let (scheme, rest) = mirror.split_once("://").unwrap_or(("", mirror));
    if !matches!(scheme, "http" | "https") {
        return Err(invalid(&format!("unsupported scheme {scheme:?}")));
    }
    if rest.contains('@') {
        return Err(invalid("username/password not allowed in URI"));
    }
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    if rest.contains(['?', '#']) || !path.trim_end_matches('/').is_empty() {
        return Err(invalid("path, query, or fragment at end of the URI"));
    }
    Ok(())
}
