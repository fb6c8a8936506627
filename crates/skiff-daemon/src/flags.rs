//! Command-line flags as Go's pflag reads them: `--name value`, `--name=value`, `-n value`,
//! `-nvalue`, `-n=value`, joined short booleans, `--` as the end.
//!
//! Which flags there are is the caller's table; what comes out are their values as text.

use std::collections::BTreeMap;
use std::ffi::OsString;

use thiserror::Error;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Nothing, or `=true` and `=false`.
    Bool,
    /// A number.
    Int,
    /// Any text.
    Text,
    /// Any text; may be given several times.
    List,
}

/// One flag.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    /// Its key in `daemon.json`; empty when it has none.
    pub(crate) key: &'static str,
    /// Shown by `--help`; empty hides it.
    pub(crate) help: &'static str,
}

/// Why a command line is refused; the texts are pflag's.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum FlagError {
    #[error("unknown flag: --{0}")]
    Unknown(String),
    #[error("unknown shorthand flag: '{short}' in -{group}")]
    UnknownShort { short: char, group: String },
    #[error("flag needs an argument: --{0}")]
    NeedsValue(&'static str),
    #[error("flag needs an argument: '{short}' in -{group}")]
    ShortNeedsValue { short: char, group: String },
    #[error("invalid argument {value:?} for \"{shown}\" flag: {reason}")]
    Invalid { value: String, shown: String, reason: String },
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    #[error("argument is not UTF-8: {0:?}")]
    Encoding(OsString),
}

/// What was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) values: BTreeMap<&'static str, Vec<String>>,
    pub(crate) arguments: Vec<String>,
}

/// Reads a command line.
pub(crate) fn parse(
    table: &'static [Flag],
    args: impl IntoIterator<Item = OsString>,
) -> Result<Given, FlagError> {
    let mut args = args.into_iter().map(|arg| arg.into_string().map_err(FlagError::Encoding));
    let mut given = Given::default();
    while let Some(arg) = args.next() {
        let arg = arg?;
        if arg == "--" {
            for rest in args.by_ref() {
                given.arguments.push(rest?);
            }
        } else if let Some(long) = arg.strip_prefix("--") {
            parse_long(table, long, &mut args, &mut given)?;
        } else if let Some(group) = arg.strip_prefix('-').filter(|group| !group.is_empty()) {
            parse_short(table, group, &mut args, &mut given)?;
        } else {
            given.arguments.push(arg);
        }
    }
    Ok(given)
}

type Next<'a> = &'a mut dyn Iterator<Item = Result<String, FlagError>>;

fn parse_long(
    table: &'static [Flag],
    text: &str,
    args: Next<'_>,
    given: &mut Given,
) -> Result<(), FlagError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() || name.starts_with('-') {
        return Err(FlagError::Syntax(format!("--{text}")));
    }
    let flag = table
        .iter()
        .find(|flag| flag.name == name)
        .ok_or_else(|| FlagError::Unknown(name.to_owned()))?;
    let value = match value {
        Some(value) => value,
        None if flag.takes == Takes::Bool => "true".to_owned(),
        None => args.next().transpose()?.ok_or(FlagError::NeedsValue(flag.name))?,
    };
    put(flag, value, given)
}

fn parse_short(
    table: &'static [Flag],
    group: &str,
    args: Next<'_>,
    given: &mut Given,
) -> Result<(), FlagError> {
    let mut rest = group.chars();
    while let Some(short) = rest.next() {
        let flag = table
            .iter()
            .find(|flag| flag.short == Some(short))
            .ok_or_else(|| FlagError::UnknownShort { short, group: group.to_owned() })?;
        let left = rest.as_str();
        let value = match left.strip_prefix('=') {
            Some(value) => value.to_owned(),
            None if flag.takes == Takes::Bool => {
                put(flag, "true".to_owned(), given)?;
                continue;
            }
            None if !left.is_empty() => left.to_owned(),
            None => args
                .next()
                .transpose()?
                .ok_or_else(|| FlagError::ShortNeedsValue { short, group: group.to_owned() })?,
        };
        return put(flag, value, given);
    }
    Ok(())
}

fn put(flag: &'static Flag, value: String, given: &mut Given) -> Result<(), FlagError> {
    let invalid = |value: &str, reason: String| {
        let shown = match flag.short {
            Some(short) => format!("-{short}, --{}", flag.name),
            None => format!("--{}", flag.name),
        };
        FlagError::Invalid { value: value.to_owned(), shown, reason }
    };
    let value = match flag.takes {
        Takes::Bool => match parse_bool(&value) {
            Some(value) => value.to_string(),
            None => {
                let reason = format!("strconv.ParseBool: parsing {value:?}: invalid syntax");
                return Err(invalid(&value, reason));
            }
        },
        Takes::Int if value.parse::<i64>().is_err() => {
            let reason = format!("strconv.ParseInt: parsing {value:?}: invalid syntax");
            return Err(invalid(&value, reason));
        }
        Takes::Int | Takes::Text | Takes::List => value,
    };
    let values = given.values.entry(flag.name).or_default();
    if flag.takes != Takes::List {
        values.clear();
    }
    values.push(value);
    Ok(())
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static TABLE: [Flag; 5] = [
        Flag { name: "host", short: Some('H'), takes: Takes::List, key: "hosts", help: "" },
        Flag { name: "debug", short: Some('D'), takes: Takes::Bool, key: "debug", help: "" },
        Flag { name: "quick", short: Some('q'), takes: Takes::Bool, key: "", help: "" },
        Flag { name: "level", short: Some('l'), takes: Takes::Text, key: "level", help: "" },
        Flag { name: "count", short: None, takes: Takes::Int, key: "", help: "" },
    ];

    fn read(line: &str) -> Result<Given, FlagError> {
        parse(&TABLE, line.split(' ').filter(|arg| !arg.is_empty()).map(OsString::from))
    }

    #[test]
    fn every_way_to_give_a_value_works() {
        for (line, name, expect) in [
            ("--host a --host=b -H c -Hd -H=e", "host", vec!["a", "b", "c", "d", "e"]),
            ("-D", "debug", vec!["true"]),
            ("--debug=false", "debug", vec!["false"]),
            ("-D=0", "debug", vec!["false"]),
            ("-Dql debug", "level", vec!["debug"]),
            ("-Dqldebug", "level", vec!["debug"]),
            ("--level a --level b", "level", vec!["b"]),
            ("--level=", "level", vec![""]),
            ("--count -5", "count", vec!["-5"]),
        ] {
            assert_eq!(read(line).unwrap().values[name], expect, "{line}");
        }
        assert_eq!(read("a - -- -D").unwrap().arguments, ["a", "-", "-D"]);
    }

    #[test]
    fn refusals_are_those_of_pflag() {
        for (line, expect) in [
            ("--nope", "unknown flag: --nope"),
            ("--nope=1", "unknown flag: --nope"),
            ("-Dx", "unknown shorthand flag: 'x' in -Dx"),
            ("--host", "flag needs an argument: --host"),
            ("-DH", "flag needs an argument: 'H' in -DH"),
            (
                "--debug=maybe",
                "invalid argument \"maybe\" for \"-D, --debug\" flag: strconv.ParseBool: parsing \
                 \"maybe\": invalid syntax",
            ),
            (
                "--count x",
                "invalid argument \"x\" for \"--count\" flag: strconv.ParseInt: parsing \"x\": \
                 invalid syntax",
            ),
            ("--=x", "bad flag syntax: --=x"),
        ] {
            assert_eq!(read(line).unwrap_err().to_string(), expect, "{line}");
        }
    }
}
