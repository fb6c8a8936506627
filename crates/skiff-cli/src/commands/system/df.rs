//! `system df`: what takes space.

use std::rc::Rc;

use skiff_api::{ContainerSummary, ImageSummary, Volume};
use skiff_model::size::{human_size, human_size_with_precision};

use crate::command::{Arity, Command};
use crate::commands::container::ls;
use crate::commands::format::FORMAT_HELP;
use crate::commands::image;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{Listing, print_text};
use crate::template::{Object, Value};

static FLAGS: &[Flag] =
    &[Flag::text("format", FORMAT_HELP), Flag::switch("verbose", "Show each object").short('v')];

pub(crate) static COMMAND: Command = Command {
    paths: &["system df"],
    usage: "[OPTIONS]",
    summary: "Tell how much disk space images, containers and volumes take",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Which image is it?", "system df -v")],
    run,
};

const LISTING: Listing = Listing {
    table: "{{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}",
    heads: &[
        ("Type", "TYPE"),
        ("TotalCount", "TOTAL"),
        ("Active", "ACTIVE"),
        ("Size", "SIZE"),
        ("Reclaimable", "RECLAIMABLE"),
    ],
};

/// What the daemon answers, in the old form or the new.
struct Usage {
    images: Vec<ImageSummary>,
    containers: Vec<ContainerSummary>,
    volumes: Vec<Volume>,
    layers_size: i64,
    build_cache: (i64, i64),
}

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let client = context.client()?;
    // Since 1.52 the objects themselves are sent on request only.
    let path = if client.version()? >= (1, 52) { "/system/df?verbose=1" } else { "/system/df" };
    let answer: skiff_api::DiskUsage = client.get_json(path)?;
    let usage = usage(answer)?;
    let format = flags.text("format");
    if flags.on("verbose") {
        return verbose(usage);
    }
    let rows = summary(&usage).into_iter().map(|row| Rc::new(row) as Rc<dyn Object>).collect();
    LISTING.print(format, rows)
}

fn usage(answer: skiff_api::DiskUsage) -> Result<Usage, Failure> {
    fn items<T: serde::de::DeserializeOwned>(
        new: Option<&skiff_api::system::Usage>,
        old: Option<skiff_api::List<T>>,
    ) -> Result<Vec<T>, Failure> {
        let Some(new) = new else {
            return Ok(old.map_or_else(Vec::new, skiff_api::List::into_vec));
        };
        let read = |item: &serde_json::Value| serde_json::from_value(item.clone());
        new.items
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::new(error.to_string()))
    }
    let cache = answer.build_cache_usage.as_ref();
    Ok(Usage {
        layers_size: answer
            .image_usage
            .as_ref()
            .map_or(answer.layers_size.unwrap_or(0), |usage| usage.total_size),
        images: items(answer.image_usage.as_ref(), answer.images)?,
        containers: items(answer.container_usage.as_ref(), answer.containers)?,
        volumes: items(answer.volume_usage.as_ref(), answer.volumes)?,
        build_cache: cache.map_or((0, 0), |usage| (usage.total_count, usage.total_size)),
    })
}

fn is_active(container: &ContainerSummary) -> bool {
    ["running", "paused", "restarting"].contains(&container.state.as_str())
}

fn volume_size(volume: &Volume) -> i64 {
    volume.usage_data.as_ref().map_or(0, |usage| usage.size.max(0))
}

fn volume_links(volume: &Volume) -> i64 {
    volume.usage_data.as_ref().map_or(0, |usage| usage.ref_count)
}

fn summary(usage: &Usage) -> Vec<Row> {
    let used = |image: &&ImageSummary| image.containers > 0;
    let used_size: i64 = usage
        .images
        .iter()
        .filter(used)
        .filter(|image| image.size >= 0 && image.shared_size >= 0)
        .map(|image| image.size - image.shared_size)
        .sum();
    let size = |container: &ContainerSummary| container.size_rw.unwrap_or(0);
    let containers_size: i64 = usage.containers.iter().map(size).sum();
    let running_size: i64 = usage.containers.iter().filter(|c| is_active(c)).map(size).sum();
    let volumes_size: i64 = usage.volumes.iter().map(volume_size).sum();
    let unused_volumes: i64 =
        usage.volumes.iter().filter(|v| volume_links(v) == 0).map(volume_size).sum();
    vec![
        Row {
            kind: "Images",
            total: usage.images.len() as i64,
            active: usage.images.iter().filter(used).count() as i64,
            size: usage.layers_size,
            reclaimable: usage.layers_size - used_size,
        },
        Row {
            kind: "Containers",
            total: usage.containers.len() as i64,
            active: usage.containers.iter().filter(|c| is_active(c)).count() as i64,
            size: containers_size,
            reclaimable: containers_size - running_size,
        },
        Row {
            kind: "Local Volumes",
            total: usage.volumes.len() as i64,
            active: usage.volumes.iter().filter(|v| volume_links(v) > 0).count() as i64,
            size: volumes_size,
            reclaimable: unused_volumes,
        },
        Row {
            kind: "Build Cache",
            total: usage.build_cache.0,
            active: 0,
            size: usage.build_cache.1,
            reclaimable: usage.build_cache.1,
        },
    ]
}

