//! The process: program, environment, capabilities, limits.

use skiff_api::{Config, ExecConfig, HostConfig};
use skiff_model::oci::{Capabilities, ConsoleSize, Process, Rlimit, Spec};

use super::{Facts, Input, defaults, process_of};
use crate::error::{Error, Result};

/// Entry point and arguments, directory, terminal.
pub(super) fn program(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let config = &input.record.config;
    let process = process_of(spec);
    process.args = arguments(config);
    process.cwd = directory(&config.working_dir);
    process.terminal = config.tty;
    process.console_size = console_size(config.tty, input.record.host_config.console_size);
    Ok(())
}

/// What is executed: entry point, then command.
pub(crate) fn arguments(config: &Config) -> Vec<String> {
    config.entrypoint.iter().chain(config.cmd.iter()).cloned().collect()
}

fn directory(wanted: &str) -> String {
    if wanted.is_empty() { "/".to_owned() } else { wanted.to_owned() }
}

fn console_size(tty: bool, [height, width]: [u32; 2]) -> Option<ConsoleSize> {
    let size = ConsoleSize {
        height: u16::try_from(height).unwrap_or(u16::MAX),
        width: u16::try_from(width).unwrap_or(u16::MAX),
    };
    (tty && height > 0 && width > 0).then_some(size)
}

/// The container's variables over the few that every container gets.
pub(super) fn environment(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    process_of(spec).env = base_environment(&input.record.config);
    Ok(())
}

fn base_environment(config: &Config) -> Vec<String> {
    let mut env = vec![defaults::PATH.to_owned(), format!("HOSTNAME={}", config.hostname)];
    if config.tty {
        env.push("TERM=xterm".to_owned());
    }
    replace_or_append(&mut env, &config.env);
    env
}

/// Sets variables; one without `=` unsets.
fn replace_or_append(env: &mut Vec<String>, changes: &[String]) {
    for change in changes {
        let name = change.split_once('=').map(|(name, _)| name);
        let same = |variable: &String| {
            variable.split_once('=').is_some_and(|(has, _)| has == name.unwrap_or(change))
        };
        let at = env.iter().position(same);
        match (at, name) {
            (Some(at), Some(_)) => env[at].clone_from(change),
            (Some(at), None) => drop(env.remove(at)),
            (None, Some(_)) => env.push(change.clone()),
            (None, None) => {}
        }
    }
}

/// Capabilities, limits and the kernel's order of victims.
pub(super) fn identity(input: &Input<'_>, spec: &mut Spec) -> Result<()> {
    let host = &input.record.host_config;
    let process = process_of(spec);
    let root = is_root(&input.record.config.user);
    process.capabilities = Some(sets(capabilities(host, &input.facts.capabilities)?, root));
    process.rlimits = rlimits(host, input.facts);
    process.oom_score_adj = i32::try_from(host.oom_score_adj).ok();
    Ok(())
}

/// Whether the process keeps its capabilities when its program is executed. A name is looked up in
/// the container later, and the kernel drops the effective set of others than root then anyway.
fn is_root(user: &str) -> bool {
    let user = user.split(':').next().unwrap_or_default();
    matches!(user, "" | "0" | "root")
}

fn sets(bounding: Vec<String>, root: bool) -> Capabilities {
    let held = if root { bounding.clone() } else { Vec::new() };
    Capabilities { effective: held.clone(), permitted: held, bounding, ..Capabilities::default() }
}

/// The capabilities a container may have at most; `all` are those this host can give.
pub(crate) fn capabilities(host: &HostConfig, all: &[String]) -> Result<Vec<String>> {
    if host.privileged {
        return Ok(all.to_vec());
    }
    let wanted = |list: &[String], which: &str| -> Result<(bool, Vec<String>)> {
        let mut names = Vec::new();
        let mut everything = false;
        for name in list {
            let upper = name.to_ascii_uppercase();
            if upper == "ALL" {
                everything = true;
                continue;
            }
            let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
            if skiff_model::capability::number(&full).is_none() {
                return Err(Error::invalid(format!(
                    "invalid {which}: unknown capability: \"{full}\""
                )));
            }
            names.push(full);
        }
        Ok((everything, names))
    };
    let (add_all, add) = wanted(&host.cap_add, "CapAdd")?;
    let (drop_all, dropped) = wanted(&host.cap_drop, "CapDrop")?;
    let base: Vec<String> = match (add_all, drop_all) {
        (true, _) => all.to_vec(),
        (false, true) => Vec::new(),
        (false, false) => defaults::CAPABILITIES.map(str::to_owned).to_vec(),
    };
    let mut result: Vec<String> = base.into_iter().filter(|name| !dropped.contains(name)).collect();
    for name in add {
        if !result.contains(&name) {
            result.push(name);
        }
    }
    Ok(result)
}

