//! `network connect` and `network disconnect`.

use skiff_api::{
    EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest,
};

use crate::client::encode_component;
use crate::command::{Arity, Command};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};

static CONNECT_FLAGS: &[Flag] = &[
    Flag::slice("alias", "Add a name on the network"),
    Flag::slice("driver-opt", "Set an option of the network's driver"),
    Flag::integer("gw-priority", "The highest one gives the default gateway"),
    Flag::text("ip", "IPv4 address"),
    Flag::text("ip6", "IPv6 address"),
    Flag::list("link", "Link to another container"),
    Flag::slice("link-local-ip", "Set a link-local address"),
];

static DISCONNECT_FLAGS: &[Flag] =
    &[Flag::switch("force", "Do it even if the container is gone").short('f')];

pub(crate) static CONNECT: Command = Command {
    paths: &["network connect"],
    usage: "[OPTIONS] NETWORK CONTAINER",
    summary: "Put a container on a network",
    arity: Arity::Exactly(2),
    flags: &[CONNECT_FLAGS],
    interspersed: true,
    examples: &[("Under another name", "network connect --alias db backend postgres")],
    run: connect,
};

pub(crate) static DISCONNECT: Command = Command {
    paths: &["network disconnect"],
    usage: "[OPTIONS] NETWORK CONTAINER",
    summary: "Take a container off a network",
    arity: Arity::Exactly(2),
    flags: &[DISCONNECT_FLAGS],
    interspersed: true,
    examples: &[("Take it off", "network disconnect backend postgres")],
    run: disconnect,
};

fn connect(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let options = flags.all("driver-opt").map(|text| text.split_once('=').unwrap_or((text, "")));
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: flags.text("ip").to_owned(),
            ipv6_address: flags.text("ip6").to_owned(),
            link_local_ips: flags.list("link-local-ip").into(),
        }),
        links: flags.list("link").into(),
        aliases: flags.list("alias").into(),
        driver_opts: options.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        gw_priority: flags.integer("gw-priority"),
        ..EndpointSettings::default()
    };
    let request =
        NetworkConnectRequest { container: flags.args[1].clone(), endpoint_config: Some(endpoint) };
    let path = format!("/networks/{}/connect", encode_component(&flags.args[0]));
    Ok(context.client()?.post_json(path, &request)?.finish()?)
}

fn disconnect(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let request =
        NetworkDisconnectRequest { container: flags.args[1].clone(), force: flags.on("force") };
    let path = format!("/networks/{}/disconnect", encode_component(&flags.args[0]));
    Ok(context.client()?.post_json(path, &request)?.finish()?)
}
