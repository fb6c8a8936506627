//! Networks and a container's place in them, as data.

use crate::wire::wire;
use crate::{List, Map, PortBinding};

wire! {
    /// The networks that a new container joins.
    pub struct NetworkingConfig as "network.NetworkingConfig" {
        endpoints_config: Map<Option<EndpointSettings>> = "EndpointsConfig";
    }

    /// A container's place in one network: what was asked for and what it got.
    pub struct EndpointSettings as "network.EndpointSettings" {
        ipam_config: Option<EndpointIpamConfig> = "IPAMConfig";
        links: List<String> = "Links";
        aliases: List<String> = "Aliases";
        driver_opts: Map<String> = "DriverOpts";
        gw_priority: i64 = "GwPriority";
        network_id: String = "NetworkID";
        endpoint_id: String = "EndpointID";
        gateway: String = "Gateway";
        ip_address: String = "IPAddress";
        mac_address: String = "MacAddress";
        ip_prefix_len: i64 = "IPPrefixLen";
        ipv6_gateway: String = "IPv6Gateway";
        global_ipv6_address: String = "GlobalIPv6Address";
        global_ipv6_prefix_len: i64 = "GlobalIPv6PrefixLen";
        dns_names: List<String> = "DNSNames";
    }

    /// Addresses that were asked for.
    pub struct EndpointIpamConfig as "network.EndpointIPAMConfig" {
        ipv4_address: String = "IPv4Address", omitempty;
        ipv6_address: String = "IPv6Address", omitempty;
        link_local_ips: List<String> = "LinkLocalIPs", omitempty;
    }

    /// The network part of a container's inspect.
    pub struct NetworkSettings as "NetworkSettings" {
        /// Before 1.52 only, like all fields up to `hairpin_mode`.
        bridge: Option<String> = "Bridge", omitempty;
        sandbox_id: String = "SandboxID";
        sandbox_key: String = "SandboxKey";
        /// `80/tcp` to its bindings; null for a port that is only exposed.
        ports: Map<List<PortBinding>> = "Ports";
        hairpin_mode: Option<bool> = "HairpinMode", omitempty;
        link_local_ipv6_address: Option<String> = "LinkLocalIPv6Address", omitempty;
        link_local_ipv6_prefix_len: Option<i64> = "LinkLocalIPv6PrefixLen", omitempty;
        secondary_ip_addresses: Option<serde_json::Value> = "SecondaryIPAddresses", omitempty;
        secondary_ipv6_addresses: Option<serde_json::Value> = "SecondaryIPv6Addresses", omitempty;
        endpoint_id: Option<String> = "EndpointID", omitempty;
        gateway: Option<String> = "Gateway", omitempty;
        global_ipv6_address: Option<String> = "GlobalIPv6Address", omitempty;
        global_ipv6_prefix_len: Option<i64> = "GlobalIPv6PrefixLen", omitempty;
        ip_address: Option<String> = "IPAddress", omitempty;
        ip_prefix_len: Option<i64> = "IPPrefixLen", omitempty;
        ipv6_gateway: Option<String> = "IPv6Gateway", omitempty;
        mac_address: Option<String> = "MacAddress", omitempty;
        networks: Map<EndpointSettings> = "Networks";
    }

    /// One network, in lists and alone.
    pub struct Network as "Network" {
        name: String = "Name";
        id: String = "Id";
        created: String = "Created";
        /// local or swarm.
        scope: String = "Scope";
        driver: String = "Driver";
        enable_ipv4: bool = "EnableIPv4";
        enable_ipv6: bool = "EnableIPv6";
        ipam: Ipam = "IPAM";
        internal: bool = "Internal";
        attachable: bool = "Attachable";
        ingress: bool = "Ingress";
        config_from: ConfigReference = "ConfigFrom";
        config_only: bool = "ConfigOnly";
        options: Map<String> = "Options";
        labels: Map<String> = "Labels";
        /// Endpoint by container; in an inspect (and before 1.52 in lists, empty).
        containers: Option<Map<EndpointResource>> = "Containers", omitempty;
    }

    /// The network whose configuration another one takes.
    pub struct ConfigReference as "ConfigReference" {
        network: String = "Network";
    }

    /// Address management of a network.
    pub struct Ipam as "network.IPAM" {
        driver: String = "Driver";
        options: Map<String> = "Options";
        config: List<IpamConfig> = "Config";
    }

    /// One pool of addresses.
    pub struct IpamConfig as "network.IPAMConfig" {
        subnet: String = "Subnet", omitempty;
        ip_range: String = "IPRange", omitempty;
        gateway: String = "Gateway", omitempty;
        auxiliary_addresses: Map<String> = "AuxiliaryAddresses", omitempty;
    }

    /// A container in a network's inspect.
    pub struct EndpointResource as "EndpointResource" {
        name: String = "Name";
        endpoint_id: String = "EndpointID";
        mac_address: String = "MacAddress";
        ipv4_address: String = "IPv4Address";
        ipv6_address: String = "IPv6Address";
    }

    /// The body of `POST /networks/create`.
    pub struct NetworkCreateRequest as "network.CreateRequest" {
        name: String = "Name";
        driver: String = "Driver";
        scope: String = "Scope";
        enable_ipv4: Option<bool> = "EnableIPv4", omitempty;
        enable_ipv6: Option<bool> = "EnableIPv6", omitempty;
        ipam: Option<Ipam> = "IPAM";
        internal: bool = "Internal";
        attachable: bool = "Attachable";
        ingress: bool = "Ingress";
        config_only: bool = "ConfigOnly";
        config_from: Option<ConfigReference> = "ConfigFrom";
        options: Map<String> = "Options";
        labels: Map<String> = "Labels";
        check_duplicate: Option<bool> = "CheckDuplicate", omitempty;
    }

    /// The answer to it.
    pub struct NetworkCreateResponse as "CreateResponse" {
        id: String = "Id";
        warning: String = "Warning";
    }

    /// The body of `POST /networks/{id}/connect`.
    pub struct NetworkConnectRequest as "network.ConnectRequest" {
        container: String = "Container";
        endpoint_config: Option<EndpointSettings> = "EndpointConfig", omitempty;
    }

    /// The body of `POST /networks/{id}/disconnect`.
    pub struct NetworkDisconnectRequest as "network.DisconnectRequest" {
        container: String = "Container";
        force: bool = "Force";
    }
}
