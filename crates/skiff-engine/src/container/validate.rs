//! What a create or update request may say: every refusal before anything is made, in Docker's
//! words. Pure, but for the host facts it is given and the look whether a bind's source exists.

use skiff_api::{Config, DeviceRequest, HealthConfig, HostConfig, Resources, RestartPolicy};
use skiff_model::shortform::ULIMIT_NAMES;

use super::files;
use super::spec::{capabilities, devices, security};
use crate::config::EngineConfig;
use crate::error::{Error, Result};

/// What the host can do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    pub cpus: u32,
    pub systemd: bool,
}

const MINIMUM_MEMORY: i64 = 6 << 20;

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

/// Checks the part that depends on the host; gives warnings.
pub(super) fn host_config(
    host: &HostConfig,
    engine: &EngineConfig,
    facts: Host,
) -> Result<Vec<String>> {
    restart_policy(&host.restart_policy)?;
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return Err(Error::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    let warnings = resources(&host.resources, facts)?;
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
    if engine.runtime(&host.runtime).is_none() {
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
    Ok(warnings)
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

/// Checks limits; gives warnings.
pub(super) fn resources(resources: &Resources, facts: Host) -> Result<Vec<String>> {
    memory(resources)?;
    cpu(resources, facts)?;
    block_io(resources)?;
    for limit in resources.ulimits.iter() {
        ulimit(&limit.name, limit.soft, limit.hard)?;
    }
    for text in resources.device_cgroup_rules.iter() {
        devices::parse_rule(text)?;
    }
    for mapping in resources.devices.iter() {
        let access = &mapping.cgroup_permissions;
        if access.is_empty() || access.chars().any(|mode| !"rwm".contains(mode)) {
            return Err(Error::invalid(format!("invalid device mode: {access}")));
        }
    }
    if let Some(request) = resources.device_requests.first() {
        return Err(no_driver(request));
    }
    if facts.systemd
        && !resources.cgroup_parent.is_empty()
        && !resources.cgroup_parent.ends_with(".slice")
    {
        return Err(Error::invalid(
            "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"",
        ));
    }
    if resources.cgroup_parent.split('/').any(|part| part == "..") {
        return Err(Error::invalid(format!(
            "invalid cgroup-parent: {:?}",
            resources.cgroup_parent
        )));
    }
    Ok(Vec::new())
}

/// There are no drivers for devices (GPUs, CDI); the words have Go's form of a list.
fn no_driver(request: &DeviceRequest) -> Error {
    let sets = request.capabilities.iter().map(|set| format!("[{}]", set.join(" ")));
    let capabilities = sets.collect::<Vec<_>>().join(" ");
    let driver = &request.driver;
    Error::invalid(format!(
        "could not select device driver {driver:?} with capabilities: [{capabilities}]"
    ))
}

fn memory(resources: &Resources) -> Result<()> {
    let Resources { memory, memory_swap, memory_reservation, .. } = *resources;
    if memory != 0 && memory < MINIMUM_MEMORY {
        return Err(Error::invalid("Minimum memory limit allowed is 6MB"));
    }
    if memory > 0 && memory_swap > 0 && memory_swap < memory {
        return Err(Error::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if memory == 0 && memory_swap > 0 {
        return Err(Error::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if let Some(swappiness) = resources.memory_swappiness
        && !(-1..=100).contains(&swappiness)
    {
        return Err(Error::invalid(format!(
            "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )));
    }
    if memory_reservation != 0 && memory_reservation < MINIMUM_MEMORY {
        return Err(Error::invalid("Minimum memory reservation allowed is 6MB"));
    }
    if memory > 0 && memory_reservation > 0 && memory < memory_reservation {
        return Err(Error::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    Ok(())
}

fn cpu(resources: &Resources, facts: Host) -> Result<()> {
    let Resources { nano_cpus, cpu_period, cpu_quota, cpu_shares, .. } = *resources;
    if nano_cpus > 0 && cpu_period > 0 {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ));
    }
    if nano_cpus > 0 && cpu_quota > 0 {
        return Err(Error::invalid(
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ));
    }
    if nano_cpus < 0 || nano_cpus > i64::from(facts.cpus) * 1_000_000_000 {
        return Err(Error::invalid(format!(
            "range of CPUs is from 0.01 to {}.00, as there are only {} CPUs available",
            facts.cpus, facts.cpus
        )));
    }
    if cpu_shares < 0 {
        return Err(Error::invalid(format!(
            "invalid CPU shares ({cpu_shares}): value must be a positive integer"
        )));
    }
    if cpu_period != 0 && !(1000..=1_000_000).contains(&cpu_period) {
        return Err(Error::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if cpu_quota > 0 && cpu_quota < 1000 {
        return Err(Error::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    cpuset("cpus", &resources.cpuset_cpus)?;
    cpuset("mems", &resources.cpuset_mems)
}

/// Largest number in a set: longer ones are an attack on who parses them.
const MAXIMUM_CPU: u32 = 8192;

fn cpuset(which: &str, list: &str) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let bad =
        |why: String| Error::invalid(format!("Invalid value {list} for cpuset {which}: {why}"));
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number =
            |text: &str| text.parse::<u32>().map_err(|_| bad(format!("invalid format: {list}")));
        let (first, last) = (number(first)?, number(last)?);
        if last > MAXIMUM_CPU {
            return Err(bad(format!("value of out range, maximum is {MAXIMUM_CPU}")));
        }
        if first > last {
            return Err(bad(format!("invalid format: {list}")));
        }
    }
    Ok(())
}

fn block_io(resources: &Resources) -> Result<()> {
    let range = 10..=1000;
    if resources.blkio_weight != 0 && !range.contains(&resources.blkio_weight) {
        return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
    }
    for device in resources.blkio_weight_device.iter() {
        if device.weight != 0 && !range.contains(&device.weight) {
            return Err(Error::invalid("Range of blkio weight is from 10 to 1000"));
        }
    }
    Ok(())
}

/// Checks one resource limit.
pub(super) fn ulimit(name: &str, soft: i64, hard: i64) -> Result<()> {
    if !ULIMIT_NAMES.contains(&name) {
        return Err(Error::invalid(format!("invalid ulimit type: {name}")));
    }
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(Error::invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        )));
    }
    Ok(())
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
mod tests;
