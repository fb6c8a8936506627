//! The half of the request that depends on the host: resources, mounts, namespaces, logs.

use std::collections::BTreeMap;

use skiff_api::{
    BindOptions, Config, DeviceMapping, DeviceRequest, Empty, HostConfig, ImageOptions, LogConfig,
    Map, Mount, MountDriver, PortBinding, Resources, RestartPolicy, ThrottleDevice, TmpfsOptions,
    Ulimit, VolumeOptions, WeightDevice,
};
use skiff_model::shortform::{self, MountSpec};

use super::{Result, network, security};
use crate::flags::{Matches, parse_nano_cpus};

/// Builds the host configuration. Ports are declared in `config` as well.
pub(super) fn build(
    flags: &Matches,
    config: &mut Config,
    binds: Vec<String>,
) -> Result<HostConfig> {
    let mut host = HostConfig {
        binds: list_or_null(binds),
        network_mode: network::mode(flags)?,
        resources: resources(flags)?,
        log_config: log_config(flags)?,
        restart_policy: restart_policy(flags.text("restart"))?,
        auto_remove: flags.on("rm"),
        mounts: mounts(flags)?.into(),
        ..HostConfig::default()
    };
    texts(flags, &mut host);
    lists(flags, &mut host)?;
    ports(flags, config, &mut host)?;
    security::apply(flags, &mut host)?;
    host.privileged = flags.on("privileged");
    host.publish_all_ports = flags.on("publish-all");
    host.readonly_rootfs = flags.on("read-only");
    host.oom_score_adj = flags.integer("oom-score-adj");
    host.shm_size = flags.bytes("shm-size");
    if flags.is_set("init") {
        host.init = Some(flags.on("init"));
    }
    if host.auto_remove && !matches!(&*host.restart_policy.name, "" | "no") {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    if flags.is_set("gpus") {
        return Err("--gpus comes with a later version of Skiff".to_owned());
    }
    if flags.on("use-api-socket") {
        api_socket(&mut host);
    }
    Ok(host)
}

fn list_or_null(list: Vec<String>) -> skiff_api::List<String> {
    if list.is_empty() { skiff_api::List::default() } else { list.into() }
}

fn texts(flags: &Matches, host: &mut HostConfig) {
    for (name, field) in [
        ("cidfile", &mut host.container_id_file),
        ("volume-driver", &mut host.volume_driver),
        ("cgroupns", &mut host.cgroupns_mode),
        ("ipc", &mut host.ipc_mode),
        ("pid", &mut host.pid_mode),
        ("uts", &mut host.uts_mode),
        ("userns", &mut host.userns_mode),
        ("runtime", &mut host.runtime),
        ("isolation", &mut host.isolation),
    ] {
        flags.text(name).clone_into(field);
    }
}

fn lists(flags: &Matches, host: &mut HostConfig) -> Result<()> {
    host.cap_add = list_or_null(flags.list("cap-add"));
    host.cap_drop = list_or_null(flags.list("cap-drop"));
    host.dns = flags.list("dns").into();
    host.dns_options = flags
        .all("dns-option")
        .chain(flags.all("dns-opt"))
        .map(str::to_owned)
        .collect::<Vec<_>>()
        .into();
    host.dns_search = flags.list("dns-search").into();
    host.group_add = list_or_null(flags.list("group-add"));
    host.links = list_or_null(flags.list("link"));
    host.volumes_from = list_or_null(flags.list("volumes-from"));
    let hosts: std::result::Result<Vec<_>, _> =
        flags.all("add-host").map(shortform::parse_extra_host).collect();
    host.extra_hosts = list_or_null(hosts.map_err(|error| error.to_string())?);
    host.sysctls = pairs(flags.all("sysctl"));
    host.annotations = pairs(flags.all("annotation"));
    let mut storage = BTreeMap::new();
    for option in flags.all("storage-opt") {
        let Some((key, value)) = option.split_once('=') else {
            return Err("invalid storage option".to_owned());
        };
        storage.insert(key.to_owned(), value.to_owned());
    }
    if !storage.is_empty() {
        host.storage_opt = storage.into();
    }
    let tmpfs: BTreeMap<String, String> = flags
        .all("tmpfs")
        .map(|text| text.split_once(':').unwrap_or((text, "")))
        .map(|(path, options)| (path.to_owned(), options.to_owned()))
        .collect();
    if !tmpfs.is_empty() {
        host.tmpfs = tmpfs.into();
    }
    Ok(())
}

fn pairs<'a>(values: impl Iterator<Item = &'a str>) -> Map<String> {
    let map: BTreeMap<String, String> = values
        .map(|text| text.split_once('=').unwrap_or((text, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    if map.is_empty() { Map::default() } else { map.into() }
}

fn resources(flags: &Matches) -> Result<Resources> {
    let swappiness = flags.integer("memory-swappiness");
    if swappiness != -1 && !(0..=100).contains(&swappiness) {
        return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
    }
    let mut resources = Resources {
        cpu_shares: flags.integer("cpu-shares"),
        memory: flags.bytes("memory"),
        memory_reservation: flags.bytes("memory-reservation"),
        memory_swap: flags.bytes("memory-swap"),
        memory_swappiness: (swappiness != -1).then_some(swappiness),
        nano_cpus: parse_nano_cpus(flags.text("cpus")).unwrap_or(0),
        cgroup_parent: flags.text("cgroup-parent").to_owned(),
        blkio_weight: flags.integer("blkio-weight") as u16,
        cpu_period: flags.integer("cpu-period"),
        cpu_quota: flags.integer("cpu-quota"),
        cpu_realtime_period: flags.integer("cpu-rt-period"),
        cpu_realtime_runtime: flags.integer("cpu-rt-runtime"),
        cpuset_cpus: flags.text("cpuset-cpus").to_owned(),
        cpuset_mems: flags.text("cpuset-mems").to_owned(),
        oom_kill_disable: flags.is_set("oom-kill-disable").then(|| flags.on("oom-kill-disable")),
        pids_limit: flags.is_set("pids-limit").then(|| flags.integer("pids-limit")),
        cpu_count: flags.integer("cpu-count"),
        cpu_percent: flags.integer("cpu-percent"),
        io_maximum_iops: flags.text("io-maxiops").parse().unwrap_or(0),
        io_maximum_bandwidth: flags.bytes("io-maxbandwidth").unsigned_abs(),
        ..Resources::default()
    };
    block_devices(flags, &mut resources)?;
    devices(flags, &mut resources)?;
    for text in flags.all("ulimit") {
        let limit = shortform::parse_ulimit(text).map_err(|error| error.to_string())?;
        resources.ulimits.retain(|other: &Ulimit| other.name != limit.name);
        resources.ulimits.push(Ulimit { name: limit.name, soft: limit.soft, hard: limit.hard });
    }
    resources.ulimits.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(resources)
}

fn block_devices(flags: &Matches, resources: &mut Resources) -> Result<()> {
    for text in flags.all("blkio-weight-device") {
        let device = shortform::parse_weight_device(text).map_err(|error| error.to_string())?;
        let device = WeightDevice { path: device.path, weight: device.weight };
        resources.blkio_weight_device.push(device);
    }
    type Parse = fn(&str) -> shortform::Result<shortform::ThrottleDevice>;
    let (bytes, operations): (Parse, Parse) =
        (shortform::parse_throttle_bps, shortform::parse_throttle_iops);
    for (name, parse, list) in [
        ("device-read-bps", bytes, &mut resources.blkio_device_read_bps),
        ("device-write-bps", bytes, &mut resources.blkio_device_write_bps),
        ("device-read-iops", operations, &mut resources.blkio_device_read_iops),
        ("device-write-iops", operations, &mut resources.blkio_device_write_iops),
    ] {
        for text in flags.all(name) {
            let device = parse(text).map_err(|error| error.to_string())?;
            list.push(ThrottleDevice { path: device.path, rate: device.rate });
        }
    }
    Ok(())
}

fn devices(flags: &Matches, resources: &mut Resources) -> Result<()> {
    let mut cdi = Vec::new();
    for text in flags.all("device") {
        if shortform::is_cdi_name(text) {
            cdi.push(text.to_owned());
            continue;
        }
        let device = shortform::parse_device(text).map_err(|error| error.to_string())?;
        resources.devices.push(DeviceMapping {
            path_on_host: device.on_host,
            path_in_container: device.in_container,
            cgroup_permissions: device.permissions,
        });
    }
    if !cdi.is_empty() {
        resources.device_requests.push(DeviceRequest {
            driver: "cdi".to_owned(),
            device_ids: cdi.into(),
            ..DeviceRequest::default()
        });
    }
    resources.device_cgroup_rules = list_or_null(flags.list("device-cgroup-rule"));
    Ok(())
}

fn log_config(flags: &Matches) -> Result<LogConfig> {
    let driver = flags.text("log-driver");
    if driver == "none" && flags.is_set("log-opt") {
        return Err("invalid logging opts for driver none".to_owned());
    }
    let config: BTreeMap<String, String> = flags
        .all("log-opt")
        .map(|text| text.split_once('=').unwrap_or((text, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    Ok(LogConfig { kind: driver.to_owned(), config: config.into() })
}

/// Reads `name[:retries]`.
pub(crate) fn restart_policy(text: &str) -> Result<RestartPolicy> {
    let (name, retries) = match text.split_once(':') {
        Some(("", _)) => {
            return Err("invalid restart policy format: no policy provided before colon".to_owned());
        }
        Some((name, retries)) => (name, retries),
        None => (text, ""),
    };
    let maximum_retry_count = match retries {
        "" => 0,
        number => number.parse().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })?,
    };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

fn mounts(flags: &Matches) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for text in flags.all("mount") {
        let spec = shortform::parse_mount(text).map_err(|error| error.to_string())?;
        mounts.push(mount(spec)?);
    }
    Ok(mounts)
}

fn mount(spec: MountSpec) -> Result<Mount> {
    let bind = spec.has_bind_options.then_some(BindOptions {
        propagation: spec.bind_propagation,
        non_recursive: spec.bind_non_recursive,
        create_mountpoint: spec.bind_create_source,
        read_only_non_recursive: spec.bind_read_only_non_recursive,
        read_only_force_recursive: spec.bind_read_only_force_recursive,
    });
    let driver = (!spec.volume_driver.is_empty() || !spec.volume_options.is_empty()).then(|| {
        MountDriver { name: spec.volume_driver, options: spec.volume_options.into_iter().collect() }
    });
    let volume = spec.has_volume_options.then(|| VolumeOptions {
        no_copy: spec.volume_no_copy,
        labels: spec.volume_labels.into_iter().collect(),
        subpath: spec.volume_subpath,
        driver_config: driver,
    });
    let image =
        (!spec.image_subpath.is_empty()).then_some(ImageOptions { subpath: spec.image_subpath });
    let tmpfs = (spec.tmpfs_size.is_some() || spec.tmpfs_mode.is_some()).then(|| TmpfsOptions {
        size_bytes: spec.tmpfs_size.unwrap_or(0),
        mode: spec.tmpfs_mode.unwrap_or(0),
        ..TmpfsOptions::default()
    });
    let source = if spec.kind == "bind" && spec.source.starts_with('.') {
        super::build::absolute(&spec.source)?
    } else {
        spec.source
    };
    Ok(Mount {
        kind: spec.kind,
        source,
        target: spec.target,
        read_only: spec.read_only,
        consistency: spec.consistency,
        bind_options: bind,
        volume_options: volume,
        image_options: image,
        tmpfs_options: tmpfs,
    })
}

fn ports(flags: &Matches, config: &mut Config, host: &mut HostConfig) -> Result<()> {
    let mut bindings: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
    for text in flags.all("publish") {
        for port in shortform::parse_published(text).map_err(|error| error.to_string())? {
            config.exposed_ports.insert(port.key(), Empty);
            let binding =
                PortBinding { host_ip: port.host_ip.clone(), host_port: port.host_port.clone() };
            bindings.entry(port.key()).or_default().push(binding);
        }
    }
    for text in flags.all("expose") {
        for key in shortform::parse_exposed(text).map_err(|error| error.to_string())? {
            config.exposed_ports.insert(key, Empty);
        }
    }
    host.port_bindings = bindings
        .into_iter()
        .map(|(key, list)| (key, list.into()))
        .collect::<BTreeMap<_, _>>()
        .into();
    Ok(())
}

/// The container gets the daemon's socket where clients look for it.
fn api_socket(host: &mut HostConfig) {
    let socket = crate::context::default_socket().to_string_lossy().into_owned();
    host.mounts.push(Mount {
        kind: "bind".to_owned(),
        source: socket,
        target: "/var/run/docker.sock".to_owned(),
        ..Mount::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_are_read() {
        let policy = restart_policy("on-failure:3").unwrap();
        assert_eq!((&*policy.name, policy.maximum_retry_count), ("on-failure", 3));
        assert!(restart_policy("on-failure:x").is_err());
        assert!(restart_policy(":3").is_err());
    }
}
