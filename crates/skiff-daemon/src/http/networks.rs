//! `/networks`: the networks that are always there, so that clients can list them. Making
//! networks is not part of this version, and says so.

use hyper::{Method, StatusCode};
use skiff_api::filters::Filters;
use skiff_api::network::ConfigReference;
use skiff_api::{
    ContainerSummary, EndpointResource, Ipam, List, Map, Network, NetworksPruneReport,
};
use skiff_engine::container::ListOptions;

use super::answer::{Answer, json};
use super::failure::Failure;
use super::{Call, compat};

const NOT_YET: &str = "this version has only the networks none, host and bridge";

/// Name and driver of each.
const PREDEFINED: [(&str, &str); 3] = [("bridge", "bridge"), ("host", "host"), ("none", "null")];

pub(super) fn route(call: Call, method: &Method, segments: &[&str]) -> Result<Answer, Failure> {
    match (method.as_str(), segments) {
        ("GET", []) => list(&call),
        ("GET", [name]) => inspect(&call, name),
        ("DELETE", [name]) => match find(name) {
            Some(network) => Err(Failure::new(
                StatusCode::FORBIDDEN,
                format!("{} is a pre-defined network and cannot be removed", network.name),
            )),
            None => Err(not_found(name)),
        },
        // There are none that could be unused.
        ("POST", ["prune"]) => Ok(json(&NetworksPruneReport::default())),
        ("POST", ["create"] | [_, "connect" | "disconnect"]) => {
            Err(Failure::not_implemented(NOT_YET))
        }
        _ => Err(Failure::page_not_found()),
    }
}

fn list(call: &Call) -> Result<Answer, Failure> {
    let filters = call.filters()?;
    filters.accept_only(&["dangling", "driver", "id", "label", "name", "scope", "type"])?;
    let mut networks: Vec<Network> =
        predefined().filter(|network| passes(network, &filters)).collect();
    compat::networks(&mut networks, call.version);
    Ok(json(&networks))
}

fn passes(network: &Network, filters: &Filters) -> bool {
    let contains = |key: &str, text: &str| {
        !filters.contains(key) || filters.values(key).any(|value| text.contains(value))
    };
    contains("name", &network.name)
        && contains("id", &network.id)
        && filters.matches_exactly("driver", &network.driver)
        && filters.matches_exactly("scope", &network.scope)
        && filters.matches_exactly("type", "builtin")
        && filters.accepts_labels(&network.labels)
        && !filters.has("dangling", "true")
}

fn inspect(call: &Call, name: &str) -> Result<Answer, Failure> {
    let mut network = find(name).ok_or_else(|| not_found(name))?;
    let running = call.engine.containers().list(&ListOptions::default())?;
    let members = running.into_iter().filter_map(|container| member(container, &network.name));
    network.containers = Some(members.collect());
    Ok(json(&network))
}

/// A container as a network's inspect shows it, if it is in the network.
fn member(container: ContainerSummary, network: &str) -> Option<(String, EndpointResource)> {
    let mut networks = container.network_settings?.networks;
    let endpoint = networks.remove(network)?;
    let name = container.names.first().map(|name| name.trim_start_matches('/').to_owned());
    let address = |address: &str, prefix: i64| match address {
        "" => String::new(),
        address => format!("{address}/{prefix}"),
    };
    Some((
        container.id,
        EndpointResource {
            name: name.unwrap_or_default(),
            endpoint_id: endpoint.endpoint_id,
            mac_address: endpoint.mac_address,
            ipv4_address: address(&endpoint.ip_address, endpoint.ip_prefix_len),
            ipv6_address: address(&endpoint.global_ipv6_address, endpoint.global_ipv6_prefix_len),
        },
    ))
}

fn not_found(name: &str) -> Failure {
    Failure::new(StatusCode::NOT_FOUND, format!("network {name} not found"))
}

fn find(name: &str) -> Option<Network> {
    predefined()
        .find(|network| network.name == name || (name.len() >= 12 && network.id.starts_with(name)))
}

fn predefined() -> impl Iterator<Item = Network> {
    PREDEFINED.iter().map(|&(name, driver)| Network {
        name: name.to_owned(),
        id: id(name),
        created: skiff_api::ZERO_TIME.to_owned(),
        scope: "local".to_owned(),
        driver: driver.to_owned(),
        enable_ipv4: true,
        ipam: Ipam { driver: "default".to_owned(), config: List::empty(), ..Ipam::default() },
        config_from: ConfigReference::default(),
        options: Map::empty(),
        labels: Map::empty(),
        ..Network::default()
    })
}

/// An id of 64 digits that is the same on every host and after every restart (FNV-1a of the name,
/// chained).
fn id(name: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut digits = String::with_capacity(64);
    for _ in 0..4 {
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        digits.push_str(&format!("{hash:016x}"));
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predefined_networks_are_found_by_name_and_id() {
        for (name, _) in PREDEFINED {
            let by_name = find(name).unwrap();
            assert_eq!(by_name.id.len(), 64);
            assert_eq!(find(&by_name.id[..12]).unwrap().name, name);
        }
        assert!(find("nope").is_none());
    }

    #[test]
    fn filters_choose_among_them() {
        let names = |text: &str| -> Vec<String> {
            let filters = Filters::parse(text).unwrap();
            predefined().filter(|n| passes(n, &filters)).map(|n| n.name).collect()
        };
        assert_eq!(names(""), ["bridge", "host", "none"]);
        assert_eq!(names(r#"{"driver":["null"]}"#), ["none"]);
        assert_eq!(names(r#"{"name":["o"]}"#), ["host", "none"]);
        assert!(names(r#"{"type":["custom"]}"#).is_empty());
        assert!(names(r#"{"label":["a"]}"#).is_empty());
    }
}
