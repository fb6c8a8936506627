//! What the daemon tells the engine once, at start: places on disk and the host-wide defaults.
//!
//! Plain data; reading flags and `daemon.json` is the daemon's work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub use skiff_runtime::launch::CgroupDriver;

/// The name of the runtime that is this executable.
pub const BUILT_IN_RUNTIME: &str = "skiff";

/// Names by which Docker's users know the runtime that is there anyway: the built-in one. The daemon
/// refuses to give them to another.
pub const BUILT_IN_ALIASES: [&str; 2] = ["runc", "io.containerd.runc.v2"];

/// An OCI runtime with runc's command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// A path, or a name that is looked up in `PATH`.
    pub path: PathBuf,
    /// Come before all other arguments.
    pub args: Vec<String>,
}

/// Who runs a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime<'a> {
    BuiltIn,
    External(&'a RuntimeConfig),
}

/// Who may run containers; the one part of the settings that changes while the engine is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtimes {
    /// Other programs that run containers, by the names that `HostConfig.Runtime` calls them.
    pub others: BTreeMap<String, RuntimeConfig>,
    /// Who runs those that name none.
    pub default: String,
}

impl Default for Runtimes {
    fn default() -> Self {
        Self { others: BTreeMap::new(), default: BUILT_IN_RUNTIME.to_owned() }
    }
}

impl Runtimes {
    /// Who runs containers that name this runtime; `None` if there is no such.
    pub(crate) fn get(&self, name: &str) -> Option<Runtime<'_>> {
        match self.others.get(name) {
            Some(runtime) => Some(Runtime::External(runtime)),
            None => is_built_in(name).then_some(Runtime::BuiltIn),
        }
    }
}

/// Settings of an engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Durable data (`/var/lib/skiff`).
    pub data_root: PathBuf,
    /// State that ends with the boot (`/run/skiff`).
    pub exec_root: PathBuf,
    /// The executable that is started with the one argument `keeper` when no keeper answers.
    /// A copy of it is what ends up running, see ARCHITECTURE.md "Processes".
    pub executable: PathBuf,
    pub cgroup_driver: CgroupDriver,
    /// Parent of containers' control groups; empty is the driver's default (`/skiff`,
    /// `system.slice`).
    pub cgroup_parent: String,
    /// `json-file`, `local`, `none`.
    pub log_driver: String,
    pub log_opts: BTreeMap<String, String>,
    /// Bytes of `/dev/shm` when the request names none.
    pub default_shm_size: i64,
    /// Limits every container gets unless it sets its own: name, soft, hard.
    pub default_ulimits: Vec<(String, i64, i64)>,
    /// `private` or `host`; empty lets the kernel's cgroup version decide, as Docker does.
    pub default_cgroupns_mode: String,
    /// `private` or `shareable`; empty is `private`.
    pub default_ipc_mode: String,
    /// Path of a seccomp profile in Docker's JSON, `unconfined`, or empty for the built-in one.
    pub seccomp_profile: String,
    /// Set `no_new_privs` for every container that does not say otherwise.
    pub no_new_privileges: bool,
    /// Run an init in every container that does not say otherwise.
    pub init: bool,
    /// Name servers, search domains and options for containers that name none.
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// Labels of the daemon, shown by `info`.
    pub labels: Vec<String>,
    /// Seconds between asking a container to stop and killing it, unless it says otherwise.
    pub stop_timeout_s: i64,
    /// How long a monitor may take to start a container. Longer than it has patience with another
    /// runtime, whose failure says more.
    pub launch_limit: Duration,
    /// At the start; later [`crate::Engine::set_runtimes`] rules.
    pub runtimes: Runtimes,
    pub debug: bool,
    /// Ids of the user namespaces that containers get; `None` leaves them in the host's.
    pub users: Option<skiff_model::id_map::IdMap>,
}

impl EngineConfig {
    /// The defaults, for these two directories and this executable.
    pub fn new(
        data_root: impl Into<PathBuf>,
        exec_root: impl Into<PathBuf>,
        executable: impl Into<PathBuf>,
    ) -> EngineConfig {
        EngineConfig {
            data_root: data_root.into(),
            exec_root: exec_root.into(),
            executable: executable.into(),
            cgroup_driver: CgroupDriver::Cgroupfs,
            cgroup_parent: String::new(),
            log_driver: "json-file".to_owned(),
            log_opts: BTreeMap::new(),
            default_shm_size: 64 << 20,
            default_ulimits: Vec::new(),
            default_cgroupns_mode: String::new(),
            default_ipc_mode: String::new(),
            seccomp_profile: String::new(),
            no_new_privileges: false,
            init: false,
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            labels: Vec::new(),
            stop_timeout_s: 10,
            launch_limit: Duration::from_secs(20) + skiff_shim::external::LAUNCH_LIMIT,
            runtimes: Runtimes::default(),
            debug: false,
            users: None,
        }
    }
}

/// Whether a name means the built-in runtime. Records from before there was a choice have none.
fn is_built_in(name: &str) -> bool {
    name.is_empty() || name == BUILT_IN_RUNTIME || BUILT_IN_ALIASES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_names_mean_the_built_in_runtime() {
        let mut runtimes = Runtimes::default();
        for name in ["", "skiff", "runc", "io.containerd.runc.v2"] {
            assert_eq!(runtimes.get(name), Some(Runtime::BuiltIn), "{name}");
        }
        assert_eq!(runtimes.get("crun"), None);
        let other = RuntimeConfig { path: "/bin/runc".into(), args: Vec::new() };
        runtimes.others.insert("other".to_owned(), other.clone());
        assert_eq!(runtimes.get("other"), Some(Runtime::External(&other)));
        assert_eq!(runtimes.get("runc"), Some(Runtime::BuiltIn));
    }
}
