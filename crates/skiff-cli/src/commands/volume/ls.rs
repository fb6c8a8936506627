//! `volume ls`: the volumes.

use std::rc::Rc;

use skiff_api::{Volume, VolumeListResponse};

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::container::ls::labels;
use crate::commands::format::FORMAT_HELP;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{Listing, print_text};
use crate::template::{Object, Value};

static FLAGS: &[Flag] = &[
    Flag::switch("cluster", "Show cluster volumes (there are none)").hidden(),
    Flag::filter().short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::switch("quiet", "Show names only").short('q'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["volume ls", "volume list"],
    usage: "[OPTIONS]",
    summary: "Show the volumes there are",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Those that no container uses", "volume ls -f dangling=true")],
    run,
};

const LISTING: Listing = Listing {
    table: "{{.Driver}}\\t{{.Name}}",
    heads: &[
        ("Name", "VOLUME NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Size", "SIZE"),
    ],
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let query = Query::new("/volumes").add_filters(flags.all("filter"));
    let answer: VolumeListResponse = context.client()?.get_json(query)?;
    let mut volumes = answer.volumes.into_vec();
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    let format = flags.text("format");
    if flags.on("quiet") && format.is_empty() {
        print_text(&volumes.iter().map(|volume| volume.name.clone() + "\n").collect::<String>())?;
        return Ok(());
    }
    LISTING.print(format, volumes.into_iter().map(|v| Rc::new(Row(v)) as Rc<dyn Object>).collect())
}

struct Row(Volume);

impl Object for Row {
    fn field(&self, name: &str, args: &[Value]) -> Option<Value> {
        let volume = &self.0;
        Some(Value::Text(match name {
            "Name" => volume.name.clone(),
            "Driver" => volume.driver.clone(),
            "Scope" => volume.scope.clone(),
            "Mountpoint" => volume.mountpoint.clone(),
            "Labels" => labels(&volume.labels),
            "Label" => match args {
                [Value::Text(label)] => volume.labels.get(label).cloned().unwrap_or_default(),
                _ => return None,
            },
            "Links" | "Size" | "Availability" | "Group" | "Status" => "N/A".to_owned(),
            _ => return None,
        }))
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "Availability",
            "Driver",
            "Group",
            "Labels",
            "Links",
            "Mountpoint",
            "Name",
            "Scope",
            "Size",
            "Status",
        ]
    }

    fn type_name(&self) -> &'static str {
        "*formatter.volumeContext"
    }
}
