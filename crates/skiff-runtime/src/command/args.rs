//! Flags as Go programs take them: `--name value`, `--name=value`, `-name value`, `-n value`.

use super::{CommandError, Result};

/// A flag that a verb knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    pub(super) name: &'static str,
    pub(super) short: &'static str,
    pub(super) takes_value: bool,
}

impl Flag {
    pub(super) const fn switch(name: &'static str) -> Self {
        Self { name, short: "", takes_value: false }
    }

    pub(super) const fn value(name: &'static str) -> Self {
        Self { name, short: "", takes_value: true }
    }

    pub(super) const fn short(self, short: &'static str) -> Self {
        Self { short, ..self }
    }
}

/// What was said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    values: Vec<(&'static str, String)>,
    /// What is not a flag.
    pub(super) rest: Vec<String>,
}

impl Parsed {
    /// The last value of a flag; an empty one counts as none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last().filter(|value| !value.is_empty())
    }

    /// All values of a flag that may be repeated.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let values = self.values.iter().filter(|(known, _)| *known == name);
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().into_iter()
    }

    /// Says whether a switch is on.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).last().is_some_and(|value| value != "false")
    }

    /// The value of a flag as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>> {
        let number = |value: &str| {
            value.parse().map_err(|_| {
                CommandError::new(format!("invalid value {value:?} for flag -{name}: parse error"))
            })
        };
        self.get(name).map(number).transpose()
    }

    /// The first argument, which most verbs have checked to be there: the container's id.
    pub(super) fn id(&self) -> &str {
        self.rest.first().map_or("", String::as_str)
    }
}

/// Separates flags from the rest. Unless they may be `anywhere`, flags end at the first argument.
pub(super) fn parse(flags: &'static [Flag], args: &[String], anywhere: bool) -> Result<Parsed> {
    let mut parsed = Parsed::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let Some(body) = arg.strip_prefix('-').filter(|body| !body.is_empty()) else {
            parsed.rest.push(arg.clone());
            if anywhere {
                continue;
            }
            break;
        };
        if arg == "--" {
            break;
        }
        let body = body.strip_prefix('-').unwrap_or(body);
        let (name, attached) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let known = flags.iter().chain(HELP).find(|flag| flag.name == name || flag.short == name);
        let flag = known
            .ok_or_else(|| CommandError::new(format!("flag provided but not defined: -{name}")))?;
        let value = match (attached, flag.takes_value) {
            (Some(value), _) => value,
            (None, false) => "true".to_owned(),
            (None, true) => args
                .next()
                .cloned()
                .ok_or_else(|| CommandError::new(format!("flag needs an argument: -{name}")))?,
        };
        parsed.values.push((flag.name, value));
    }
    parsed.rest.extend(args.cloned());
    Ok(parsed)
}

/// Every verb has this one.
const HELP: &[Flag] = &[Flag::switch("help").short("h")];

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[
        Flag::value("bundle").short("b"),
        Flag::switch("detach").short("d"),
        Flag::value("env").short("e"),
    ];

    fn parsed(line: &str, anywhere: bool) -> Result<Parsed> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(FLAGS, &args, anywhere)
    }

    #[test]
    fn every_form_of_a_flag_is_read() {
        for line in ["--bundle /x id", "--bundle=/x id", "-b /x id", "-bundle /x id", "-b=/x id"] {
            let parsed = parsed(line, false).unwrap();
            assert_eq!(parsed.get("bundle"), Some("/x"), "{line}");
            assert_eq!(parsed.rest, ["id"], "{line}");
        }
        let twice = parsed("-d --env A=1 -e B=2 id", false).unwrap();
        assert!(twice.has("detach"));
        assert_eq!(twice.all("env").collect::<Vec<_>>(), ["A=1", "B=2"]);
    }

    #[test]
    fn a_programs_own_flags_are_left_alone() {
        let parsed = parsed("-d id ls -l --color", false).unwrap();
        assert_eq!(parsed.rest, ["id", "ls", "-l", "--color"]);
    }

    #[test]
    fn flags_after_arguments_are_read_where_that_is_allowed() {
        let parsed = parsed("id -d -- -x", true).unwrap();
        assert!(parsed.has("detach"));
        assert_eq!(parsed.rest, ["id", "-x"]);
    }

    #[test]
    fn unknown_and_unfinished_flags_are_errors() {
        assert_eq!(
            parsed("--nope", false).unwrap_err().message,
            "flag provided but not defined: -nope"
        );
        assert_eq!(
            parsed("--bundle", false).unwrap_err().message,
            "flag needs an argument: -bundle"
        );
    }
}
