//! The command line: Docker's commands and flags, spoken to a daemon over its API.
//!
//! A run of the CLI is short, and most of what it costs is starting it: there is no runtime, no
//! table is built before it is needed, and nothing is read from disk that the command does not use.
//! The CLI decides nothing about containers; it turns flags into requests and answers into text.
//!
//! Start at `commands` (the table of commands), then `flags` (how they are parsed) and `client`.

#![forbid(unsafe_code)]

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
                eprintln!("{}", failure.message);
            }
            ExitCode::from(failure.code)
        }
    }
}
