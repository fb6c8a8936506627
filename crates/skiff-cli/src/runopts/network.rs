//! `--network` and the flags that belong to the first network.

use std::collections::BTreeMap;

use skiff_api::{EndpointIpamConfig, EndpointSettings, List, NetworkingConfig};
use skiff_model::shortform::{NetworkSpec, parse_network};

use super::Result;
use crate::flags::Matches;

fn specs(flags: &Matches) -> Result<Vec<NetworkSpec>> {
    let texts = flags.all("network").chain(flags.all("net"));
    texts.map(|text| parse_network(text).map_err(|error| error.to_string())).collect()
}

/// The network mode: the first network, or `default`.
pub(super) fn mode(flags: &Matches) -> Result<String> {
    let first = specs(flags)?.into_iter().next();
    Ok(first.map_or_else(|| "default".to_owned(), |spec| spec.name))
}

/// Builds the wishes for each network.
pub(super) fn build(flags: &Matches) -> Result<NetworkingConfig> {
    let mut specs = specs(flags)?;
    let single = single_flags(flags);
    match specs.first_mut() {
        Some(first) => merge(first, single)?,
        None if single == NetworkSpec::default() => {}
        None => specs.push(NetworkSpec { name: "default".to_owned(), ..single }),
    }
    let mut endpoints = BTreeMap::new();
    for spec in specs {
        let name = spec.name.clone();
        if endpoints.insert(name.clone(), Some(endpoint(spec))).is_some() {
            return Err(format!("duplicate network {name}"));
        }
    }
    Ok(NetworkingConfig { endpoints_config: endpoints.into() })
}

/// The older flags, which speak about the first network.
fn single_flags(flags: &Matches) -> NetworkSpec {
    NetworkSpec {
        aliases: flags
            .all("network-alias")
            .chain(flags.all("net-alias"))
            .map(str::to_owned)
            .collect(),
        ipv4: flags.text("ip").to_owned(),
        ipv6: flags.text("ip6").to_owned(),
        mac_address: flags.text("mac-address").to_owned(),
        link_local_ips: flags.list("link-local-ip"),
        ..NetworkSpec::default()
    }
}

fn merge(spec: &mut NetworkSpec, single: NetworkSpec) -> Result<()> {
    let conflict = |what: &str| {
        Err(format!("conflicting options: cannot specify both {what} and per-network {what}"))
    };
    for (ours, theirs, name) in [
        (&mut spec.ipv4, single.ipv4, "--ip"),
        (&mut spec.ipv6, single.ipv6, "--ip6"),
        (&mut spec.mac_address, single.mac_address, "--mac-address"),
    ] {
        match (ours.is_empty(), theirs.is_empty()) {
            (false, false) => return conflict(name),
            (true, false) => *ours = theirs,
            _ => {}
        }
    }
    for (ours, theirs, name) in [
        (&mut spec.aliases, single.aliases, "--network-alias"),
        (&mut spec.link_local_ips, single.link_local_ips, "--link-local-ip"),
    ] {
        match (ours.is_empty(), theirs.is_empty()) {
            (false, false) => return conflict(name),
            (true, false) => *ours = theirs,
            _ => {}
        }
    }
    Ok(())
}

fn endpoint(spec: NetworkSpec) -> EndpointSettings {
    let addressed =
        !spec.ipv4.is_empty() || !spec.ipv6.is_empty() || !spec.link_local_ips.is_empty();
    EndpointSettings {
        ipam_config: addressed.then(|| EndpointIpamConfig {
            ipv4_address: spec.ipv4,
            ipv6_address: spec.ipv6,
            link_local_ips: spec.link_local_ips.into(),
        }),
        aliases: if spec.aliases.is_empty() { List::default() } else { spec.aliases.into() },
        driver_opts: if spec.driver_options.is_empty() {
            skiff_api::Map::default()
        } else {
            spec.driver_options.into_iter().collect()
        },
        gw_priority: spec.gateway_priority,
        mac_address: spec.mac_address,
        ..EndpointSettings::default()
    }
}
