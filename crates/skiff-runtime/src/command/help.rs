//! Help and version texts.

use std::fmt::Write;

use super::{SPEC_VERSION, VERBS};

/// Shown when nothing else is asked for.
pub(super) const OVERVIEW: &str = "\
NAME:
   skiff runtime - Open Container Initiative runtime

USAGE:
   skiff runtime [global options] command [command options] [arguments...]

Containers are started from bundles: a directory with a specification file named
\"config.json\" and a root file system.

COMMANDS:
   create      create a container
   delete      delete any resources held by the container
   events      display container events and usage statistics
   exec        execute new process inside the container
   features    show the enabled features
   kill        send a signal (default: SIGTERM) to the container's init process
   list        list containers
   pause       suspend all processes inside the container
   ps          display the processes running inside a container
   resume      resume all processes that have been paused
   run         create and run a container
   spec        create a new specification file
   start       execute the user defined process in a created container
   state       output the state of a container
   update      update container resource constraints
   help, h     show a list of commands or help for one command

GLOBAL OPTIONS:
   --debug             enable debug logging
   --log value         set the log file to write logs to (default: standard error)
   --log-format value  set the log format ('text' (default), or 'json')
   --root value        root directory for storage of container state (default: \"/run/skiff-runtime\")
   --criu value        accepted and ignored
   --systemd-cgroup    let systemd make control groups; cgroupsPath is \"slice:prefix:name\"
   --rootless value    accepted and ignored
   --help, -h          show help
   --version, -v       print the version
";

/// What engines parse: a name and the word \"version\" on one line, \"spec:\" on another.
pub(super) fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("skiff-runtime version {version}\ncommit: {version}\nspec: {SPEC_VERSION}\n")
}

/// Help for a verb, or the overview.
pub(super) fn text(verb: Option<&str>) -> String {
    let Some(verb) = VERBS.iter().find(|known| Some(known.name) == verb) else {
        return OVERVIEW.to_owned();
    };
    let mut text = format!(
        "NAME:\n   skiff runtime {} - {}\n\nUSAGE:\n   skiff runtime {} {}\n",
        verb.name, verb.about, verb.name, verb.usage
    );
    if !verb.flags.is_empty() {
        text.push_str("\nOPTIONS:\n");
    }
    for flag in verb.flags {
        let value = if flag.takes_value { " value" } else { "" };
        // A String never refuses to be written to.
        let _ = write!(text, "   --{}{value}", flag.name);
        if !flag.short.is_empty() {
            let _ = write!(text, ", -{}{value}", flag.short);
        }
        text.push('\n');
    }
    text
}
