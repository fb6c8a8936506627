//! `docker info`: the engine's settings, its counts, and what the host can do.

use std::path::Path;

use jiff::Timestamp;
use skiff_api::system::{
    Commit, IndexInfo, PluginsInfo, RegistryServiceConfig, Runtime, SwarmInfo,
};
use skiff_api::{List, Map, SystemInfo};
use skiff_runtime::launch::CgroupDriver;

use super::host::{self, Limits};
use super::version::{COMMIT, VERSION};
use crate::config::{BUILT_IN_ALIASES, BUILT_IN_RUNTIME, Runtimes};
use crate::{Core, EngineConfig, Error, Result};

/// File in the data root that holds the engine's id.
const ENGINE_ID: &str = "engine-id";

pub(super) fn info(core: &Core) -> Result<SystemInfo> {
    let (config, rules) = (&core.config, core.runtimes());
    let limits = host::limits();
    let distribution = host::distribution();
    let mut info = SystemInfo {
        id: engine_id(&config.data_root)?,
        driver: "overlay2".to_owned(),
        driver_status: driver_status(&config.data_root),
        plugins: plugins(),
        ipv4_forwarding: host::forwards_ipv4(),
        debug: config.debug,
        n_fd: host::open_descriptors(),
        n_goroutines: tasks(),
        system_time: Timestamp::now().to_string(),
        logging_driver: config.log_driver.clone(),
        cgroup_driver: cgroup_driver(config.cgroup_driver).to_owned(),
        cgroup_version: limits.version.to_string(),
        kernel_version: host::kernel_version(),
        operating_system: distribution.name,
        os_version: distribution.version,
        os_type: "linux".to_owned(),
        architecture: host::machine(),
        index_server_address: "https://index.docker.io/v1/".to_owned(),
        registry_config: Some(registries()),
        ncpu: host::processors(),
        mem_total: host::memory(),
        docker_root_dir: config.data_root.to_string_lossy().into_owned(),
        http_proxy: proxy("HTTP_PROXY"),
        https_proxy: proxy("HTTPS_PROXY"),
        no_proxy: proxy("NO_PROXY"),
        name: host::name(),
        labels: config.labels.clone().into(),
        server_version: VERSION.to_owned(),
        runtimes: runtimes(config, &rules),
        default_runtime: rules.default.clone(),
        swarm: SwarmInfo { local_node_state: "inactive".to_owned(), ..SwarmInfo::default() },
        live_restore_enabled: true,
        init_binary: "skiff".to_owned(),
        // Runtime and init are this executable; there is no containerd.
        containerd_commit: Commit { id: "N/A".to_owned(), ..Commit::default() },
        runc_commit: Commit { id: COMMIT.to_owned(), ..Commit::default() },
        init_commit: Commit { id: COMMIT.to_owned(), ..Commit::default() },
        security_options: security_options(config, limits).into(),
        cdi_spec_dirs: List::empty(),
        warnings: warnings(limits).into(),
        ..SystemInfo::default()
    };
    set_limits(&mut info, limits);
    set_counts(&mut info, core)?;
    Ok(info)
}

fn set_limits(info: &mut SystemInfo, limits: Limits) {
    info.memory_limit = limits.memory;
    info.swap_limit = limits.swap;
    info.cpu_cfs_period = limits.cpu_quota;
    info.cpu_cfs_quota = limits.cpu_quota;
    info.cpu_shares = limits.cpu_shares;
    info.cpu_set = limits.cpuset;
    info.pids_limit = limits.pids;
    info.oom_kill_disable = limits.oom_kill_disable;
}

fn set_counts(info: &mut SystemInfo, core: &Core) -> Result<()> {
    for container in core.containers.all() {
        info.containers += 1;
        match container.view().state.status() {
            "running" => info.containers_running += 1,
            "paused" => info.containers_paused += 1,
            _ => info.containers_stopped += 1,
        }
    }
    info.images = crate::image::count(core);
    info.n_events_listener = core.events.listeners();
    Ok(())
}

/// The id that the engine keeps for as long as its data root: a random UUID.
fn engine_id(data_root: &Path) -> Result<String> {
    let path = data_root.join(ENGINE_ID);
    if let Ok(id) = std::fs::read_to_string(&path)
        && id.len() == 36
    {
        return Ok(id);
    }
    let id = random_uuid()?;
    let temporary = data_root.join(format!(".{ENGINE_ID}.{}", std::process::id()));
    std::fs::write(&temporary, &id)
        .and_then(|()| std::fs::rename(&temporary, &path))
        .map_err(|error| Error::failed(format!("write {}", path.display()), error))?;
    Ok(id)
}

