//! Filters of `image ls` and `image prune`, pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use skiff_api::filters::{FilterError, Filters};
use skiff_model::reference::Reference;

use crate::{Error, Result};

pub(super) fn invalid(error: FilterError) -> Error {
    Error::invalid(error.to_string())
}

/// What filters look at.
pub(super) struct Facts<'a> {
    pub(super) tags: &'a [Reference],
    pub(super) digests: &'a [Reference],
    /// Unix seconds.
    pub(super) created: i64,
    pub(super) labels: &'a BTreeMap<String, String>,
    /// Other images were made from it.
    pub(super) has_children: bool,
}

/// The filters, read.
pub(super) struct ImageFilter<'a> {
    filters: &'a Filters,
    all: bool,
    dangling: Option<bool>,
    /// Created before and after these, in Unix seconds.
    pub(super) before: Option<i64>,
    pub(super) since: Option<i64>,
    until: Option<i64>,
}

impl<'a> ImageFilter<'a> {
    /// Reads filters; `before` and `since`, which name images, are the caller's.
    pub(super) fn new(filters: &'a Filters, all: bool, now: Timestamp) -> Result<Self> {
        let dangling = match filters.contains("dangling") {
            true => Some(filters.boolean("dangling", false).map_err(invalid)?),
            false => None,
        };
        let until = until(filters, now)?;
        Ok(ImageFilter { filters, all, dangling, before: None, since: None, until })
    }

    /// The tags to show, or `None` to leave the image out.
    pub(super) fn shown_tags(&self, facts: &Facts<'_>) -> Option<Vec<Reference>> {
        let in_time = self.before.is_none_or(|before| facts.created < before)
            && self.since.is_none_or(|since| facts.created > since)
            && self.until.is_none_or(|until| facts.created < until);
        if !in_time || !self.filters.accepts_labels(facts.labels) {
            return None;
        }
        let named = !facts.tags.is_empty() || !facts.digests.is_empty();
        let by_reference = self.filters.contains("reference");
        if !named {
            let shown =
                (self.all || !facts.has_children) && self.dangling != Some(false) && !by_reference;
            return shown.then(Vec::new);
        }
        if self.dangling == Some(true) {
            return None;
        }
        if !by_reference {
            return Some(facts.tags.to_vec());
        }
        let matches = |reference: &&Reference| {
            self.filters.values("reference").any(|pattern| is_match(pattern, reference))
        };
        let tags: Vec<Reference> = facts.tags.iter().filter(matches).cloned().collect();
        (!tags.is_empty() || facts.digests.iter().any(|digest| matches(&digest))).then_some(tags)
    }
}

/// `until` of a prune or list: the earliest of its values, in Unix seconds.
pub(super) fn until(filters: &Filters, now: Timestamp) -> Result<Option<i64>> {
    let mut values = filters.values("until");
    let Some(text) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::invalid("more than one until filter specified"));
    }
    skiff_api::timestamp::parse(text, now, &TimeZone::system())
        .map(|time| Some(time.as_second()))
        .map_err(|error| Error::invalid(error.to_string()))
}

/// Whether a reference, as a user writes it, or its name alone matches a glob.
fn is_match(pattern: &str, reference: &Reference) -> bool {
    glob(pattern.as_bytes(), reference.familiar().as_bytes())
        || glob(pattern.as_bytes(), reference.familiar_name().as_bytes())
}

/// Go's `path.Match`: `*` and `?` stop at slashes, `[a-z]` is a class, `\` quotes. What is no
/// pattern matches nothing.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => {
            let end = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
            (0..=end).any(|skipped| glob(rest, &text[skipped..]))
        }
        Some((b'[', rest)) => {
            let (Some((matched, rest)), Some((_, left))) =
                (class(rest, text.first().copied()), text.split_first())
            else {
                return false;
            };
            matched && glob(rest, left)
        }
        Some((&first, rest)) => {
            let Some((&byte, left)) = text.split_first() else { return false };
            match first {
                b'?' => byte != b'/' && glob(rest, left),
                b'\\' => rest
                    .split_first()
                    .is_some_and(|(&quoted, rest)| quoted == byte && glob(rest, left)),
                _ => first == byte && glob(rest, left),
            }
        }
    }
}

