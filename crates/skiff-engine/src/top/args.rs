//! The arguments of `ps` that choose columns. What they say about selection (`-e`, `a`, `x`) is
//! accepted and means nothing: the processes shown are always the container's.

use super::columns::{self, Column};
use crate::{Error, Result};

/// Columns of `ps -ef`.
const FULL: &str = "uid_name,pid,ppid,c,stime,tname,time,cmd";

/// What the options add up to.
#[derive(Default)]
struct Chosen {
    /// Of `-o` and its kin, in order.
    listed: Vec<Column>,
    full: bool,
    extra_full: bool,
    long: bool,
    jobs: bool,
    bsd: bool,
    bsd_user: bool,
    bsd_long: bool,
    bsd_jobs: bool,
    bsd_memory: bool,
}

/// The columns `ps` would show for these arguments.
pub(super) fn columns(ps_args: &str) -> Result<Vec<Column>> {
    let mut chosen = Chosen::default();
    let mut words = ps_args.split_ascii_whitespace();
    if ps_args.trim_ascii().is_empty() {
        chosen.full = true;
    }
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            chosen.long_option(long, &mut words)?;
        } else if let Some(letters) = word.strip_prefix('-') {
            chosen.letters(letters, &mut words, Chosen::dashed)?;
        } else {
            chosen.bsd = true;
            chosen.letters(word, &mut words, Chosen::bare)?;
        }
    }
    let columns = chosen.columns()?;
    if !columns.iter().any(Column::is_pid) {
        return Err(Error::internal("Couldn't find PID field in ps output"));
    }
    Ok(columns)
}

impl Chosen {
    fn long_option<'a>(
        &mut self,
        option: &'a str,
        words: &mut impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        match option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value))) {
            ("format", value) => {
                let list = value.or_else(|| words.next()).ok_or_else(missing_list)?;
                self.list(list)
            }
            ("no-headers" | "cols" | "columns" | "width", _) => Ok(()),
            _ => Err(Error::internal("ps: error: unknown gnu long option")),
        }
    }

    /// Goes through a word of single letters, the last of which may take the rest as a list.
    fn letters<'a>(
        &mut self,
        letters: &'a str,
        words: &mut impl Iterator<Item = &'a str>,
        option: fn(&mut Chosen, char) -> bool,
    ) -> Result<()> {
        for (at, letter) in letters.char_indices() {
            if letter == 'o' {
                let rest = &letters[at + 1..];
                let list = if rest.is_empty() { words.next() } else { Some(rest) };
                return self.list(list.ok_or_else(missing_list)?);
            }
            if !option(self, letter) {
                return Err(Error::internal(format!("ps: error: unsupported option {letter:?}")));
            }
        }
        Ok(())
    }

    fn dashed(&mut self, letter: char) -> bool {
        match letter {
            'f' => self.full = true,
            'F' => self.extra_full = true,
            'l' => self.long = true,
            'j' => self.jobs = true,
            'e' | 'A' | 'a' | 'd' | 'w' => {}
            _ => return false,
        }
        true
    }

    fn bare(&mut self, letter: char) -> bool {
        match letter {
            'u' => self.bsd_user = true,
            'l' => self.bsd_long = true,
            'j' => self.bsd_jobs = true,
            'v' => self.bsd_memory = true,
            'a' | 'x' | 'w' | 'g' => {}
            _ => return false,
        }
        true
    }

    fn list(&mut self, list: &str) -> Result<()> {
        for name in list.split(',').filter(|name| !name.is_empty()) {
            if name.contains('=') {
                return Err(Error::internal(format!("specifying {name:?} is not allowed")));
            }
            let found = columns::by_name(name).ok_or_else(|| {
                Error::internal(
                    "ps: error: unknown user-defined format specifier \"".to_owned() + name + "\"",
                )
            })?;
            self.listed.push(found);
        }
        Ok(())
    }

    fn columns(self) -> Result<Vec<Column>> {
        if !self.listed.is_empty() {
            return Ok(self.listed);
        }
        let names = match self {
            _ if self.long && self.full => {
                "f,s,uid_name,pid,ppid,c,pri,ni,addr,sz,wchan,stime,tname,time,cmd"
            }
            _ if self.extra_full => "uid_name,pid,ppid,c,sz,rss,psr,stime,tname,time,cmd",
            _ if self.jobs && self.full => "uid_name,pid,ppid,pgid,sid,c,stime,tname,time,cmd",
            _ if self.full => FULL,
            _ if self.long => "f,s,uid,pid,ppid,c,pri,ni,addr,sz,wchan,tname,time,ucmd",
            _ if self.jobs => "pid,pgid,sid,tname,time,ucmd",
            _ if self.bsd_user => {
                "user,pid,%cpu,%mem,vsz,rss,tname,stat,start_time,bsdtime,command"
            }
            _ if self.bsd_long => "f,uid,pid,ppid,pri,ni,vsz,rss,wchan,stat,tname,bsdtime,command",
            _ if self.bsd_jobs => "ppid,pid,pgid,sid,tname,tpgid,stat,uid,bsdtime,command",
            _ if self.bsd_memory => "pid,tname,stat,bsdtime,maj_flt,trs,drs,rss,%mem,command",
            _ if self.bsd => "pid,tname,stat,bsdtime,command",
            _ => "pid,tname,time,ucmd",
        };
        let known = |name| {
            columns::by_name(name).ok_or_else(|| {
                Error::not_implemented(format!("ps: column {name:?} is not supported"))
            })
        };
        names.split(',').map(known).collect()
    }
}

fn missing_list() -> Error {
    Error::internal("ps: error: format specification must follow -o")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(ps_args: &str) -> String {
        match columns(ps_args) {
            Ok(columns) => columns.iter().map(Column::title).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn titles_are_those_of_procps() {
        for (ps_args, expect) in [
            ("", "UID PID PPID C STIME TTY TIME CMD"),
            ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
            ("-e -f", "UID PID PPID C STIME TTY TIME CMD"),
            ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("axu", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
            ("ax", "PID TTY STAT TIME COMMAND"),
            ("-e", "PID TTY TIME CMD"),
            ("-el", "F S UID PID PPID C PRI NI ADDR SZ WCHAN TTY TIME CMD"),
            ("-eF", "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD"),
            ("-ej", "PID PGID SID TTY TIME CMD"),
            ("-o pid,comm,args", "PID COMMAND COMMAND"),
            ("-opid,user -o cmd", "PID USER CMD"),
            ("o pid,etime", "PID ELAPSED"),
            ("--format pid,ni", "PID NI"),
        ] {
            assert_eq!(titles(ps_args), expect, "{ps_args:?}");
        }
    }

    #[test]
    fn what_ps_refuses_is_refused() {
        for (ps_args, expect) in [
            ("-o comm", "Couldn't find PID field in ps output"),
            ("-o pid=x", "specifying \"pid=x\" is not allowed"),
            ("-o pid,nope", "ps: error: unknown user-defined format specifier \"nope\""),
            ("-o", "ps: error: format specification must follow -o"),
            ("-Z9", "ps: error: unsupported option 'Z'"),
            ("--nope", "ps: error: unknown gnu long option"),
        ] {
            assert_eq!(titles(ps_args), expect, "{ps_args:?}");
        }
    }
}
