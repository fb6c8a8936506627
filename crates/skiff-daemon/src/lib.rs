//! `skiff daemon`: Docker's REST API over the engine.
//!
//! ```text
//! flags.rs options.rs host.rs settings.rs reload.rs   what was asked for
//! listen.rs tls.rs server.rs                          sockets and connections
//! http/                                               the API
//! run.rs                                              the process, from start to signal
//! ```
//! Everything about containers is the engine's; this crate parses, calls and renders.

#![forbid(unsafe_code)]

mod flags;
mod host;
mod http;
mod listen;
mod logging;
mod options;
mod reload;
mod remap;
mod run;
mod server;
mod settings;
mod tls;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use settings::SettingsError;

/// Runs `skiff daemon` with the arguments after `daemon`.
pub fn main(args: Vec<OsString>) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Usage(message)) => {
            say(&format!("{message}\n\nRun 'skiff daemon --help' for more information\n"));
            ExitCode::from(125)
        }
        Err(Failed::Run(message)) => {
            say(&format!("{message}\n"));
            ExitCode::FAILURE
        }
    }
}

enum Failed {
    /// The command line is wrong.
    Usage(String),
    Run(String),
}

fn start(args: Vec<OsString>) -> Result<(), Failed> {
    let given = flags::parse(options::TABLE, args).map_err(|e| Failed::Usage(e.to_string()))?;
    let asked = |name: &str| given.values.get(name).is_some_and(|values| values[0] == "true");
    if asked("help") {
        tell(&options::help());
        return Ok(());
    }
    if asked("version") {
        tell(concat!("Skiff version ", env!("CARGO_PKG_VERSION"), "\n"));
        return Ok(());
    }
    let settings = settings::load(&given).map_err(|error| match error {
        SettingsError::Flag(_) | SettingsError::Argument(_) => Failed::Usage(error.to_string()),
        _ => Failed::Run(error.to_string()),
    })?;
    if asked("validate") {
        tell("configuration OK\n");
        return Ok(());
    }
    run::run(given, settings).map_err(|error| Failed::Run(error.to_string()))
}

/// Writes to stdout; who closed it does not want to know.
fn tell(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

fn say(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}
