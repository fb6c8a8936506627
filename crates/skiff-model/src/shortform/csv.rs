//! One record of comma separated values, with quoted fields, as `--mount` and `--network` take it.

use super::{Result, refuse};

/// Splits a record into its fields. A field may be quoted as a whole; `""` in it is a quote.
pub fn split_csv(record: &str) -> Result<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let field;
        (field, rest) = match rest.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted, record)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    refuse!("parse error on line 1: bare \" in non-quoted field");
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Ok(fields),
        }
    }
}

fn read_quoted<'a>(mut rest: &'a str, record: &str) -> Result<(String, &'a str)> {
    let mut field = String::new();
    loop {
        let Some(end) = rest.find('"') else {
            refuse!("parse error on line 1: extraneous or missing \" in quoted field: {record}");
        };
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None if rest.is_empty() || rest.starts_with(',') => return Ok((field, rest)),
            None => {
                refuse!("parse error on line 1: extraneous or missing \" in quoted field: {record}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_be_quoted() {
        assert_eq!(split_csv("a,b=c,").unwrap(), ["a", "b=c", ""]);
        assert_eq!(split_csv(r#""a,""b""",c"#).unwrap(), [r#"a,"b""#, "c"]);
        assert!(split_csv(r#"a"b"#).is_err());
        assert!(split_csv(r#""a"#).is_err());
        assert!(split_csv(r#""a"b"#).is_err());
    }
}
