//! What clients of older API versions were also sent. The engine answers as the newest version
//! does; this adds what was taken away since.

use serde_json::json;
use skiff_api::version::ApiVersion;
use skiff_api::{ContainerInspect, EventMessage, ImageInspect, ImageSummary, Network};

/// The version that dropped the network fields of the default bridge, among others.
const WITHOUT_LEGACY: ApiVersion = ApiVersion::v1(52);
/// The version that dropped `VirtualSize`.
const WITHOUT_VIRTUAL_SIZE: ApiVersion = ApiVersion::v1(44);

/// Before 1.52 the addresses on the default bridge stood beside the networks.
pub(super) fn container(inspect: &mut ContainerInspect, version: ApiVersion) {
    if version >= WITHOUT_LEGACY {
        return;
    }
    let settings = &mut inspect.network_settings;
    let bridge = settings.networks.get("bridge").cloned().unwrap_or_default();
    settings.bridge = Some(String::new());
    settings.hairpin_mode = Some(false);
    settings.link_local_ipv6_address = Some(String::new());
    settings.link_local_ipv6_prefix_len = Some(0);
    settings.secondary_ip_addresses = Some(json!(null));
    settings.secondary_ipv6_addresses = Some(json!(null));
    settings.endpoint_id = Some(bridge.endpoint_id);
    settings.gateway = Some(bridge.gateway);
    settings.global_ipv6_address = Some(bridge.global_ipv6_address);
    settings.global_ipv6_prefix_len = Some(bridge.global_ipv6_prefix_len);
    settings.ip_address = Some(bridge.ip_address);
    settings.ip_prefix_len = Some(bridge.ip_prefix_len);
    settings.ipv6_gateway = Some(bridge.ipv6_gateway);
    settings.mac_address = Some(bridge.mac_address);
}

/// Before 1.44 every image had its size twice.
pub(super) fn images(images: &mut [ImageSummary], version: ApiVersion) {
    for image in images.iter_mut() {
        image.virtual_size = if version < WITHOUT_VIRTUAL_SIZE { image.size } else { 0 };
    }
}

/// Before 1.52 an image's empty texts were sent, too.
pub(super) fn image(inspect: &mut ImageInspect, version: ApiVersion) {
    if version < WITHOUT_VIRTUAL_SIZE {
        inspect.virtual_size = inspect.size;
    }
    if version < WITHOUT_LEGACY {
        for field in [
            &mut inspect.parent,
            &mut inspect.comment,
            &mut inspect.docker_version,
            &mut inspect.author,
        ] {
            field.get_or_insert_default();
        }
    }
}

/// Before 1.52 an event repeated itself in three more fields.
pub(super) fn event(event: &EventMessage, version: ApiVersion) -> EventMessage {
    let mut event = event.clone();
    if version >= WITHOUT_LEGACY {
        event.status.clear();
        event.id.clear();
        event.from.clear();
    }
    event
}

/// Before 1.52 lists of networks had an empty map of containers.
pub(super) fn networks(networks: &mut [Network], version: ApiVersion) {
    if version < WITHOUT_LEGACY {
        for network in networks {
            network.containers.get_or_insert_with(skiff_api::Map::empty);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_find_the_address_where_it_was() {
        let mut inspect = ContainerInspect::default();
        let endpoint =
            skiff_api::EndpointSettings { ip_address: "172.17.0.2".into(), ..Default::default() };
        inspect.network_settings.networks.insert("bridge".into(), endpoint);
        container(&mut inspect, ApiVersion::v1(52));
        assert_eq!(inspect.network_settings.ip_address, None);
        container(&mut inspect, ApiVersion::v1(51));
        assert_eq!(inspect.network_settings.ip_address.as_deref(), Some("172.17.0.2"));
        let text = serde_json::to_string(&inspect.network_settings).unwrap();
        assert!(text.contains(r#""SecondaryIPAddresses":null"#), "{text}");
    }
}
