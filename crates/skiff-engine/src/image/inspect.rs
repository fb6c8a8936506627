//! `docker image inspect`.

use std::path::PathBuf;

use skiff_api::{
    DriverData, HealthConfig, ImageConfig, ImageInspect, ImageMetadata, ImageRootFs, List, Map,
};
use skiff_model::image::{ContainerConfig, Healthcheck};

use super::list::references;
use super::resolve::{Resolved, resolve_for};
use crate::{Core, Result, clock};

pub(super) fn inspect(core: &Core, name: &str, platform: Option<&str>) -> Result<ImageInspect> {
    render(core, &resolve_for(core, name, platform)?)
}

fn render(core: &Core, found: &Resolved) -> Result<ImageInspect> {
    let (named, config) = (&found.named, &found.config);
    let image = &named.image;
    let extra = |key: &str| config.extra.get(key).and_then(|value| value.as_str());
    Ok(ImageInspect {
        id: image.id.to_string(),
        repo_tags: references(&named.tags),
        repo_digests: references(&named.digests),
        parent: Some(image.parent.map(|parent| parent.to_string()).unwrap_or_default()),
        comment: Some(config.comment.clone()),
        created: config.created.clone(),
        docker_version: Some(extra("docker_version").unwrap_or_default().to_owned()),
        author: Some(config.author.clone()),
        config: Some(to_api(&config.config)),
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        os_version: config.os_version.clone(),
        size: image.size.cast_signed(),
        graph_driver: Some(driver_data(&core.store.snapshots().chain(&image.diff_ids)?)),
        root_fs: ImageRootFs {
            kind: "layers".to_owned(),
            layers: image.diff_ids.iter().map(ToString::to_string).collect(),
        },
        metadata: ImageMetadata { last_tag_time: last_tag_time(image.last_tagged) },
        ..ImageInspect::default()
    })
}

fn last_tag_time(seconds: u64) -> String {
    clock::rfc3339(i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000_000))
}

/// Docker's view of layer directories, the topmost first.
fn driver_data(layers: &[PathBuf]) -> DriverData {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mut data = Vec::new();
    if let Some((top, lower)) = layers.split_first() {
        if !lower.is_empty() {
            let lower = lower.iter().map(text).collect::<Vec<_>>().join(":");
            data.push(("LowerDir".to_owned(), lower));
        }
        data.push(("UpperDir".to_owned(), text(top)));
    }
    DriverData { name: "overlay2".to_owned(), data: data.into_iter().collect() }
}

fn list(items: &[String]) -> List<String> {
    if items.is_empty() { List::default() } else { items.to_vec().into() }
}

/// The part of an image's config that is for containers, as the API shows it.
pub(crate) fn to_api(config: &ContainerConfig) -> ImageConfig {
    let set = |map: &std::collections::BTreeMap<String, skiff_model::image::Empty>| {
        let keys = map.keys().map(|key| (key.clone(), skiff_api::Empty));
        if map.is_empty() { Map::default() } else { keys.collect() }
    };
    let optional = |items: &Option<Vec<String>>| items.clone().map(List::from).unwrap_or_default();
    ImageConfig {
        user: config.user.clone(),
        exposed_ports: set(&config.exposed_ports),
        env: list(&config.env),
        entrypoint: optional(&config.entrypoint),
        cmd: optional(&config.cmd),
        volumes: set(&config.volumes),
        working_dir: config.working_dir.clone(),
        labels: match config.labels.is_empty() {
            true => Map::default(),
            false => Map::from(config.labels.clone()),
        },
        stop_signal: config.stop_signal.clone(),
        args_escaped: config.args_escaped,
        healthcheck: config.healthcheck.as_ref().map(health_to_api),
        on_build: list(&config.on_build),
        shell: optional(&config.shell),
    }
}

fn health_to_api(health: &Healthcheck) -> HealthConfig {
    HealthConfig {
        test: list(&health.test),
        interval: health.interval,
        timeout: health.timeout,
        start_period: health.start_period,
        start_interval: health.start_interval,
        retries: health.retries,
    }
}