/// A UUID of version 4 (RFC 9562).
fn random_uuid() -> Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map(|uuid| uuid.trim().to_owned())
        .map_err(|error| Error::failed("read /proc/sys/kernel/random/uuid", error))
}

fn driver_status(data_root: &Path) -> List<(String, String)> {
    [
        ("Backing Filesystem", host::file_system(data_root)),
        ("Supports d_type", "true".to_owned()),
        ("Using metacopy", "false".to_owned()),
        ("Native Overlay Diff", "true".to_owned()),
        ("userxattr", "false".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn plugins() -> PluginsInfo {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    PluginsInfo {
        volume: names(&["local"]),
        network: names(&["host", "null"]),
        authorization: List::default(),
        log: names(&["json-file", "none"]),
    }
}

/// Docker Hub and the loopback addresses, until the registry client brings its settings.
fn registries() -> RegistryServiceConfig {
    let hub = IndexInfo {
        name: "docker.io".to_owned(),
        mirrors: List::empty(),
        secure: true,
        official: true,
    };
    RegistryServiceConfig {
        insecure_registry_cidrs: vec!["::1/128".to_owned(), "127.0.0.0/8".to_owned()].into(),
        index_configs: [("docker.io", hub)].into_iter().collect(),
        mirrors: List::empty(),
    }
}

/// The built-in runtime by all its names, and those that were configured.
fn runtimes(config: &EngineConfig, runtimes: &Runtimes) -> Map<Runtime> {
    let ours = || Runtime {
        path: config.executable.to_string_lossy().into_owned(),
        runtime_args: vec!["runtime".to_owned()].into(),
        ..Runtime::default()
    };
    let built_in = BUILT_IN_ALIASES.into_iter().chain([BUILT_IN_RUNTIME]);
    let built_in = built_in.map(|name| (name.to_owned(), ours()));
    let configured = runtimes.others.iter().map(|(name, runtime)| {
        let path = runtime.path.to_string_lossy().into_owned();
        let runtime_args = runtime.args.clone().into();
        (name.clone(), Runtime { path, runtime_args, ..Runtime::default() })
    });
    built_in.chain(configured).collect()
}

fn cgroup_driver(driver: CgroupDriver) -> &'static str {
    match driver {
        CgroupDriver::Cgroupfs => "cgroupfs",
        CgroupDriver::Systemd => "systemd",
    }
}

fn security_options(config: &EngineConfig, limits: Limits) -> Vec<String> {
    let mut options = Vec::new();
    if host::has_apparmor() {
        options.push("name=apparmor".to_owned());
    }
    if host::has_seccomp() {
        let profile = match config.seccomp_profile.as_str() {
            "" => "builtin",
            path => path,
        };
        options.push(format!("name=seccomp,profile={profile}"));
    }
    if config.users.is_some() {
        options.push("name=userns".to_owned());
    }
    if limits.version == 2 && config.default_cgroupns_mode != "host" {
        options.push("name=cgroupns".to_owned());
    }
    if config.no_new_privileges {
        options.push("name=no-new-privileges".to_owned());
    }
    options
}

/// Docker's words for what the kernel cannot limit.
fn warnings(limits: Limits) -> Vec<String> {
    [
        (limits.memory, "WARNING: No memory limit support"),
        (limits.swap || !limits.memory, "WARNING: No swap limit support"),
        (limits.oom_kill_disable || limits.version != 1, "WARNING: No oom kill disable support"),
        (limits.cpu_quota, "WARNING: No cpu cfs quota support"),
        (limits.cpu_quota, "WARNING: No cpu cfs period support"),
        (limits.cpu_shares, "WARNING: No cpu shares support"),
        (limits.cpuset, "WARNING: No cpuset support"),
        (limits.pids, "WARNING: No pids limit support"),
    ]
    .into_iter()
    .filter(|(supported, _)| !supported)
    .map(|(_, warning)| warning.to_owned())
    .collect()
}

fn proxy(name: &str) -> String {
    std::env::var(name).or_else(|_| std::env::var(name.to_lowercase())).unwrap_or_default()
}

/// Tasks of the async runtime we are called in, the nearest to Go's goroutines.
fn tasks() -> i64 {
    tokio::runtime::Handle::try_current()
        .map_or(0, |runtime| runtime.metrics().num_alive_tasks() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_limits_are_warned_about_in_dockers_words() {
        let all = Limits::ALL;
        assert!(warnings(all).is_empty());
        assert!(warnings(Limits { version: 2, oom_kill_disable: false, ..all }).is_empty());
        assert_eq!(warnings(Limits { swap: false, ..all }), ["WARNING: No swap limit support"]);
    }

    #[test]
    fn uuids_have_their_form() {
        let uuid = random_uuid().unwrap();
        assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'), "{uuid}");
    }
}
