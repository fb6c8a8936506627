//! The one executable: which part of Skiff it is, its name or first argument decides.
//!
//! `skiff` or `docker` is the command line, `dockerd` or `skiff daemon` the daemon, `runc` or
//! `skiff runtime` the OCI runtime, `skiff keeper` the resident part that the daemon starts,
//! `docker-init` the process 1 of containers whose runtime is another program, and `hello` the
//! program of the built-in image. There is no logic here.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    let name = args.first().and_then(|a| Path::new(a).file_name()).unwrap_or_default().to_owned();
    match name.to_str() {
        Some("dockerd") => return skiff_daemon::main(args.split_off(1)),
        Some("runc") => return skiff_runtime::command::main(args.split_off(1)),
        Some("docker-init") => return skiff_runtime::init::main(args.split_off(1)),
        Some("skiff-keeper") => return skiff_shim::keeper::main(args.split_off(1)),
        Some("hello") => {
            print!("{}", skiff_engine::image::hello::hello_text());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    match args.get(1).and_then(|a| a.to_str()) {
        Some("daemon") => skiff_daemon::main(args.split_off(2)),
        Some("runtime") => skiff_runtime::command::main(args.split_off(2)),
        Some("keeper") => skiff_shim::keeper::main(args.split_off(2)),
        _ => skiff_cli::main(args),
    }
}
