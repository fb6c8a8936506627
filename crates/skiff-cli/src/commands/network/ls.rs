//! `network ls`: the networks.

use std::rc::Rc;

use skiff_api::{List, Network};

use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::container::ls::labels;
use crate::commands::format::FORMAT_HELP;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{Listing, local_time, parse_time, print_text, short_id};
use crate::template::{Object, Value};

static FLAGS: &[Flag] = &[
    Flag::filter().short('f'),
    Flag::text("format", FORMAT_HELP),
    Flag::switch("no-trunc", "Do not shorten"),
    Flag::switch("quiet", "Show IDs only").short('q'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["network ls", "network list"],
    usage: "[OPTIONS]",
    summary: "Show the networks there are",
    arity: Arity::None,
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Those that were made by hand", "network ls -f type=custom")],
    run,
};

const LISTING: Listing = Listing {
    table: "{{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}",
    heads: &[
        ("ID", "NETWORK ID"),
        ("Name", "NAME"),
        ("Driver", "DRIVER"),
        ("Scope", "SCOPE"),
        ("CreatedAt", "CREATED AT"),
        ("IPv4", "IPV4"),
        ("IPv6", "IPV6"),
        ("Internal", "INTERNAL"),
        ("Labels", "LABELS"),
    ],
};

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let query = Query::new("/networks").add_filters(flags.all("filter"));
    let networks: List<Network> = context.client()?.get_json(query)?;
    let mut networks = networks.into_vec();
    networks.sort_by(|a, b| a.name.cmp(&b.name));
    let whole = flags.on("no-trunc");
    let rows: Vec<Row> = networks.into_iter().map(|network| Row { network, whole }).collect();
    let format = flags.text("format");
    if flags.on("quiet") && format.is_empty() {
        print_text(&rows.iter().map(|row| row.id() + "\n").collect::<String>())?;
        return Ok(());
    }
    LISTING.print(format, rows.into_iter().map(|row| Rc::new(row) as Rc<dyn Object>).collect())
}

struct Row {
    network: Network,
    whole: bool,
}

impl Row {
    fn id(&self) -> String {
        if self.whole { self.network.id.clone() } else { short_id(&self.network.id) }
    }
}

impl Object for Row {
    fn field(&self, name: &str, args: &[Value]) -> Option<Value> {
        let network = &self.network;
        Some(Value::Text(match name {
            "ID" => self.id(),
            "Name" => network.name.clone(),
            "Driver" => network.driver.clone(),
            "Scope" => network.scope.clone(),
            "CreatedAt" => exact_time(&network.created),
            "IPv4" => network.enable_ipv4.to_string(),
            "IPv6" => network.enable_ipv6.to_string(),
            "Internal" => network.internal.to_string(),
            "Labels" => labels(&network.labels),
            "Label" => match args {
                [Value::Text(label)] => network.labels.get(label).cloned().unwrap_or_default(),
                _ => return None,
            },
            _ => return None,
        }))
    }

    fn fields(&self) -> &'static [&'static str] {
        &["CreatedAt", "Driver", "ID", "IPv4", "IPv6", "Internal", "Labels", "Name", "Scope"]
    }

    fn type_name(&self) -> &'static str {
        "*network.networkContext"
    }
}

/// The time of creation to the nanosecond, as far as it is known.
fn exact_time(text: &str) -> String {
    let Some(time) = parse_time(text) else { return String::new() };
    let whole = local_time(time.as_second());
    let fraction = format!("{:09}", time.subsec_nanosecond());
    match fraction.trim_end_matches('0') {
        "" => whole,
        digits => whole.replacen(" +", &format!(".{digits} +"), 1).replacen(
            " -",
            &format!(".{digits} -"),
            1,
        ),
    }
}
