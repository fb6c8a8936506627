//! The command line: Docker's commands and flags, spoken to a daemon over its API.
//!
//! A run of the CLI is short, and most of what it costs is starting it: there is no runtime, no
//! table is built before it is needed, and nothing is read from disk that the command does not use.
//! The CLI decides nothing about containers; it turns flags into requests and answers into text.
//!
//! Start at `commands` (the table of commands), then `flags` (how they are parsed) and `client`.

#![forbid(unsafe_code)]

/// Prints a line. Unlike `println!` it does not panic when nobody reads any more, as in
/// `skiff ps | head -1`.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}

/// Prints a part of a line.
macro_rules! say_part {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = write!(std::io::stdout(), $($arg)*);
    }};
}

/// Prints a line to stderr.
macro_rules! tell {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($arg)*);
    }};
}

mod autostart;
mod client;
mod command;
mod commands;
mod config;
mod context;
mod dispatch;
mod failure;
mod flags;
mod jsonfmt;
mod output;
mod runopts;
mod stream;
mod template;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the CLI with the arguments of the process, the program's own name first.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let mut args = args.into_iter().map(|arg| arg.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_default();
    let program = match program.rsplit('/').next() {
        Some("docker") => "docker",
        _ => "skiff",
    };
    let args: Vec<String> = args.collect();
    match dispatch::run(program, &args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                tell!("{}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}
