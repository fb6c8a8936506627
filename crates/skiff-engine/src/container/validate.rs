//! What a create or update request may say: every refusal before anything is made, in Docker's
//! words. Pure, but for the host facts it is given and the look whether a bind's source exists.

use skiff_api::{Config, HealthConfig, HostConfig, RestartPolicy};

use super::files;
use super::spec::{capabilities, security};
use crate::config::{EngineConfig, Runtimes};
use crate::error::{Error, Result};
use crate::system::Limits;

mod discard;
pub(super) mod ports;
mod resources;

pub(super) use discard::discard;
pub(super) use resources::{Asked, memory, resources};

/// What the host can do.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub cpus: u32,
    pub systemd: bool,
    /// What its kernel can limit.
    pub limits: Limits,
    /// The processors a container may be bound to, as `0-1`; empty where that is not known.
    pub cpuset_cpus: String,
    /// The memory nodes, likewise.
    pub cpuset_mems: String,
}

/// Checks the portable part.
pub(super) fn config(config: &Config) -> Result<()> {
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(Error::invalid(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        )));
    }
    for variable in config.env.iter() {
        if variable.is_empty() || variable.starts_with('=') {
            return Err(Error::invalid(format!("invalid environment variable: {variable}")));
        }
    }
    if !config.stop_signal.is_empty() && skiff_model::signal::parse(&config.stop_signal).is_none() {
        return Err(Error::invalid(format!("invalid signal: {}", config.stop_signal)));
    }
    for name in [&config.hostname, &config.domainname] {
        if !files::plain(name) {
            return Err(Error::invalid(format!("invalid hostname: {name:?}")));
        }
    }
    if config.hostname.len() > 64 {
        return Err(Error::invalid(format!(
            "invalid hostname: {:?} is longer than 64 characters",
            config.hostname
        )));
    }
    no_nul(config)?;
    config.healthcheck.as_ref().map_or(Ok(()), health)
}

/// What is handed to the kernel as a C string must be one.
fn no_nul(config: &Config) -> Result<()> {
    let texts = config
        .env
        .iter()
        .chain(config.cmd.iter())
        .chain(config.entrypoint.iter())
        .chain([&config.working_dir, &config.user]);
    for text in texts {
        if text.contains('\0') {
            return Err(Error::invalid("the configuration contains a NUL character"));
        }
    }
    Ok(())
}

