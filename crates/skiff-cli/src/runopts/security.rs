//! Namespace modes and `--security-opt`.

use skiff_api::{HostConfig, List};

use super::Result;
use crate::flags::Matches;

/// Checks the modes and turns the security options into the request.
pub(super) fn apply(flags: &Matches, host: &mut HostConfig) -> Result<()> {
    check_modes(host)?;
    let mut options = Vec::new();
    for option in flags.all("security-opt") {
        match option {
            // Not options of the daemon's: they empty its two lists.
            "systempaths=unconfined" => {
                host.masked_paths = List::empty();
                host.readonly_paths = List::empty();
            }
            option => options.push(security_option(option)?),
        }
    }
    host.security_opt = if options.is_empty() { List::default() } else { options.into() };
    Ok(())
}

fn check_modes(host: &HostConfig) -> Result<()> {
    let other_container =
        |mode: &str| mode.strip_prefix("container:").is_some_and(|id| !id.is_empty());
    if !matches!(&*host.pid_mode, "" | "host" | "private") && !other_container(&host.pid_mode) {
        return Err("--pid: invalid PID mode".to_owned());
    }
    if !matches!(&*host.uts_mode, "" | "host") {
        return Err("--uts: invalid UTS mode".to_owned());
    }
    if !matches!(&*host.userns_mode, "" | "host") {
        return Err("--userns: invalid USER mode".to_owned());
    }
    if !matches!(&*host.cgroupns_mode, "" | "host" | "private") {
        return Err("--cgroupns: invalid CGROUP mode".to_owned());
    }
    Ok(())
}

fn security_option(option: &str) -> Result<String> {
    let separator = option.find(['=', ':']);
    let Some(position) = separator else {
        if option == "no-new-privileges" || option == "writable-cgroups" {
            return Ok(option.to_owned());
        }
        return Err(format!("Invalid --security-opt: {option:?}"));
    };
    let (name, value) = (&option[..position], &option[position + 1..]);
    if name == "seccomp" && !matches!(value, "unconfined" | "builtin") {
        // The daemon may be elsewhere, so it is sent the profile and not its path.
        let profile = std::fs::read_to_string(value).map_err(|error| {
            format!(
                "opening seccomp profile ({value}) failed: open {value}: {}",
                crate::failure::describe_io(&error)
            )
        })?;
        let parsed: serde_json::Value = serde_json::from_str(&profile).map_err(|error| {
            format!("compacting json for seccomp profile ({value}) failed: {error}")
        })?;
        return Ok(format!("seccomp={parsed}"));
    }
    Ok(option.to_owned())
}
