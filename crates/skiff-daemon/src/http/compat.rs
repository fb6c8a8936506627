//! What clients of older API versions were also sent. The engine answers as the newest version
//! does; this adds what was taken away since.

use serde_json::json;
use skiff_api::version::ApiVersion;
use skiff_api::{
    Config, ContainerInspect, DiskUsage, EventMessage, ImageConfig, ImageInspect, ImageSummary,
    Network,
};

/// The version that dropped the network fields of the default bridge, among others.
const WITHOUT_LEGACY: ApiVersion = ApiVersion::v1(52);
/// The version since which an image's config has only what images have.
const WITH_IMAGE_CONFIG: ApiVersion = ApiVersion::v1(50);
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

/// Before 1.52 an image's empty texts were sent, too; before 1.50 its config was a container's, and
/// before 1.45 there was a second one, of the container that it was committed from.
pub(super) fn image(mut inspect: ImageInspect, version: ApiVersion) -> serde_json::Value {
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
    let mut value = json!(inspect);
    if version < WITH_IMAGE_CONFIG
        && let Some(config) = inspect.config
    {
        value["Config"] = json!(container_config(config));
    }
    if version < ApiVersion::v1(45) {
        value["Container"] = json!("");
        value["ContainerConfig"] = json!(Config::default());
    }
    value
}

/// An image's config in the shape of a container's.
fn container_config(config: ImageConfig) -> Config {
    Config {
        user: config.user,
        exposed_ports: config.exposed_ports,
        env: config.env,
        cmd: config.cmd,
        healthcheck: config.healthcheck,
        args_escaped: config.args_escaped,
        volumes: config.volumes,
        working_dir: config.working_dir,
        entrypoint: config.entrypoint,
        on_build: config.on_build,
        labels: config.labels,
        stop_signal: config.stop_signal,
        shell: config.shell,
        ..Config::default()
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

/// Before 1.52 the disk usage was lists; before 1.44 its images had their sizes twice.
pub(super) fn disk_usage(usage: &mut DiskUsage, version: ApiVersion) {
    if let Some(list) = &mut usage.images {
        images(list, version);
    }
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

    #[test]
    fn an_image_has_the_config_of_its_version() {
        let inspect = ImageInspect { config: Some(ImageConfig::default()), ..Default::default() };
        let newest = image(inspect.clone(), ApiVersion::MAX);
        assert_eq!(newest["Config"], json!({}));
        assert!(newest.get("Parent").is_none());
        let old = image(inspect, ApiVersion::v1(41));
        assert_eq!(old["Config"]["Env"], json!(null));
        assert_eq!(old["Config"]["Tty"], json!(false));
        assert_eq!(old["ContainerConfig"]["Tty"], json!(false));
        assert_eq!(old["Parent"], json!(""));
    }
}