fn health(check: &HealthConfig) -> Result<()> {
    const MILLISECOND: i64 = 1_000_000;
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && value < MILLISECOND {
            return Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if check.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

pub(super) fn unknown_runtime(name: &str) -> Error {
    Error::invalid(format!("unknown or invalid runtime name: {name}"))
}

/// Checks the part that depends on the host.
pub(super) fn host_config(
    host: &HostConfig,
    engine: &EngineConfig,
    runtimes: &Runtimes,
    facts: &Host,
) -> Result<()> {
    restart_policy(&host.restart_policy)?;
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    resources(&host.resources, facts, Asked::Create)?;
    ports::check(&host.port_bindings)?;
    modes(host)?;
    if engine.users.is_some() && host.userns_mode.is_empty() {
        own_users(host)?;
    }
    if host.shm_size < 0 {
        return Err(Error::invalid("SHM size can not be less than 0"));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(Error::invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    if runtimes.get(&host.runtime).is_none() {
        return Err(unknown_runtime(&host.runtime));
    }
    capabilities(host, &[])?;
    security::Options::parse(&host.security_opt)?;
    for entry in host.extra_hosts.iter() {
        files::check_extra_host(entry)?;
    }
    resolver(host)?;
    sysctls(host)?;
    log(host)?;
    if !host.links.is_empty() {
        return Err(Error::invalid("links need the bridge network, which this version lacks"));
    }
    if let Some(name) = host.storage_opt.keys().find(|name| *name != "size") {
        return Err(Error::invalid(format!("Unknown option {name}")));
    }
    if !host.storage_opt.is_empty() {
        return Err(Error::invalid(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ));
    }
    Ok(())
}

fn resolver(host: &HostConfig) -> Result<()> {
    for server in host.dns.iter() {
        if server.parse::<std::net::IpAddr>().is_err() {
            return Err(Error::invalid(format!("invalid DNS address: {server:?}")));
        }
    }
    for word in host.dns_search.iter().chain(host.dns_options.iter()) {
        if !files::plain(word) {
            return Err(Error::invalid(format!("invalid DNS option or search domain: {word:?}")));
        }
    }
    Ok(())
}

/// Checks a restart policy.
pub(super) fn restart_policy(policy: &RestartPolicy) -> Result<()> {
    let count = policy.maximum_retry_count;
    match policy.name.as_str() {
        "always" | "unless-stopped" | "no" if count != 0 => {
            let negative = if count < 0 { " and cannot be negative" } else { "" };
            Err(Error::invalid(format!(
                "invalid restart policy: maximum retry count can only be used with \
                 'on-failure'{negative}"
            )))
        }
        "" if count != 0 => Err(Error::invalid(
            "invalid restart policy: maximum retry count can only be used with \
                                'on-failure'",
        )),
        "on-failure" if count < 0 => {
            Err(Error::invalid("invalid restart policy: maximum retry count cannot be negative"))
        }
        "" | "no" | "always" | "unless-stopped" | "on-failure" => Ok(()),
        name => Err(Error::invalid(format!(
            "invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', \
             'on-failure', or 'unless-stopped'"
        ))),
    }
}

fn modes(host: &HostConfig) -> Result<()> {
    let container =
        |mode: &str| mode.strip_prefix("container:").is_some_and(|container| !container.is_empty());
    if !matches!(host.pid_mode.as_str(), "" | "host") && !container(&host.pid_mode) {
        return Err(Error::invalid(format!("invalid PID mode: {}", host.pid_mode)));
    }
    if !matches!(host.ipc_mode.as_str(), "" | "none" | "private" | "shareable" | "host")
        && !container(&host.ipc_mode)
    {
        return Err(Error::invalid(format!("invalid IPC mode: {}", host.ipc_mode)));
    }
    if !matches!(host.isolation.to_ascii_lowercase().as_str(), "" | "default") {
        return Err(Error::invalid(format!(
            "invalid isolation ({}): linux only supports 'default'",
            host.isolation
        )));
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return Err(Error::invalid(format!("invalid UTS mode: {}", host.uts_mode)));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "private" | "host") {
        return Err(Error::invalid(format!(
            "invalid cgroup namespace mode: {}",
            host.cgroupns_mode
        )));
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return Err(Error::invalid(format!("invalid USER mode: {}", host.userns_mode)));
    }
    if host.network_mode.starts_with("container:") && !container(&host.network_mode) {
        return Err(Error::invalid(
            "invalid network mode: invalid container format container:<name|id>",
        ));
    }
    Ok(())
}

/// What a container with users of its own cannot have, in Docker's words (and spaces).
fn own_users(host: &HostConfig) -> Result<()> {
    let refused = |why: &str| Err(Error::invalid(why));
    if host.privileged {
        return refused(
            "privileged mode is incompatible with user namespaces.  You must run the container in \
             the host namespace when running privileged mode",
        );
    }
    if host.network_mode == "host" {
        return refused(
            "cannot share the host's network namespace when user namespaces are enabled",
        );
    }
    if host.pid_mode == "host" {
        return refused("cannot share the host PID namespace when user namespaces are enabled");
    }
    Ok(())
}

/// Kernel settings that belong to a namespace of the container; all others are the host's.
fn sysctls(host: &HostConfig) -> Result<()> {
    for (key, value) in host.sysctls.iter() {
        let odd = |letter: char| !letter.is_ascii_alphanumeric() && !"._-/".contains(letter);
        if key.is_empty() || key.chars().any(odd) || key.split(['.', '/']).any(str::is_empty) {
            return Err(Error::invalid(format!("invalid sysctl: {key:?}")));
        }
        if value.chars().any(|letter| letter == '\n' || letter == '\0') {
            return Err(Error::invalid(format!("invalid value of sysctl {key}")));
        }
        let dotted = key.replace('/', ".");
        let ipc = matches!(
            dotted.as_str(),
            "kernel.msgmax"
                | "kernel.msgmnb"
                | "kernel.msgmni"
                | "kernel.sem"
                | "kernel.shmall"
                | "kernel.shmmax"
                | "kernel.shmmni"
                | "kernel.shm_rmid_forced"
        ) || dotted.starts_with("fs.mqueue.");
        let net = dotted.starts_with("net.");
        let uts = matches!(dotted.as_str(), "kernel.hostname" | "kernel.domainname");
        let refused =
            |why: &str| Err(Error::invalid(format!("sysctl '{key}' is not allowed: {why}")));
        if ipc && host.ipc_mode == "host" {
            return refused("the IPC namespace is the host's");
        }
        if net && host.network_mode == "host" {
            return Err(Error::invalid(format!(
                "sysctl '{key}' not allowed in host network namespace"
            )));
        }
        if !ipc && !net && !uts {
            return Err(Error::invalid(format!(
                "sysctl {key:?} is not in a separate kernel namespace"
            )));
        }
    }
    Ok(())
}

fn log(host: &HostConfig) -> Result<()> {
    let log = &host.log_config;
    let known: &[&str] = match log.kind.as_str() {
        "" | "json-file" | "local" => &[
            "max-file",
            "max-size",
            "compress",
            "labels",
            "labels-regex",
            "env",
            "env-regex",
            "tag",
            "mode",
            "max-buffer-size",
        ],
        "none" => &["mode", "max-buffer-size"],
        other => {
            return Err(Error::invalid(format!(
                "error looking up logging plugin {other}: plugin \"{other}\" not found"
            )));
        }
    };
    for (key, value) in log.config.iter() {
        if !known.contains(&key.as_str()) {
            return Err(Error::invalid(format!(
                "unknown log opt '{key}' for {} log driver",
                if log.kind.is_empty() { "json-file" } else { &log.kind }
            )));
        }
        let wrong = || Error::invalid(format!("invalid value for {key}: {value}"));
        match key.as_str() {
            "max-size" => {
                let size = skiff_model::size::parse_bytes(value).map_err(|_| wrong())?;
                if size <= 0 {
                    return Err(Error::invalid("max-size must be a positive number"));
                }
            }
            "max-file" if value.parse::<u32>().is_ok_and(|count| count >= 1) => {}
            "max-file" => return Err(Error::invalid("max-file cannot be less than 1")),
            "mode" if !matches!(value.as_str(), "" | "blocking" | "non-blocking") => {
                return Err(Error::invalid(format!("logger: logging mode not supported: {value}")));
            }
            "compress" if !matches!(value.as_str(), "true" | "false" | "1" | "0") => {
                return Err(wrong());
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests;
