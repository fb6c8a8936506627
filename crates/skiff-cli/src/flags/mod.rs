//! Flags as rows of a table, parsed with the rules of pflag (the parser of Docker's CLI).
//!
//! A [`Flag`] says how it is written, what kind of value it takes and what it is for; from that row
//! come parsing, the error texts and `--help`. Values are checked while parsing (so that a wrong
//! one is reported before anything happens) but kept as text; [`Matches`] turns them into types when
//! a command asks.

mod check;
mod help;
mod parse;

pub(crate) use check::{
    anything, limit, parse_boolean, parse_integer, parse_nano_cpus, uint16, uint64,
};
pub(crate) use help::{command_help, flag_table, usage_line};
pub(crate) use parse::parse;

/// How a value is checked; the message follows `invalid argument "x" for "--flag" flag: `.
pub(crate) type Check = fn(&str) -> Result<(), String>;

/// What a flag takes.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Present or not; `=false` turns it off.
    Bool,
    /// Any text.
    Text,
    /// A number that fits 64 bits.
    Integer,
    /// One value of a named type, checked.
    Checked(&'static str, Check),
    /// May be given repeatedly; every value is checked. The name is the type shown in help.
    Repeated(&'static str, Check),
    /// May be given repeatedly or with commas.
    Slice,
}

/// One flag of one command.
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    /// What an absent flag means, as text; empty for none.
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
    /// Accepted, but not shown.
    pub(crate) hidden: bool,
}

impl Flag {
    const fn new(long: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { long, short: None, kind, default: "", help, hidden: false }
    }

    /// A switch.
    pub(crate) const fn switch(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Bool, help)
    }

    /// A flag with any text.
    pub(crate) const fn text(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Text, help)
    }

    /// A flag with a number.
    pub(crate) const fn integer(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Integer, help)
    }

    /// A flag with one checked value.
    pub(crate) const fn checked(
        long: &'static str,
        name: &'static str,
        check: Check,
        help: &'static str,
    ) -> Self {
        Self::new(long, Kind::Checked(name, check), help)
    }

    /// A size in bytes.
    pub(crate) const fn bytes(long: &'static str, help: &'static str) -> Self {
        Self::checked(long, "bytes", check::bytes, help)
    }

    /// A duration in Go's notation.
    pub(crate) const fn duration(long: &'static str, help: &'static str) -> Self {
        Self::checked(long, "duration", check::duration, help)
    }

    /// A number of CPUs.
    pub(crate) const fn cpus(long: &'static str, help: &'static str) -> Self {
        Self::checked(long, "decimal", check::cpus, help)
    }

    /// A repeatable flag whose values are free.
    pub(crate) const fn list(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Repeated("list", check::anything), help)
    }

    /// A repeatable flag whose values are checked.
    pub(crate) const fn checked_list(
        long: &'static str,
        name: &'static str,
        check: Check,
        help: &'static str,
    ) -> Self {
        Self::new(long, Kind::Repeated(name, check), help)
    }

    /// A filter (`name=value`), repeatable.
    pub(crate) const fn filter() -> Self {
        Self::new(
            "filter",
            Kind::Repeated("filter", check::filter),
            "Show only what matches (\"name=value\")",
        )
    }

    /// A repeatable flag that also splits at commas.
    pub(crate) const fn slice(long: &'static str, help: &'static str) -> Self {
        Self::new(long, Kind::Slice, help)
    }

    /// Adds the one-letter form.
    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.short = Some(letter);
        self
    }

    /// Adds the value of the absent flag.
    pub(crate) const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// Accepts the flag without showing it.
    pub(crate) const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The flag as pflag's messages name it: `-m, --memory`.
    fn display(&self) -> String {
        match self.short {
            Some(letter) => format!("-{letter}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }

    /// Checks one value; the error is a whole message.
    fn check(&self, value: &str) -> Result<(), String> {
        let result = match self.kind {
            Kind::Bool => check::parse_boolean(value).map(|_| ()),
            Kind::Integer => parse_integer(value).map(|_| ()),
            Kind::Checked(_, check) | Kind::Repeated(_, check) => check(value),
            Kind::Text | Kind::Slice => Ok(()),
        };
        result.map_err(|reason| {
            format!("invalid argument {value:?} for {:?} flag: {reason}", self.display())
        })
    }
}

/// The rows a command takes; `run` and `create` share most of theirs, hence groups.
pub(crate) type FlagGroups = &'static [&'static [Flag]];

/// Finds a row by its long name.
pub(crate) fn find_long(groups: FlagGroups, long: &str) -> Option<&'static Flag> {
    groups.iter().flat_map(|group| group.iter()).find(|flag| flag.long == long)
}

/// Finds a row by its letter.
pub(crate) fn find_short(groups: FlagGroups, letter: char) -> Option<&'static Flag> {
    groups.iter().flat_map(|group| group.iter()).find(|flag| flag.short == Some(letter))
}

/// What the user gave: checked values, and the arguments that are no flags.
pub(crate) struct Matches {
    pub(crate) groups: FlagGroups,
    pub(crate) values: Vec<(&'static Flag, String)>,
    pub(crate) args: Vec<String>,
    /// `--help` or `-h` was given.
    pub(crate) help: bool,
}

impl Matches {
    /// Whether the user gave the flag at all.
    pub(crate) fn is_set(&self, long: &str) -> bool {
        self.values.iter().any(|(flag, _)| flag.long == long)
    }

    /// The value of a flag that takes one, or its default.
    pub(crate) fn text(&self, long: &str) -> &str {
        if let Some((_, value)) = self.values.iter().rev().find(|(flag, _)| flag.long == long) {
            return value;
        }
        let row = find_long(self.groups, long);
        debug_assert!(row.is_some(), "no such flag: {long}");
        row.map_or("", |flag| flag.default)
    }

    /// The value if the user gave one.
    pub(crate) fn given(&self, long: &str) -> Option<&str> {
        self.is_set(long).then(|| self.text(long))
    }

    /// Whether a switch is on.
    pub(crate) fn on(&self, long: &str) -> bool {
        check::parse_boolean(self.text(long)).unwrap_or(false)
    }

    /// A number, 0 when absent and without default.
    pub(crate) fn integer(&self, long: &str) -> i64 {
        parse_integer(self.text(long)).unwrap_or(0)
    }

    /// A size in bytes; `-1` stays -1.
    pub(crate) fn bytes(&self, long: &str) -> i64 {
        check::parse_limit(self.text(long)).unwrap_or(0)
    }

    /// A duration in nanoseconds.
    pub(crate) fn duration(&self, long: &str) -> i64 {
        skiff_model::duration::parse_duration(self.text(long)).unwrap_or(0)
    }

    /// All values of a repeatable flag, in order.
    pub(crate) fn all<'a>(&'a self, long: &'a str) -> impl Iterator<Item = &'a str> {
        debug_assert!(find_long(self.groups, long).is_some(), "no such flag: {long}");
        self.values.iter().filter(move |(flag, _)| flag.long == long).map(|(_, value)| &**value)
    }

    /// All values of a repeatable flag, owned.
    pub(crate) fn list(&self, long: &str) -> Vec<String> {
        self.all(long).map(str::to_owned).collect()
    }
}