/// A class after its bracket: whether it takes the byte, and what follows it.
fn class(mut rest: &[u8], byte: Option<u8>) -> Option<(bool, &[u8])> {
    let byte = byte?;
    let negated = rest.first() == Some(&b'^');
    if negated {
        rest = &rest[1..];
    }
    let mut matched = false;
    let mut first = true;
    loop {
        let (&low, after) = rest.split_first()?;
        if low == b']' && !first {
            return Some((matched != negated, after));
        }
        first = false;
        let (low, after) = if low == b'\\' { (*after.first()?, &after[1..]) } else { (low, after) };
        let (high, after) = match after {
            [b'-', high, tail @ ..] if *high != b']' => (*high, tail),
            _ => (low, after),
        };
        matched |= (low..=high).contains(&byte);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_gos() {
        for (pattern, text, expect) in [
            ("busybox", "busybox", true),
            ("busy*", "busybox:latest", true),
            ("*", "a/b", false),
            ("*/*", "a/b", true),
            ("b?x", "box", true),
            ("b?x", "b/x", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[a-c", "b", false),
            (r"\*", "*", true),
            (r"\*", "a", false),
            ("*x*y", "axbxcy", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), expect, "{pattern} {text}");
        }
    }

    fn shown(
        filters: &[(&str, &str)],
        all: bool,
        tags: &[&str],
        children: bool,
    ) -> Option<Vec<String>> {
        let mut parsed = Filters::default();
        for (key, value) in filters {
            parsed.add(*key, *value);
        }
        let tags: Vec<Reference> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
        let labels = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        let facts = Facts {
            tags: &tags,
            digests: &[],
            created: 100,
            labels: &labels,
            has_children: children,
        };
        let now = Timestamp::from_second(1000).unwrap();
        let filter = ImageFilter::new(&parsed, all, now).unwrap();
        Some(filter.shown_tags(&facts)?.iter().map(Reference::familiar).collect())
    }

    #[test]
    fn filters_choose_images_and_their_tags() {
        let two = &["a:1", "b:1"][..];
        let both = Some(vec!["a:1".to_owned(), "b:1".to_owned()]);
        let untagged = Some(vec![]);
        for (filters, all, tags, children, expect) in [
            (&[][..], false, two, false, both.clone()),
            (&[], false, &[], false, untagged.clone()),
            (&[], false, &[], true, None),
            (&[], true, &[], true, untagged.clone()),
            (&[("dangling", "true")], false, two, false, None),
            (&[("dangling", "true")], false, &[], false, untagged.clone()),
            (&[("dangling", "false")], false, &[], false, None),
            (&[("reference", "a*")], false, two, false, Some(vec!["a:1".to_owned()])),
            (&[("reference", "a")], false, two, false, Some(vec!["a:1".to_owned()])),
            (&[("reference", "c")], false, two, false, None),
            (&[("reference", "*")], false, &[], false, None),
            (&[("label", "k=v")], false, two, false, both.clone()),
            (&[("label", "k=x")], false, two, false, None),
            (&[("label!", "k")], false, two, false, None),
            (&[("until", "101")], false, two, false, both.clone()),
            (&[("until", "100")], false, two, false, None),
            (&[("until", "10m")], false, two, false, both),
        ] {
            assert_eq!(shown(filters, all, tags, children), expect, "{filters:?} {all} {tags:?}");
        }
    }

    #[test]
    fn bad_values_are_refused() {
        for (key, value) in [("dangling", "maybe"), ("until", "soon")] {
            let mut filters = Filters::default();
            filters.add(key, value);
            assert!(ImageFilter::new(&filters, false, Timestamp::UNIX_EPOCH).is_err(), "{key}");
        }
    }
}
