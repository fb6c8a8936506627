//! The executable that this crate's tests start keepers from: what `skiff keeper` is in the whole.

use std::process::ExitCode;

fn main() -> ExitCode {
    skiff_shim::keeper::main(std::env::args_os().skip(1))
}
