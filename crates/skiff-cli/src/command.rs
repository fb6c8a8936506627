//! What a command is: its names, its flags, its arguments and the function behind it.
//!
//! Commands are rows of one table (`commands::TABLE`). A row's `paths` are all the ways to call it
//! (`container ls`, `ps`); groups (`container`) are nothing but the first words of paths.

use crate::context::Context;
use crate::failure::Failure;
use crate::flags::{FlagGroups, Matches};

/// How many arguments a command takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arity {
    /// None at all.
    None,
    /// Exactly so many.
    Exactly(usize),
    /// So many or more.
    AtLeast(usize),
    /// So many or fewer.
    AtMost(usize),
    /// Between the two, inclusive.
    Range(usize, usize),
    /// Any number.
    Any,
}

impl Arity {
    /// Checks a number of arguments; the error says what is required, in Docker's words.
    fn check(self, count: usize) -> Result<(), String> {
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        let wanted = match self {
            Self::None if count > 0 => "accepts no arguments".to_owned(),
            Self::Exactly(n) if count != n => format!("requires {n} {}", plural(n)),
            Self::AtLeast(n) if count < n => format!("requires at least {n} {}", plural(n)),
            Self::AtMost(n) if count > n => format!("requires at most {n} {}", plural(n)),
            Self::Range(low, high) if !(low..=high).contains(&count) => {
                format!("requires at least {low} and at most {high} {}", plural(high))
            }
            _ => return Ok(()),
        };
        Err(wanted)
    }

    /// The message for a wrong number of arguments. Docker points to the help in two ways.
    pub(crate) fn violation(self, count: usize, called: &str, usage: &str) -> Option<String> {
        let wanted = self.check(count).err()?;
        let verb = if matches!(self, Self::AtLeast(_)) { "See" } else { "Run" };
        let program = called.split(' ').next().unwrap_or(called);
        Some(format!(
            "{program}: '{called}' {wanted}\n\n{usage}\n\n{verb} '{called} --help' for more \
             information"
        ))
    }
}

/// One command of the CLI.
pub(crate) struct Command {
    /// Every way to call it; the first is the full one.
    pub(crate) paths: &'static [&'static str],
    /// Options and arguments, as in the usage line.
    pub(crate) usage: &'static str,
    /// One sentence without a full stop.
    pub(crate) summary: &'static str,
    pub(crate) arity: Arity,
    pub(crate) flags: FlagGroups,
    /// Whether flags may follow arguments (not where the arguments are a command line).
    pub(crate) interspersed: bool,
    /// What for, and the command line without the program's name.
    pub(crate) examples: &'static [(&'static str, &'static str)],
    pub(crate) run: fn(&mut Context, &Matches) -> Result<(), Failure>,
}

impl Command {
    /// The path shown in messages: aliases inside a group are shown by the group's own name.
    pub(crate) fn shown_path(&self, called: &str) -> &'static str {
        let exact = self.paths.iter().find(|path| **path == called);
        match exact {
            Some(path) if !path.contains(' ') => path,
            _ => self.paths[0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_numbers_of_arguments_get_dockers_words() {
        for (arity, count, words) in [
            (Arity::None, 1, "accepts no arguments"),
            (Arity::Exactly(1), 0, "requires 1 argument"),
            (Arity::Exactly(2), 1, "requires 2 arguments"),
            (Arity::AtLeast(1), 0, "requires at least 1 argument"),
            (Arity::AtLeast(2), 1, "requires at least 2 arguments"),
            (Arity::AtMost(1), 2, "requires at most 1 argument"),
            (Arity::Range(1, 2), 3, "requires at least 1 and at most 2 arguments"),
        ] {
            assert_eq!(arity.check(count), Err(words.to_owned()));
        }
        assert_eq!(Arity::Any.check(9), Ok(()));
        assert_eq!(
            Arity::Exactly(1).violation(0, "docker logs", "Usage:  docker logs CONTAINER"),
            Some(
                "docker: 'docker logs' requires 1 argument\n\nUsage:  docker logs CONTAINER\n\n\
                 Run 'docker logs --help' for more information"
                    .to_owned()
            )
        );
    }
}
