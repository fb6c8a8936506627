//! Go's text templates, as far as people use them in `--format` and `-f`.
//!
//! A template is parsed once ([`Template::parse`]) and executed for each row against a [`Value`].
//! Values print as Go prints them (`[a b]`, `map[k:v]`, `<no value>`, `true`), and errors read as
//! Go's do, because both end up in scripts. Not supported: methods of Go types and `call`.

mod exec;
mod functions;
mod parse;
mod printf;
mod value;

use std::collections::HashMap;

use parse::Node;
pub(crate) use value::{Object, Value};

/// A parsed template.
pub(crate) struct Template {
    source: String,
    root: Vec<Node>,
    /// Named templates (`define`).
    named: HashMap<String, Vec<Node>>,
}

/// What a missing key of a JSON object is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingKey {
    /// `<no value>`.
    NoValue,
    /// An error, unless the object is a map by nature.
    Error,
}

impl Template {
    /// Parses a template; the error is Go's.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let (root, named) = parse::parse(source)?;
        Ok(Self { source: source.to_owned(), root, named })
    }

    /// Executes the template with `dot` as its data.
    pub(crate) fn execute(&self, dot: &Value, missing: MissingKey) -> Result<String, String> {
        exec::execute(self, dot, missing, false)
    }

    /// Executes the template for a table's head, where functions leave their input as it is.
    pub(crate) fn execute_header(&self, dot: &Value) -> Result<String, String> {
        exec::execute(self, dot, MissingKey::NoValue, true)
    }
}

#[cfg(test)]
mod tests;
