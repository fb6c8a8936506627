//! The query string, read as Go reads forms: `+` is a space, the first of repeated keys counts.

use super::failure::Failure;

/// Decoded pairs in the order they were sent.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a raw query string apart; broken pairs are skipped, as Go does.
    pub(crate) fn parse(raw: &str) -> Query {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        Query(
            pairs
                .filter_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((percent_decode(key, true)?, percent_decode(value, true)?))
                })
                .collect(),
        )
    }

    /// The first value of a key, if there is one that is not empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next().filter(|value| !value.is_empty())
    }

    /// The first value of a key, or nothing.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// All values of a key.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Says whether the key is there at all, even empty.
    pub(crate) fn contains(&self, key: &str) -> bool {
        self.0.iter().any(|(name, _)| name == key)
    }

    /// A yes or no: everything is yes but nothing, `0`, `no`, `false` and `none`.
    pub(crate) fn flag(&self, key: &str) -> bool {
        !matches!(
            self.text(key).trim().to_ascii_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none"
        )
    }

    /// A yes or no with another default than no.
    pub(crate) fn flag_or(&self, key: &str, default: bool) -> bool {
        if self.contains(key) { self.flag(key) } else { default }
    }

    /// A number; `function` is the one of Go whose error text clients know.
    pub(crate) fn number(&self, key: &str, function: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.get(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            Failure::bad_request(format!("strconv.{function}: parsing {text:?}: invalid syntax"))
        })
    }
}

/// Decodes `%41`; `None` when a `%` is not followed by two hexadecimal digits or the result is no
/// UTF-8.
pub(crate) fn percent_decode(text: &str, form: bool) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            b'+' if form => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let query = Query::parse("a=1&b=x%20y+z&a=2&c&d=%zz&=e&&f=%E2%82%AC");
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.text("b"), "x y z");
        assert!(query.contains("c") && query.get("c").is_none());
        assert!(!query.contains("d"));
        assert_eq!(query.text("f"), "€");
    }

    #[test]
    fn flags_are_what_docker_takes_for_true() {
        let query = Query::parse("a=1&b=True&c=maybe&d=0&e=False&f=&g=none");
        for key in ["a", "b", "c"] {
            assert!(query.flag(key), "{key}");
        }
        for key in ["d", "e", "f", "g", "h"] {
            assert!(!query.flag(key), "{key}");
        }
        assert!(query.flag_or("h", true));
        assert!(!query.flag_or("f", true));
    }

    #[test]
    fn numbers_fail_in_the_words_of_go() {
        let query = Query::parse("t=abc&n=-5");
        assert_eq!(query.number("n", "Atoi").unwrap(), Some(-5));
        assert_eq!(query.number("x", "Atoi").unwrap(), None);
        let error = query.number("t", "Atoi").unwrap_err();
        assert_eq!(error.message, r#"strconv.Atoi: parsing "abc": invalid syntax"#);
    }
}
