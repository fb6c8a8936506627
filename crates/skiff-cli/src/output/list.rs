//! Lists of rows under `--format`: the default table, `table TEMPLATE`, `json` or a template.

use std::rc::Rc;

use super::{Table, print_text};
use crate::failure::Failure;
use crate::template::{MissingKey, Object, Template, Value};

/// How a command's rows look by default.
pub(crate) struct Listing {
    /// The default columns, as a template.
    pub(crate) table: &'static str,
    /// Field names and the heads of their columns.
    pub(crate) heads: &'static [(&'static str, &'static str)],
}

/// The head of a table: fields are their heads, `.Label "a.b"` is `b`.
struct Head(&'static [(&'static str, &'static str)]);

impl Object for Head {
    fn field(&self, name: &str, args: &[Value]) -> Option<Value> {
        if let ("Label", [Value::Text(label)]) = (name, args) {
            let last = label.rsplit('.').next().unwrap_or(label);
            return Some(Value::Text(last.replace(['-', '_'], " ")));
        }
        let head = self.0.iter().find(|(field, _)| *field == name);
        Some(head.map_or(Value::Missing, |(_, head)| Value::text(*head)))
    }

    fn fields(&self) -> &'static [&'static str] {
        &[]
    }

    fn type_name(&self) -> &'static str {
        "map[string]string"
    }
}

impl Listing {
    /// Prints rows as the format says; an empty one is the default table.
    pub(crate) fn print(&self, format: &str, rows: Vec<Rc<dyn Object>>) -> Result<(), Failure> {
        print_text(&self.render(format, rows)?)?;
        Ok(())
    }

    /// What [`Listing::print`] prints.
    pub(crate) fn render(
        &self,
        format: &str,
        rows: Vec<Rc<dyn Object>>,
    ) -> Result<String, Failure> {
        let mut lines = self.lines(format)?;
        rows.into_iter().try_for_each(|row| lines.push(row))?;
        Ok(lines.finish())
    }

    /// Begins a list whose rows come one by one.
    pub(crate) fn lines(&self, format: &str) -> Result<Lines, Failure> {
        let (is_table, source) = match format {
            "" | "table" => (true, self.table),
            "json" => (false, "{{json .}}"),
            _ => match format.strip_prefix("table ") {
                Some(template) => (true, template),
                None => (false, format),
            },
        };
        let template = Template::parse(&unescape(source)).map_err(template_error)?;
        let mut text = Table::new();
        if is_table {
            let head = Value::Object(Rc::new(Head(self.heads)));
            text.push(&template.execute_header(&head).map_err(template_error)?);
        }
        Ok(Lines { template, is_table, text })
    }
}

/// The lines of a list under construction.
pub(crate) struct Lines {
    template: Template,
    is_table: bool,
    text: Table,
}

impl Lines {
    /// Adds a row.
    pub(crate) fn push(&mut self, row: Rc<dyn Object>) -> Result<(), Failure> {
        let line = self.template.execute(&Value::Object(row), MissingKey::NoValue);
        self.text.push(&line.map_err(template_error)?);
        Ok(())
    }

    /// The whole text.
    pub(crate) fn finish(self) -> String {
        if self.is_table { self.text.finish() } else { self.text.unaligned() }
    }
}

/// Formats one value (`version`, `info`) by a template or `json`.
pub(crate) fn print_one(format: &str, value: &Value) -> Result<(), Failure> {
    let source = if format == "json" { "{{json .}}" } else { format };
    let text = Template::parse(&unescape(source))
        .map_err(|error| Failure::with_code(64, format!("template parsing error: {error}")))?
        .execute(value, MissingKey::Error);
    // Docker ends the line whatever came of it.
    print_text(&(text.as_deref().unwrap_or_default().to_owned() + "\n"))?;
    text.map(drop).map_err(Failure::new)
}

fn template_error(error: String) -> Failure {
    Failure::new(format!("template parsing error: {error}"))
}

/// Shells make it hard to write a tab, so `\t` and `\n` are taken for what they mean.
fn unescape(source: &str) -> String {
    source.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n")
}
