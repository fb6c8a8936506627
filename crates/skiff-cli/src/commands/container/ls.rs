//! `ps`: the containers and what they are doing.

use std::rc::Rc;

use skiff_api::ContainerSummary;
use skiff_model::size::human_size_with_precision;

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::format::{FORMAT_HELP, ports};
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{Listing, created_ago, local_time, print_text, short_id, truncate_text};
use crate::template::{MissingKey, Object, Template, Value};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show stopped ones too").short('a'),
    Flag::filter().short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::integer("last", "Show the last n created, running or not").short('n').default("-1"),
    Flag::switch("latest", "Show the last created one, running or not").short('l'),
    Flag::switch("no-trunc", "Do not shorten"),
    Flag::switch("quiet", "Show IDs only").short('q'),
    Flag::switch("size", "Show how much they have written").short('s'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["container ls", "container list", "container ps", "ps"],
    usage: "[OPTIONS]",
    summary: "Show containers, all or those that run",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[
        ("Names and states of all of them", "ps -a --format 'table {{.Names}}\\t{{.Status}}'"),
        ("IDs of those that failed", "ps -aq --filter status=exited --filter exited=1"),
    ],
    run,
};

const TABLE: &str = "{{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t\
                     {{.Ports}}\\t{{.Names}}";
const TABLE_SIZED: &str = "{{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t\
                           {{.Ports}}\\t{{.Names}}\\t{{.Size}}";

const HEADS: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let format = flags.text("format").to_owned();
    try_template(&format)?;
    let last = if flags.on("latest") { 1 } else { flags.integer("last") };
    // A template that shows sizes needs them measured.
    let sized = flags.on("size") || format.contains(".Size") || format.contains("json .}");
    let path = Query::new("/containers/json")
        .add_switch("all", flags.on("all"))
        .add_given("limit", &if last > 0 { last.to_string() } else { String::new() })
        .add_switch("size", sized)
        .add_filters(flags.all("filter"));
    let response = context.client()?.get(path)?;
    let whole = flags.on("no-trunc");
    if flags.on("quiet") && (format.is_empty() || format == "table") {
        let mut lines = String::new();
        response.each(|c: ContainerSummary| {
            lines += &if whole { c.id } else { short_id(&c.id) };
            lines.push('\n');
            Ok::<_, Failure>(())
        })??;
        print_text(&lines)?;
        return Ok(());
    }
    let default = match context.config().text("psFormat") {
        Some(configured) if format.is_empty() => configured,
        _ => format,
    };
    let table = if flags.on("size") { TABLE_SIZED } else { TABLE };
    let mut lines = Listing { table, heads: HEADS }.lines(&default)?;
    response.each(|container| lines.push(Rc::new(Row { container, whole })))??;
    print_text(&lines.finish())?;
    Ok(())
}

/// Docker tries the template before it asks (it wants to know whether sizes are shown), so a wrong
/// one is an error even when there is nothing to list.
fn try_template(format: &str) -> Result<(), Failure> {
    let template = Template::parse(format)
        .map_err(|error| Failure::new(format!("failed to parse template: {error}")))?;
    let nothing = Row { container: ContainerSummary::default(), whole: false };
    template
        .execute(&Value::Object(Rc::new(nothing)), MissingKey::NoValue)
        .map_err(|error| Failure::new(format!("failed to execute template: {error}")))?;
    Ok(())
}

/// A container as a row.
pub(crate) struct Row {
    pub(crate) container: ContainerSummary,
    pub(crate) whole: bool,
}

impl Object for Row {
    fn field(&self, name: &str, args: &[Value]) -> Option<Value> {
        let container = &self.container;
        let text = match name {
            "ID" if self.whole => container.id.clone(),
            "ID" => short_id(&container.id),
            "Names" => names(container, self.whole),
            "Image" => self.image(),
            "Command" => {
                let command = if self.whole {
                    container.command.clone()
                } else {
                    truncate_text(&container.command, 20)
                };
                format!("{command:?}")
            }
            "CreatedAt" => local_time(container.created),
            "RunningFor" => created_ago(container.created),
            "Ports" => ports(&container.ports),
            "State" => container.state.clone(),
            "Status" => container.status.clone(),
            "Size" => size(container),
            "Labels" => labels(&container.labels),
            "Label" => match args {
                [Value::Text(label)] => container.labels.get(label).cloned().unwrap_or_default(),
                _ => return None,
            },
            "Mounts" => self.mounts(),
            "LocalVolumes" => {
                container.mounts.iter().filter(|m| m.driver == "local").count().to_string()
            }
            "Networks" => {
                let networks = container.network_settings.iter().flat_map(|n| n.networks.keys());
                networks.cloned().collect::<Vec<_>>().join(",")
            }
            "Platform" => return Some(self.platform()),
            _ => return None,
        };
        Some(Value::Text(text))
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "Command",
            "CreatedAt",
            "ID",
            "Image",
            "Labels",
            "LocalVolumes",
            "Mounts",
            "Names",
            "Networks",
            "Platform",
            "Ports",
            "RunningFor",
            "Size",
            "State",
            "Status",
        ]
    }

    fn type_name(&self) -> &'static str {
        "*formatter.ContainerContext"
    }
}

impl Row {
    fn image(&self) -> String {
        let image = &self.container.image;
        if image.is_empty() {
            return "<no image>".to_owned();
        }
        if self.whole {
            return image.clone();
        }
        // An image that lost its name is shown by its id, which may be shortened like one.
        let is_id = self.container.image_id.strip_prefix("sha256:");
        let bare = image.strip_prefix("sha256:").unwrap_or(image);
        if is_id.is_some_and(|id| id.starts_with(bare)) && bare.len() >= 12 {
            return short_id(bare);
        }
        match image.split_once('@') {
            Some((name, _)) if !name.is_empty() => name.to_owned(),
            _ => image.clone(),
        }
    }

    fn mounts(&self) -> String {
        let name = |mount: &skiff_api::MountPoint| {
            let name = if mount.name.is_empty() { &mount.source } else { &mount.name };
            if self.whole { name.clone() } else { truncate_text(name, 15) }
        };
        self.container.mounts.iter().map(name).collect::<Vec<_>>().join(",")
    }

    fn platform(&self) -> Value {
        let platform =
            self.container.image_manifest_descriptor.as_ref().and_then(|d| d.platform.as_ref());
        let Some(platform) = platform else { return Value::Nil };
        Value::Struct(vec![
            ("architecture".to_owned(), Value::text(platform.architecture.clone())),
            ("os".to_owned(), Value::text(platform.os.clone())),
        ])
    }
}

/// Names without their leading slash; names that other containers link to it by need `--no-trunc`.
fn names(container: &ContainerSummary, whole: bool) -> String {
    let bare = container.names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
    bare.filter(|name| whole || !name.contains('/')).collect::<Vec<_>>().join(",")
}

fn size(container: &ContainerSummary) -> String {
    let written = human_size_with_precision(container.size_rw.unwrap_or(0) as f64, 3);
    match container.size_root_fs {
        Some(total) if total > 0 => {
            format!("{written} (virtual {})", human_size_with_precision(total as f64, 3))
        }
        _ => written,
    }
}

/// `a=1,b=2`
pub(crate) fn labels(labels: &skiff_api::Map<String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
