//! `skiff runtime` by itself, for tests and measurements.

use std::process::ExitCode;

fn main() -> ExitCode {
    skiff_runtime::command::main(std::env::args_os().skip(1).collect())
}
