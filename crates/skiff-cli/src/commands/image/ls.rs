//! `images`: the images and their names.

use std::rc::Rc;

use skiff_api::{ImageSummary, List};
use skiff_model::reference::Reference;
use skiff_model::size::{human_size, human_size_with_precision};

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::format::FORMAT_HELP;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{Listing, Table, created_ago, local_time, print_text, short_id};
use crate::template::{Object, Value};

static FLAGS: &[Flag] = &[
    Flag::switch("all", "Show intermediate images too").short('a'),
    Flag::switch("digests", "Show digests"),
    Flag::filter().short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::switch("no-trunc", "Do not shorten"),
    Flag::switch("quiet", "Show IDs only").short('q'),
    Flag::switch("tree", "Show names below their images"),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image ls", "image list", "images"],
    usage: "[OPTIONS] [REPOSITORY[:TAG]]",
    summary: "Show the images there are",
    arity: Arity::AtMost(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Images without a name", "images --filter dangling=true")],
    run,
};

const TABLE: &str = "{{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";
const TABLE_DIGESTS: &str =
    "{{.Repository}}\\t{{.Tag}}\\t{{.Digest}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}";
const HEADS: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let reference = flags.args.first().map(|name| format!("reference={name}"));
    let filters = flags.all("filter").chain(reference.as_deref());
    let query = Query::new("/images/json")
        .add_switch("all", flags.on("all"))
        .add_switch("digests", flags.on("digests"))
        .add_filters(filters);
    let images: List<ImageSummary> = context.client()?.get_json(query)?;
    let images = images.into_vec();
    if flags.on("tree") {
        print_text(&tree(&images))?;
        return Ok(());
    }
    let whole = flags.on("no-trunc");
    let format = match context.config().text("imagesFormat") {
        Some(configured) if flags.text("format").is_empty() => configured,
        _ => flags.text("format").to_owned(),
    };
    let digests = flags.on("digests") || format.contains("{{.Digest}}");
    let rows = rows(images, digests, whole);
    if flags.on("quiet") && (flags.text("format").is_empty() || format == "table") {
        let text: String = rows.iter().map(|row| row.id() + "\n").collect();
        print_text(&text)?;
        return Ok(());
    }
    let table = if flags.on("digests") { TABLE_DIGESTS } else { TABLE };
    let rows = rows.into_iter().map(|row| Rc::new(row) as Rc<dyn Object>).collect();
    Listing { table, heads: HEADS }.print(&format, rows)
}

/// An image under one of its names.
pub(crate) struct Row {
    image: Rc<ImageSummary>,
    repository: String,
    tag: String,
    digest: String,
    whole: bool,
}

const NONE: &str = "<none>";

/// Makes a row for each name of each image.
pub(crate) fn rows(images: Vec<ImageSummary>, digests: bool, whole: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for image in images {
        let image = Rc::new(image);
        let row = |repository: &str, tag: &str, digest: &str| Row {
            image: image.clone(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
            whole,
        };
        let tags: Vec<Reference> = parse_all(&image.repo_tags);
        let known: Vec<Reference> = parse_all(&image.repo_digests);
        let before = rows.len();
        for tag in &tags {
            let name = tag.familiar_name();
            let label = tag.tag().unwrap_or(NONE);
            let mut matching = known
                .iter()
                .filter(|digest| digests && digest.familiar_name() == name)
                .filter_map(|digest| digest.digest().map(ToString::to_string))
                .peekable();
            if matching.peek().is_none() {
                rows.push(row(&name, label, NONE));
            }
            rows.extend(matching.map(|digest| row(&name, label, &digest)));
        }
        for digest in &known {
            let name = digest.familiar_name();
            if !tags.iter().any(|tag| tag.familiar_name() == name) {
                let text = digest.digest().map(ToString::to_string).unwrap_or_default();
                rows.push(row(&name, NONE, &text));
                if !digests {
                    break;
                }
            }
        }
        if rows.len() == before {
            rows.push(row(NONE, NONE, NONE));
        }
    }
    rows
}

fn parse_all(names: &[String]) -> Vec<Reference> {
    names
        .iter()
        .filter(|name| !name.starts_with(NONE))
        .filter_map(|name| Reference::parse_normalized(name).ok())
        .collect()
}

impl Row {
    fn id(&self) -> String {
        if self.whole { self.image.id.clone() } else { short_id(&self.image.id) }
    }
}

impl Object for Row {
    fn field(&self, name: &str, _: &[Value]) -> Option<Value> {
        let image = &self.image;
        let size = |bytes: i64| human_size_with_precision(bytes as f64, 3);
        let unless_unknown =
            |number: i64, text: String| if number == -1 { "N/A".to_owned() } else { text };
        Some(Value::Text(match name {
            "ID" => self.id(),
            "Repository" => self.repository.clone(),
            "Tag" => self.tag.clone(),
            "Digest" => self.digest.clone(),
            "CreatedSince" if image.created <= 0 => "N/A".to_owned(),
            "CreatedSince" => created_ago(image.created),
            "CreatedAt" => local_time(image.created),
            "Size" => size(image.size),
            "VirtualSize" => human_size(image.size as f64),
            "Containers" => unless_unknown(image.containers, image.containers.to_string()),
            "SharedSize" => unless_unknown(image.shared_size, size(image.shared_size)),
            "UniqueSize" => unless_unknown(image.shared_size, size(image.size - image.shared_size)),
            _ => return None,
        }))
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "Containers",
            "CreatedAt",
            "CreatedSince",
            "Digest",
            "ID",
            "Repository",
            "SharedSize",
            "Size",
            "Tag",
            "UniqueSize",
            "VirtualSize",
        ]
    }

    fn type_name(&self) -> &'static str {
        "*formatter.imageContext"
    }
}

/// Images with their names below them.
fn tree(images: &[ImageSummary]) -> String {
    let mut table = Table::new();
    table.row(&["IMAGE", "ID", "DISK USAGE", "CREATED"]);
    for image in images {
        let mut names = image.repo_tags.iter();
        let first = names.next().map_or("<untagged>", String::as_str);
        let size = human_size_with_precision(image.size as f64, 3);
        table.row(&[first, &short_id(&image.id), &size, &created_ago(image.created)]);
        for name in names {
            table.push(&format!("├─ {name}\t\t\t"));
        }
    }
    table.finish()
}
