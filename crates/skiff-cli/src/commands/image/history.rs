//! `history`: the steps in which an image was made.

use std::rc::Rc;

use skiff_api::{HistoryItem, List};
use skiff_model::size::human_size_with_precision;

use super::{path, platform_json};
use crate::client::Query;
use crate::command::{Arity, Command};
use crate::commands::format::FORMAT_HELP;
use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{Flag, Matches};
use crate::output::{Listing, created_ago, local_timestamp, print_text, short_id, truncate_text};
use crate::template::{Object, Value};

static FLAGS: &[Flag] = &[
    Flag::text("format", FORMAT_HELP),
    Flag::switch("human", "Sizes and times for people").short('H').default("true"),
    Flag::switch("no-trunc", "Do not shorten"),
    Flag::text("platform", "Platform to show: os[/arch[/variant]]"),
    Flag::switch("quiet", "Show IDs only").short('q'),
];

pub(crate) static COMMAND: Command = Command {
    paths: &["image history", "history"],
    usage: "[OPTIONS] IMAGE",
    summary: "Tell how an image was made, step by step",
    arity: Arity::Exactly(1),
    flags: &[FLAGS],
    interspersed: true,
    examples: &[("Whole commands", "history --no-trunc --format '{{.CreatedBy}}' web")],
    run,
};

const TABLE: &str = "{{.ID}}\\t{{.CreatedSince}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";
const TABLE_EXACT: &str = "{{.ID}}\\t{{.CreatedAt}}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}";
const HEADS: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

fn run(context: &mut Context, flags: &Matches) -> Result<(), Failure> {
    let platform = match flags.text("platform") {
        "" => String::new(),
        text => platform_json(text)?,
    };
    let query = Query::new(path(&flags.args[0], "/history")).add_given("platform", &platform);
    let steps: List<HistoryItem> = context.client()?.get_json(query)?;
    let whole = flags.on("no-trunc");
    let human = flags.on("human");
    let rows: Vec<Row> =
        steps.into_vec().into_iter().map(|step| Row { step, whole, human }).collect();
    let format = flags.text("format");
    if flags.on("quiet") && format.is_empty() {
        let text: String = rows.iter().map(|row| row.id() + "\n").collect();
        print_text(&text)?;
        return Ok(());
    }
    let table = if human { TABLE } else { TABLE_EXACT };
    Listing { table, heads: HEADS }
        .print(format, rows.into_iter().map(|row| Rc::new(row) as Rc<dyn Object>).collect())
}

struct Row {
    step: HistoryItem,
    whole: bool,
    human: bool,
}

impl Row {
    fn id(&self) -> String {
        if self.whole { self.step.id.clone() } else { short_id(&self.step.id) }
    }
}

impl Object for Row {
    fn field(&self, name: &str, _: &[Value]) -> Option<Value> {
        let step = &self.step;
        Some(Value::Text(match name {
            "ID" => self.id(),
            "CreatedAt" => local_timestamp(step.created.saturating_mul(1_000_000_000))
                .replace(".000000000", ""),
            "CreatedSince" if self.human => created_ago(step.created),
            "CreatedSince" => return self.field("CreatedAt", &[]),
            "CreatedBy" => {
                let command = step.created_by.replace('\t', " ");
                if self.whole { command } else { truncate_text(&command, 45) }
            }
            "Size" if self.human => human_size_with_precision(step.size as f64, 3),
            "Size" => step.size.to_string(),
            "Comment" => step.comment.clone(),
            _ => return None,
        }))
    }

    fn fields(&self) -> &'static [&'static str] {
        &["Comment", "CreatedAt", "CreatedBy", "CreatedSince", "ID", "Size"]
    }

    fn type_name(&self) -> &'static str {
        "*image.historyContext"
    }
}