/// Resource limits: the request's, over the daemon's.
pub(crate) fn rlimits(host: &HostConfig, facts: &Facts) -> Vec<Rlimit> {
    // -1 is "unlimited", which the kernel spells as the largest number.
    let value = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
    let make = |name: &str, soft: i64, hard: i64| Rlimit {
        kind: format!("RLIMIT_{}", name.to_ascii_uppercase()),
        soft: value(soft),
        hard: value(hard),
    };
    let mut limits: Vec<Rlimit> = host
        .resources
        .ulimits
        .iter()
        .map(|limit| make(&limit.name, limit.soft, limit.hard))
        .collect();
    for (name, soft, hard) in &facts.default_ulimits {
        if !host.resources.ulimits.iter().any(|limit| limit.name == *name) {
            limits.push(make(name, *soft, *hard));
        }
    }
    limits
}

/// The process of an exec: the container's surroundings, the request's program.
pub(crate) fn exec_process(
    config: &Config,
    host: &HostConfig,
    facts: &Facts,
    exec: &ExecConfig,
) -> Result<Process> {
    let mut env = base_environment(config);
    if exec.tty && !config.tty {
        replace_or_append(&mut env, &["TERM=xterm".to_owned()]);
    }
    replace_or_append(&mut env, &exec.env);
    let user = if exec.user.is_empty() { &config.user } else { &exec.user };
    let privileged = HostConfig { privileged: true, ..HostConfig::default() };
    let wanted = if exec.privileged { &privileged } else { host };
    let bounding = capabilities(wanted, &facts.capabilities)?;
    let cwd = if exec.working_dir.is_empty() { &config.working_dir } else { &exec.working_dir };
    let security = super::security::Options::parse(&host.security_opt)?;
    Ok(Process {
        terminal: exec.tty,
        console_size: console_size(exec.tty, exec.console_size.unwrap_or_default()),
        args: exec.cmd.to_vec(),
        env,
        cwd: directory(cwd),
        capabilities: Some(sets(bounding, is_root(user))),
        rlimits: rlimits(host, facts),
        no_new_privileges: security.no_new_privileges.unwrap_or(facts.no_new_privileges),
        apparmor_profile: security.apparmor_profile(host.privileged || exec.privileged, facts),
        oom_score_adj: i32::try_from(host.oom_score_adj).ok(),
        selinux_label: String::new(),
        ..Process::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> skiff_api::List<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn capabilities_follow_dockers_rules() {
        let all = skiff_model::capability::NAMES.map(str::to_owned);
        let count = all.len();
        for (add, drop, len, has, has_not) in [
            (&[][..], &[][..], 14, "CAP_CHOWN", "CAP_SYS_ADMIN"),
            (&["SYS_ADMIN"][..], &["chown"][..], 14, "CAP_SYS_ADMIN", "CAP_CHOWN"),
            (&["cap_net_admin"][..], &["ALL"][..], 1, "CAP_NET_ADMIN", "CAP_CHOWN"),
            (&["ALL"][..], &["CAP_SYS_TIME"][..], count - 1, "CAP_SYS_ADMIN", "CAP_SYS_TIME"),
        ] {
            let host =
                HostConfig { cap_add: names(add), cap_drop: names(drop), ..HostConfig::default() };
            let found = capabilities(&host, &all).unwrap();
            assert_eq!(found.len(), len, "{add:?} {drop:?}");
            assert!(found.iter().any(|name| name == has));
            assert!(!found.iter().any(|name| name == has_not));
        }
        let host = HostConfig { cap_add: names(&["NOPE"]), ..HostConfig::default() };
        assert_eq!(
            capabilities(&host, &all).unwrap_err().to_string(),
            "invalid CapAdd: unknown capability: \"CAP_NOPE\""
        );
    }

    #[test]
    fn later_variables_replace_earlier_ones_and_a_bare_name_unsets() {
        let mut env = vec!["A=1".to_owned(), "B=2".to_owned()];
        let changes = ["B=3", "C=4", "A", "D"].map(str::to_owned);
        replace_or_append(&mut env, &changes);
        assert_eq!(env, ["B=3", "C=4"]);
    }
}