struct Row {
    kind: &'static str,
    total: i64,
    active: i64,
    size: i64,
    reclaimable: i64,
}

impl Object for Row {
    fn field(&self, name: &str, _: &[Value]) -> Option<Value> {
        Some(Value::Text(match name {
            "Type" => self.kind.to_owned(),
            "TotalCount" => self.total.to_string(),
            "Active" => self.active.to_string(),
            "Size" => human_size(self.size as f64),
            "Reclaimable" => {
                let text = human_size(self.reclaimable as f64);
                if self.size > 0 && self.kind != "Build Cache" {
                    format!("{text} ({}%)", self.reclaimable * 100 / self.size)
                } else {
                    text
                }
            }
            _ => return None,
        }))
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Active", "Reclaimable", "Size", "TotalCount", "Type"]
    }

    fn type_name(&self) -> &'static str {
        match self.kind {
            "Images" => "*formatter.diskUsageImagesContext",
            "Containers" => "*formatter.diskUsageContainersContext",
            "Local Volumes" => "*formatter.diskUsageVolumesContext",
            _ => "*formatter.diskUsageBuilderContext",
        }
    }
}

fn verbose(usage: Usage) -> Result<(), Failure> {
    let images = Listing {
        table: "{{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}\\t\
                {{.SharedSize}}\\t{{.UniqueSize}}\\t{{.Containers}}",
        heads: &[
            ("Repository", "REPOSITORY"),
            ("Tag", "TAG"),
            ("ID", "IMAGE ID"),
            ("CreatedSince", "CREATED"),
            ("Size", "SIZE"),
            ("SharedSize", "SHARED SIZE"),
            ("UniqueSize", "UNIQUE SIZE"),
            ("Containers", "CONTAINERS"),
        ],
    };
    let containers = Listing {
        table: "{{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.LocalVolumes}}\\t{{.Size}}\\t\
                {{.RunningFor}}\\t{{.Status}}\\t{{.Names}}",
        heads: &[
            ("ID", "CONTAINER ID"),
            ("Image", "IMAGE"),
            ("Command", "COMMAND"),
            ("LocalVolumes", "LOCAL VOLUMES"),
            ("Size", "SIZE"),
            ("RunningFor", "CREATED"),
            ("Status", "STATUS"),
            ("Names", "NAMES"),
        ],
    };
    let volumes = Listing {
        table: "{{.Name}}\\t{{.Links}}\\t{{.Size}}",
        heads: &[("Name", "VOLUME NAME"), ("Links", "LINKS"), ("Size", "SIZE")],
    };
    let image_rows = image::ls::rows(usage.images, false, false);
    let image_rows = image_rows.into_iter().map(|row| Rc::new(row) as Rc<dyn Object>).collect();
    let container_rows = usage.containers.into_iter().map(|mut container| {
        // The second size would only widen the column here.
        container.size_root_fs = None;
        Rc::new(ls::Row { container, whole: false }) as Rc<dyn Object>
    });
    let volume_rows =
        usage.volumes.into_iter().map(|volume| Rc::new(VolumeRow(volume)) as Rc<dyn Object>);
    let text = format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space \
         usage:\n\n{}\nBuild cache usage: {}\n\n",
        images.render("", image_rows)?,
        containers.render("", container_rows.collect())?,
        volumes.render("", volume_rows.collect())?,
        human_size(usage.build_cache.1 as f64),
    );
    print_text(&text)?;
    Ok(())
}

struct VolumeRow(Volume);

impl Object for VolumeRow {
    fn field(&self, name: &str, _: &[Value]) -> Option<Value> {
        Some(Value::Text(match name {
            "Name" => self.0.name.clone(),
            "Links" => volume_links(&self.0).to_string(),
            "Size" => human_size_with_precision(volume_size(&self.0) as f64, 4),
            _ => return None,
        }))
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Links", "Name", "Size"]
    }

    fn type_name(&self) -> &'static str {
        "*formatter.volumeContext"
    }
}
