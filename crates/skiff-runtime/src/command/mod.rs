//! `skiff runtime`: the command line of runc, for containerd, Podman, Docker and people.
//!
//! One file for each verb. State lives in `<root>/<id>/` ([`store`]); a container is its record
//! there, its first process (by pid and start time) and its control group. Words on errors are
//! runc's where engines look at them.

mod args;
mod capabilities;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod help;
mod kill;
mod list;
mod log;
mod pause;
mod process;
mod protect;
mod ps;
mod relay;
mod run;
mod spec;
mod start;
mod state;
mod store;
mod time;
mod update;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use args::{Flag, Parsed};
use store::Store;

use crate::cgroup::CgroupError;
use crate::launch::{CgroupDriver, LaunchError};

/// Version of the runtime specification that is implemented.
pub const SPEC_VERSION: &str = "1.2.1";

/// Why a verb failed, and the exit status that says so.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct CommandError {
    message: String,
    code: u8,
}

impl CommandError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// Names the object that an operating system error is about.
    fn io(what: impl std::fmt::Display, error: impl Into<std::io::Error>) -> Self {
        Self::new(format!("{what}: {}", crate::failure::reason(&error.into())))
    }
}

impl From<LaunchError> for CommandError {
    fn from(error: LaunchError) -> Self {
        Self::new(error.message)
    }
}

impl From<CgroupError> for CommandError {
    fn from(error: CgroupError) -> Self {
        Self::new(crate::failure::with_causes(&error))
    }
}

type Result<T> = std::result::Result<T, CommandError>;

/// What is said before the verb.
struct Global {
    store: Store,
    log: log::Log,
    driver: CgroupDriver,
}

const GLOBAL_FLAGS: &[Flag] = &[
    Flag::switch("debug"),
    Flag::value("log"),
    Flag::value("log-format"),
    Flag::value("root"),
    Flag::value("criu"),
    Flag::switch("systemd-cgroup"),
    Flag::value("rootless"),
    Flag::switch("help").short("h"),
    Flag::switch("version").short("v"),
];

/// Runs the command line; `args` starts after the program's name and `runtime`.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let mut log = log::Log::default();
    let result = strings(args).and_then(|args| dispatch(&args, &mut log));
    match result {
        Ok(code) => code,
        Err(error) => {
            log.error(&error.message);
            ExitCode::from(error.code)
        }
    }
}

fn strings(args: Vec<OsString>) -> Result<Vec<String>> {
    let text = |arg: OsString| {
        arg.into_string()
            .map_err(|arg| CommandError::new(format!("argument {} is not UTF-8", arg.display())))
    };
    args.into_iter().map(text).collect()
}

fn dispatch(args: &[String], log: &mut log::Log) -> Result<ExitCode> {
    let parsed = args::parse(GLOBAL_FLAGS, args, false)?;
    *log = log::Log::new(parsed.get("log"), parsed.get("log-format"), parsed.has("debug"))?;
    if parsed.has("version") {
        return print(&help::version());
    }
    let Some((verb, rest)) = parsed.rest.split_first() else {
        return print(help::OVERVIEW);
    };
    if parsed.has("help") || verb == "help" || verb == "h" {
        let about = if parsed.has("help") { Some(verb) } else { rest.first() };
        return print(&help::text(about.map(String::as_str)));
    }
    let global = global(&parsed, log.clone());
    let Some(verb) = verb_named(verb) else {
        return Err(CommandError::new(format!("No help topic for '{verb}'")));
    };
    let parsed = args::parse(verb.flags, rest, verb.flags_anywhere)?;
    if parsed.has("help") {
        return print(&help::text(Some(verb.name)));
    }
    let count = parsed.rest.len();
    if count < verb.arguments.0 || count > verb.arguments.1 {
        let name = verb.name;
        let wanted = verb.arguments.0;
        eprint!("{}", help::text(Some(name)));
        return Err(CommandError::new(format!(
            "runtime: {name:?} requires at least {wanted} argument(s), got {count}"
        )));
    }
    (verb.run)(&global, &parsed)
}

fn print(text: &str) -> Result<ExitCode> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| CommandError::io("write standard output", error))?;
    Ok(ExitCode::SUCCESS)
}

fn global(parsed: &Parsed, log: log::Log) -> Global {
    let root = parsed.get("root").map_or_else(default_root, PathBuf::from);
    let driver =
        if parsed.has("systemd-cgroup") { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs };
    Global { store: Store::new(root), log, driver }
}

fn default_root() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !rustix::process::geteuid().is_root());
    own.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("skiff-runtime")
}

/// A verb of the command line.
struct Verb {
    name: &'static str,
    about: &'static str,
    usage: &'static str,
    flags: &'static [Flag],
    /// Flags may follow arguments. Not for `exec`, where they would be the program's.
    flags_anywhere: bool,
    /// Fewest and most arguments.
    arguments: (usize, usize),
    run: fn(&Global, &Parsed) -> Result<ExitCode>,
}

const VERBS: &[&Verb] = &[
    &create::VERB,
    &delete::VERB,
    &events::VERB,
    &exec::VERB,
    &features::VERB,
    &kill::VERB,
    &list::VERB,
    &pause::PAUSE,
    &pause::RESUME,
    &ps::VERB,
    &run::VERB,
    &spec::VERB,
    &start::VERB,
    &state::VERB,
    &update::VERB,
];

fn verb_named(name: &str) -> Option<&'static Verb> {
    VERBS.iter().copied().find(|verb| verb.name == name)
}
