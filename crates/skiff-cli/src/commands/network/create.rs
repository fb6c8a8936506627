//! `network create`: a network of one's own.

use skiff_api::{Ipam, IpamConfig, NetworkCreateRequest, NetworkCreateResponse};

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static FLAGS: &[Flag] = &[
    Flag::switch("attachable", "Let containers be attached by hand"),
    Flag::list("aux-address", "Keep an address free: name=ip"),
    Flag::text("config-from", "Take the configuration of this network"),
    Flag::switch("config-only", "Make a configuration for others, not a network"),
    Flag::text("driver", "Driver of the network").short('d').default("bridge"),
    Flag::slice("gateway", "Address of the gateway"),
    Flag::switch("ingress", "Make a swarm's routing mesh"),
    Flag::switch("internal", "Keep it away from the outside"),
    Flag::slice("ip-range", "Give addresses from this part of the subnet"),
    Flag::text("ipam-driver", "Driver for addresses").default("default"),
    Flag::list("ipam-opt", "Set an option of that driver"),
    Flag::switch("ipv4", "Give IPv4 addresses").default("true"),
    Flag::switch("ipv6", "Give IPv6 addresses"),
    Flag::list("label", "Set a label"),
    Flag::list("opt", "Set an option of the driver: key=value").short('o'),
    Flag::text("scope", "Scope of the network"),
    Flag::slice("subnet", "Subnet: 172.28.0.0/16"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["network create"],
    usage: "[OPTIONS] NETWORK",
    summary: "Make a network",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("With its own addresses", "network create --subnet 10.1.0.0/24 backend")],
    run,
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let pairs = |flag: &str| -> skiff_api::Map<String> {
        flags.all(flag).map(|text| text.split_once('=').unwrap_or((text, ""))).map(owned).collect()
    };
    let ipam = Ipam {
        driver: flags.text("ipam-driver").to_owned(),
        options: pairs("ipam-opt"),
        config: pools(flags)?.into(),
    };
    let request = NetworkCreateRequest {
        name: flags.args[0].clone(),
        driver: flags.text("driver").to_owned(),
        scope: flags.text("scope").to_owned(),
        enable_ipv4: flags.is_set("ipv4").then(|| flags.on("ipv4")),
        enable_ipv6: flags.is_set("ipv6").then(|| flags.on("ipv6")),
        ipam: Some(ipam),
        internal: flags.on("internal"),
        attachable: flags.on("attachable"),
        ingress: flags.on("ingress"),
        config_only: flags.on("config-only"),
        config_from: flags
            .given("config-from")
            .map(|network| skiff_api::network::ConfigReference { network: network.to_owned() }),
        options: pairs("opt"),
        labels: pairs("label"),
        check_duplicate: None,
    };
    let answer: NetworkCreateResponse =
        context.client()?.post_json("/networks/create", &request)?.json()?;
    if !answer.warning.is_empty() {
        tell!("WARNING: {}", answer.warning);
    }
    say!("{}", answer.id);
    Ok(())
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

/// Ranges and gateways belong to the subnet they lie in; with one subnet that is plain.
fn pools(flags: &Matches) -> Result<Vec<IpamConfig>, Failure> {
    let subnets = flags.list("subnet");
    let (ranges, gateways) = (flags.list("ip-range"), flags.list("gateway"));
    if subnets.is_empty() {
        if !ranges.is_empty() || !gateways.is_empty() || flags.is_set("aux-address") {
            return Err(Failure::new("no matching subnet for range or gateway: give --subnet"));
        }
        return Ok(Vec::new());
    }
    if ranges.len() > subnets.len() || gateways.len() > subnets.len() {
        return Err(Failure::new("every ip-range or gateway must have a corresponding subnet"));
    }
    let mut pools: Vec<IpamConfig> =
        subnets.into_iter().map(|subnet| IpamConfig { subnet, ..IpamConfig::default() }).collect();
    for range in ranges {
        let pool = pool_of(&mut pools, &range)?;
        pool.ip_range = range;
    }
    for gateway in gateways {
        let pool = pool_of(&mut pools, &gateway)?;
        pool.gateway = gateway;
    }
    for text in flags.all("aux-address") {
        let Some((name, address)) = text.split_once('=') else {
            return Err(Failure::new(format!("invalid aux-address: {text}")));
        };
        pool_of(&mut pools, address)?
            .auxiliary_addresses
            .insert(name.to_owned(), address.to_owned());
    }
    Ok(pools)
}

fn pool_of<'a>(pools: &'a mut [IpamConfig], address: &str) -> Result<&'a mut IpamConfig, Failure> {
    let wanted = bits(address);
    pools
        .iter_mut()
        .find(|pool| {
            let length = pool.subnet.split_once('/').and_then(|(_, n)| n.parse().ok());
            match (bits(&pool.subnet), wanted, length) {
                (Some((a, width)), Some((b, other)), Some(length)) if width == other => {
                    let shift = width.saturating_sub(length);
                    a.checked_shr(shift) == b.checked_shr(shift)
                }
                _ => false,
            }
        })
        .ok_or_else(|| Failure::new(format!("no matching subnet for {address}")))
}

/// An address as a number, and how many bits it has.
fn bits(text: &str) -> Option<(u128, u32)> {
    match text.split('/').next()?.parse().ok()? {
        std::net::IpAddr::V4(ip) => Some((u128::from(u32::from(ip)), 32)),
        std::net::IpAddr::V6(ip) => Some((u128::from(ip), 128)),
    }
}
