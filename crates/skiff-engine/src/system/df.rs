//! `docker system df`: what images, containers and volumes take on disk.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use skiff_api::system::Usage;
use skiff_api::{ContainerSummary, DiskUsage, ImageSummary, List, Volume};

use crate::container::{self, Containers};
use crate::{Core, Error, Images, Result, image, volume};

/// What is asked for, and in which form.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskUsageOptions {
    pub types: DiskUsageTypes,
    /// List the objects, too (the old form always does).
    pub verbose: bool,
    /// The form before API 1.52: lists at the top level instead of sums.
    pub legacy: bool,
}

/// Kinds of objects.
#[derive(Debug, Clone, Copy)]
pub struct DiskUsageTypes {
    pub images: bool,
    pub containers: bool,
    pub volumes: bool,
    pub build_cache: bool,
}

impl Default for DiskUsageTypes {
    fn default() -> Self {
        Self { images: true, containers: true, volumes: true, build_cache: true }
    }
}

impl DiskUsageTypes {
    /// From the values of the query's `type`; none is all.
    ///
    /// # Errors
    /// For a kind there is not.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut types =
            Self { images: false, containers: false, volumes: false, build_cache: false };
        let mut any = false;
        for name in names {
            any = true;
            match name {
                "image" => types.images = true,
                "container" => types.containers = true,
                "volume" => types.volumes = true,
                "build-cache" => types.build_cache = true,
                _ => return Err(Error::invalid(format!("unknown object type: {name}"))),
            }
        }
        Ok(if any { types } else { Self::default() })
    }
}

pub(super) fn disk_usage(core: &Arc<Core>, options: &DiskUsageOptions) -> Result<DiskUsage> {
    let mut answer = DiskUsage::default();
    let types = options.types;
    if types.images {
        let (layers, images) = images(core)?;
        if options.legacy {
            answer.layers_size = Some(layers);
            answer.images = Some(images.into());
        } else {
            answer.image_usage = Some(image_usage(layers, images, options.verbose)?);
        }
    }
    if types.containers {
        let all = container::ListOptions { all: true, size: true, ..Default::default() };
        let containers = Containers(core.clone()).list(&all)?;
        if options.legacy {
            answer.containers = Some(containers.into());
        } else {
            answer.container_usage = Some(container_usage(containers, options.verbose)?);
        }
    }
    if types.volumes {
        let volumes = volume::disk_usage(core)?;
        if options.legacy {
            answer.volumes = Some(volumes.into());
        } else {
            answer.volume_usage = Some(volume_usage(volumes, options.verbose)?);
        }
    }
    if types.build_cache {
        // There is no builder yet.
        match options.legacy {
            true => answer.build_cache = Some(List::empty()),
            false => answer.build_cache_usage = Some(Usage::default()),
        }
    }
    Ok(answer)
}

/// Bytes of all layers, and the images with shared sizes and numbers of containers.
fn images(core: &Arc<Core>) -> Result<(i64, Vec<ImageSummary>)> {
    let mut users: HashMap<String, i64> = HashMap::new();
    for container in core.containers.all() {
        *users.entry(container.view().record.image_id.clone()).or_default() += 1;
    }
    let options = image::ListOptions { shared_size: true, ..image::ListOptions::default() };
    let mut images = Images(core.clone()).list(&options)?;
    for image in &mut images {
        image.containers = users.get(&image.id).copied().unwrap_or(0);
    }
    Ok((core.store.usage()?.layers_size.cast_signed(), images))
}

fn items<T: Serialize>(objects: &[T], verbose: bool) -> Result<List<serde_json::Value>> {
    if !verbose {
        return Ok(List::default());
    }
    let values: Result<Vec<_>, _> = objects.iter().map(serde_json::to_value).collect();
    values.map(List::from).map_err(|error| Error::failed("encode disk usage", error))
}

fn image_usage(layers: i64, images: Vec<ImageSummary>, verbose: bool) -> Result<Usage> {
    let used = images.iter().filter(|image| image.containers > 0);
    let kept: i64 = used.clone().map(|image| image.size - image.shared_size.max(0)).sum();
    // Layers that used images share stay too; each counts once, so take the largest share.
    let shared = used.clone().map(|image| image.shared_size.max(0)).max().unwrap_or(0);
    Ok(Usage {
        active_count: used.count() as i64,
        items: items(&images, verbose)?,
        reclaimable: (layers - kept - shared).max(0),
        total_count: images.len() as i64,
        total_size: layers,
    })
}

fn container_usage(containers: Vec<ContainerSummary>, verbose: bool) -> Result<Usage> {
    let size = |container: &ContainerSummary| container.size_rw.unwrap_or(0);
    let is_active = |container: &&ContainerSummary| {
        matches!(&*container.state, "running" | "paused" | "restarting")
    };
    let total: i64 = containers.iter().map(size).sum();
    let kept: i64 = containers.iter().filter(is_active).map(size).sum();
    Ok(Usage {
        active_count: containers.iter().filter(is_active).count() as i64,
        items: items(&containers, verbose)?,
        reclaimable: total - kept,
        total_count: containers.len() as i64,
        total_size: total,
    })
}

fn volume_usage(volumes: Vec<Volume>, verbose: bool) -> Result<Usage> {
    let size = |volume: &Volume| volume.usage_data.as_ref().map_or(0, |usage| usage.size);
    let is_used =
        |volume: &&Volume| volume.usage_data.as_ref().is_some_and(|usage| usage.ref_count > 0);
    let total: i64 = volumes.iter().map(size).sum();
    let kept: i64 = volumes.iter().filter(is_used).map(size).sum();
    Ok(Usage {
        active_count: volumes.iter().filter(is_used).count() as i64,
        items: items(&volumes, verbose)?,
        reclaimable: total - kept,
        total_count: volumes.len() as i64,
        total_size: total,
    })
}

#[cfg(test)]
mod tests {
    use skiff_api::volume::VolumeUsage;

    use super::*;

    #[test]
    fn kinds_are_chosen_by_name() {
        let parse = |names: &[&str]| DiskUsageTypes::parse(names.iter().copied());
        assert!(parse(&[]).unwrap().build_cache);
        let types = parse(&["image", "volume"]).unwrap();
        assert!(types.images && types.volumes && !types.containers && !types.build_cache);
        assert_eq!(parse(&["nope"]).unwrap_err().to_string(), "unknown object type: nope");
    }

    #[test]
    fn what_nobody_uses_is_reclaimable() {
        let volume = |size, ref_count| Volume {
            usage_data: Some(VolumeUsage { ref_count, size }),
            ..Volume::default()
        };
        let usage = volume_usage(vec![volume(10, 1), volume(5, 0)], false).unwrap();
        assert_eq!((usage.total_size, usage.reclaimable, usage.active_count), (15, 5, 1));
        assert!(usage.items.is_null());
        let image = |size, shared_size, containers| ImageSummary {
            size,
            shared_size,
            containers,
            ..ImageSummary::default()
        };
        let usage = image_usage(25, vec![image(15, 5, 1), image(15, 5, 0)], true).unwrap();
        assert_eq!((usage.total_size, usage.reclaimable, usage.total_count), (25, 10, 2));
        assert_eq!(usage.items.len(), 2);
    }
}
