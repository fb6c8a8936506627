//! Query strings and path components, percent-encoded.

use std::fmt::Write as _;

/// Encodes everything but unreserved characters, so that a name can never become a path.
pub(crate) fn encode_component(text: &str) -> String {
    encode(text, b"-_.~")
}

/// Encodes a name whose slashes stay as they are.
pub(crate) fn encode_path(text: &str) -> String {
    encode(text, b"-_.~/:@")
}

fn encode(text: &str, also_plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || also_plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Builds a path with a query.
pub(crate) struct Query {
    path: String,
    separator: char,
}

impl Query {
    /// Starts with a path that is used as it is.
    pub(crate) fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), separator: '?' }
    }

    /// Adds a parameter.
    #[must_use]
    pub(crate) fn add(mut self, name: &str, value: &str) -> Self {
        let _ = write!(self.path, "{}{name}={}", self.separator, encode(value, b"-_.~:/,"));
        self.separator = '&';
        self
    }

    /// Adds a parameter unless it is empty.
    #[must_use]
    pub(crate) fn add_given(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.add(name, value) }
    }

    /// Adds `name=1` when `on`.
    #[must_use]
    pub(crate) fn add_switch(self, name: &str, on: bool) -> Self {
        if on { self.add(name, "1") } else { self }
    }

    /// Adds `filters=` from `name=value` pairs, if there are any.
    #[must_use]
    pub(crate) fn add_filters<'a>(self, pairs: impl Iterator<Item = &'a str>) -> Self {
        let json = filters(pairs);
        if json == "{}" { self } else { self.add("filters", &json) }
    }

    /// The finished path.
    pub(crate) fn finish(self) -> String {
        self.path
    }
}

impl From<Query> for String {
    fn from(query: Query) -> Self {
        query.finish()
    }
}

/// Turns `name=value` pairs into the JSON the API wants: `{"name":{"value":true}}`.
fn filters<'a>(pairs: impl Iterator<Item = &'a str>) -> String {
    use std::collections::BTreeMap;
    let mut filters: BTreeMap<String, BTreeMap<&str, bool>> = BTreeMap::new();
    for pair in pairs {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let name = name.trim().to_lowercase();
        filters.entry(name).or_default().insert(value.trim(), true);
    }
    serde_json::to_string(&filters).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_escape_their_component() {
        assert_eq!(encode_component("../a b/c?x"), "..%2Fa%20b%2Fc%3Fx");
    }

    #[test]
    fn queries_are_built_in_order() {
        let query = Query::new("/x").add("a", "1 2").add_given("b", "").add_switch("c", true);
        assert_eq!(query.finish(), "/x?a=1%202&c=1");
    }

    #[test]
    fn filters_become_dockers_json() {
        let pairs = ["status=running", "Label=a=b", "status=exited"];
        assert_eq!(
            filters(pairs.into_iter()),
            r#"{"label":{"a=b":true},"status":{"exited":true,"running":true}}"#
        );
    }
}
