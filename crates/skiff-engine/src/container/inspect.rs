//! `docker inspect` of a container.

use std::sync::Arc;

use skiff_api::{
    ContainerInspect, ContainerState, DriverData, EndpointSettings, List, Map, MountPoint,
    NetworkSettings,
};

use super::record::{Paths, Record};
use super::registry::View;
use super::state::{Origin, State};
use super::{Containers, spec};
use crate::error::Result;
use crate::{Core, clock};

pub(super) fn inspect(core: &Arc<Core>, name: &str, size: bool) -> Result<ContainerInspect> {
    let container = core.containers.get(name)?;
    let view = container.view();
    let record = &view.record;
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let mut words = spec::arguments(&record.config).into_iter();
    let execs = core.execs.of_container(&record.id);
    let mut answer = ContainerInspect {
        id: record.id.clone(),
        created: clock::rfc3339(record.created),
        path: words.next().unwrap_or_default(),
        args: words.collect(),
        state: state(&view),
        image: record.image_id.clone(),
        resolv_conf_path: text(paths.resolv_conf()),
        hostname_path: text(paths.hostname()),
        hosts_path: text(paths.hosts()),
        log_path: match record.host_config.log_config.kind.as_str() {
            "json-file" | "local" => text(paths.log(&record.id)),
            _ => String::new(),
        },
        name: format!("/{}", record.name),
        restart_count: view.life.restart_count,
        driver: "overlay2".to_owned(),
        platform: record.platform.clone(),
        exec_ids: if execs.is_empty() { List::default() } else { execs.into() },
        host_config: record.host_config.clone(),
        graph_driver: Some(graph_driver(core, record, &paths)),
        mounts: visible_mounts(record),
        config: record.config.clone(),
        network_settings: networks(&view),
        ..ContainerInspect::default()
    };
    if size {
        let size = Containers(core.clone()).size(&record.id)?;
        answer.size_rw = Some(size.rw);
        answer.size_root_fs = Some(size.root_fs);
    }
    Ok(answer)
}

fn state(view: &View) -> ContainerState {
    let life = &view.life;
    let live = view.state.live();
    let restarting = matches!(view.state, State::Restarting | State::Starting(Origin::Restarting));
    ContainerState {
        status: view.state.status().to_owned(),
        running: view.state.is_active(),
        paused: matches!(view.state, State::Paused(_)),
        restarting,
        oom_killed: life.oom_killed,
        dead: view.state == State::Dead,
        pid: live.map_or(0, |live| i64::from(live.pid)),
        exit_code: i64::from(life.exit_code),
        error: life.error.clone(),
        started_at: clock::rfc3339(life.started_at),
        finished_at: clock::rfc3339(life.finished_at),
        health: view.health.as_deref().cloned(),
    }
}

/// Mount points as Docker shows them: those of `--tmpfs` are in the host configuration only.
pub(super) fn visible_mounts(record: &Record) -> Vec<MountPoint> {
    record
        .mounts
        .iter()
        .map(|mount| &mount.point)
        .filter(|point| !record.host_config.tmpfs.contains_key(&point.destination))
        .cloned()
        .collect()
}

fn graph_driver(core: &Core, record: &Record, paths: &Paths) -> DriverData {
    let mut data = Map::empty();
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    if let Ok(layers) = crate::archive::layers(core, record) {
        let lowers: Vec<String> = layers.into_iter().map(text).collect();
        data.insert("LowerDir".to_owned(), lowers.join(":"));
    }
    data.insert("MergedDir".to_owned(), text(paths.dir.join("merged")));
    data.insert("UpperDir".to_owned(), text(paths.upper()));
    data.insert("WorkDir".to_owned(), text(paths.work()));
    DriverData { data, name: "overlay2".to_owned() }
}

/// Whether a container has a network in which its ports could be published.
pub(super) fn has_ports(record: &Record) -> bool {
    let mode = record.host_config.network_mode.as_str();
    !matches!(mode, "none" | "host") && !mode.starts_with("container:")
}

/// The networks a container is in; there are only those without addresses yet.
pub(super) fn network_map(record: &Record) -> Map<EndpointSettings> {
    let mode = &record.host_config.network_mode;
    let mut networks = Map::empty();
    if !mode.starts_with("container:") && !mode.is_empty() {
        let wanted = record.networking.endpoints_config.get(mode).cloned().flatten();
        networks.insert(mode.clone(), wanted.unwrap_or_default());
    }
    networks
}

fn networks(view: &View) -> NetworkSettings {
    let record = &view.record;
    let mut ports = Map::empty();
    if view.state.live().is_some() && has_ports(record) {
        for key in record.config.exposed_ports.keys() {
            ports.insert(key.clone(), List::default());
        }
    }
    NetworkSettings { ports, networks: network_map(record), ..NetworkSettings::default() }
}
