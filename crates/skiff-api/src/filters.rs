//! The `filters` query parameter: `{"label":["a=b"],"status":["running"]}`, and its older form
//! `{"label":{"a=b":true}}`.
//!
//! Within one key any value may match, except for labels, of which all must; different keys must
//! all match. Which keys an endpoint knows is the endpoint's business: [`Filters::accept_only`].

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::pattern::Pattern;

/// Why filters are refused; the texts are Docker's.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FilterError {
    /// It is no JSON of either form.
    #[error("invalid filter")]
    Malformed,
    /// The endpoint has no such filter.
    #[error("invalid filter '{0}'")]
    Unknown(String),
    /// The filter does not take these values.
    #[error("invalid filter '{key}=[{}]'", values.join(" "))]
    Value { key: String, values: Vec<String> },
}

/// Values by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// Reads the query parameter; empty text is no filter.
    pub fn parse(text: &str) -> Result<Filters, FilterError> {
        if text.is_empty() {
            return Ok(Filters::default());
        }
        if let Ok(lists) = serde_json::from_str::<BTreeMap<String, Option<Vec<String>>>>(text) {
            return Ok(lists
                .into_iter()
                .map(|(key, values)| (key, values.unwrap_or_default()))
                .collect());
        }
        let sets: BTreeMap<String, Option<BTreeMap<String, bool>>> =
            serde_json::from_str(text).map_err(|_| FilterError::Malformed)?;
        Ok(sets
            .into_iter()
            .map(|(key, values)| (key, values.unwrap_or_default().into_keys().collect()))
            .collect())
    }

    /// Adds one value.
    pub fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.entry(key.into()).or_default().insert(value.into());
    }

    /// Takes one key out.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Says whether nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether the key is given at all.
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Says whether the key is given with exactly this value.
    pub fn has(&self, key: &str, value: &str) -> bool {
        self.0.get(key).is_some_and(|values| values.contains(value))
    }

    /// The values of a key, in order.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.get(key).into_iter().flatten().map(String::as_str)
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Fails for a key that is not in the list.
    pub fn accept_only(&self, known: &[&str]) -> Result<(), FilterError> {
        match self.0.keys().find(|key| !known.contains(&key.as_str())) {
            Some(key) => Err(FilterError::Unknown(key.clone())),
            None => Ok(()),
        }
    }

    fn given(&self, key: &str) -> Option<&BTreeSet<String>> {
        self.0.get(key).filter(|values| !values.is_empty())
    }

    /// Says whether `source` is one of the values, or there are none.
    pub fn matches_exactly(&self, key: &str, source: &str) -> bool {
        self.given(key).is_none_or(|values| values.contains(source))
    }

    /// Says whether `source` begins with one of the values, or there are none.
    pub fn matches_prefix(&self, key: &str, source: &str) -> bool {
        self.given(key)
            .is_none_or(|values| values.iter().any(|value| source.starts_with(value.as_str())))
    }

    /// Says whether one of the values, a regular expression, is found in `source`, or there are
    /// none. What is no expression never matches by pattern but does as plain text.
    pub fn matches_pattern(&self, key: &str, source: &str) -> bool {
        self.given(key).is_none_or(|values| {
            values.iter().any(|value| {
                source == value
                    || Pattern::parse(value).is_ok_and(|pattern| pattern.is_found_in(source))
            })
        })
    }

    /// Says whether all values, `key` or `key=value`, are found in `labels`, or there are none.
    pub fn matches_labels(&self, key: &str, labels: &BTreeMap<String, String>) -> bool {
        self.values(key).all(|wanted| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
            None => labels.contains_key(wanted),
        })
    }

    /// Says whether `label` lets an object with these labels pass, and `label!` does not keep it
    /// out.
    pub fn accepts_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_labels("label", labels)
            && !(self.given("label!").is_some() && self.matches_labels("label!", labels))
    }

    /// The value of a yes-or-no filter.
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool, FilterError> {
        let Some(values) = self.given(key) else {
            return Ok(default);
        };
        let yes = values.contains("1") || values.contains("true");
        let no = values.contains("0") || values.contains("false");
        if yes == no {
            let values = values.iter().cloned().collect();
            return Err(FilterError::Value { key: key.to_owned(), values });
        }
        Ok(yes)
    }

    /// Writes the query parameter; empty when nothing is filtered.
    pub fn to_query(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        serde_json::to_string(&self.0).expect("a map of strings is always JSON")
    }
}

impl FromIterator<(String, Vec<String>)> for Filters {
    fn from_iter<I: IntoIterator<Item = (String, Vec<String>)>>(iter: I) -> Self {
        Filters(iter.into_iter().map(|(k, v)| (k, v.into_iter().collect())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Filters {
        Filters::parse(text).unwrap()
    }

    #[test]
    fn both_forms_are_read() {
        let new = parse(r#"{"status":["exited","dead"],"label":null}"#);
        let old = parse(r#"{"status":{"exited":true,"dead":true},"label":{}}"#);
        assert_eq!(new, old);
        assert_eq!(new.values("status").collect::<Vec<_>>(), ["dead", "exited"]);
        assert!(parse("").is_empty());
        assert_eq!(new.to_query(), r#"{"label":[],"status":["dead","exited"]}"#);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in ["{", "[]", r#"{"a":"b"}"#, r#"{"a":[1]}"#, "x", r#"{"a":["b"]}}"#] {
            assert_eq!(Filters::parse(text), Err(FilterError::Malformed), "{text}");
        }
        let error = parse(r#"{"nope":["x"]}"#).accept_only(&["label"]).unwrap_err();
        assert_eq!(error.to_string(), "invalid filter 'nope'");
    }

    #[test]
    fn labels_must_all_match() {
        let labels: BTreeMap<String, String> =
            [("a", "1"), ("b", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for (text, expect) in [
            (r#"{}"#, true),
            (r#"{"label":["a"]}"#, true),
            (r#"{"label":["a=1","b"]}"#, true),
            (r#"{"label":["a=1","c"]}"#, false),
            (r#"{"label":["a=2"]}"#, false),
            (r#"{"label!":["a"]}"#, false),
            (r#"{"label!":["a=2"]}"#, true),
            (r#"{"label!":[]}"#, true),
        ] {
            assert_eq!(parse(text).accepts_labels(&labels), expect, "{text}");
        }
    }

    #[test]
    fn names_match_by_pattern() {
        for (value, source, expect) in [
            ("web", "/my-web-1", true),
            ("^/web$", "/web", true),
            ("^/web$", "/web1", false),
            ("w.b", "wob", true),
            ("[", "[", true),
            ("[", "a[", false),
        ] {
            let mut filters = Filters::default();
            filters.add("name", value);
            assert_eq!(filters.matches_pattern("name", source), expect, "{value} {source}");
        }
        assert!(Filters::default().matches_pattern("name", "x"));
    }

    #[test]
    fn a_boolean_is_one_of_four_words() {
        assert_eq!(parse(r#"{"dangling":["true"]}"#).boolean("dangling", false), Ok(true));
        assert_eq!(parse(r#"{"dangling":["0"]}"#).boolean("dangling", true), Ok(false));
        assert_eq!(parse("{}").boolean("dangling", true), Ok(true));
        for text in [r#"{"d":["x"]}"#, r#"{"d":["true","false"]}"#] {
            assert!(parse(text).boolean("d", true).is_err());
        }
    }
}
