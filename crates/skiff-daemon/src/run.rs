//! The daemon's life: prepare the process, listen, open the engine, wait for a signal, leave.
//!
//! Leaving touches no container. It takes two seconds at the most, whatever hangs.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skiff_engine::config::CgroupDriver;
use skiff_engine::{Engine, EngineConfig};
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

use crate::flags::Given;
use crate::http::Api;
use crate::listen::{ListenError, Sockets};
use crate::logging;
use crate::reload::Reloadable;
use crate::remap::{self, RemapError};
use crate::server::{MAX_CONNECTIONS, Server};
use crate::settings::Settings;
use crate::tls::{self, TlsError};

/// The kernel's killer should take almost anything before the daemon.
const OOM_SCORE_ADJ: &str = "-500";
/// How long the engine may take to write what is not yet written.
const SHUTDOWN: Duration = Duration::from_millis(1500);
/// Threads that serve requests.
const WORKERS: usize = 2;
/// Deep enough for every future and for serde; pages that are not touched cost nothing.
const STACK: usize = 1 << 20;
/// How long a thread for blocking work stays without any.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Why the daemon ended early.
#[derive(Debug, Error)]
pub(crate) enum RunError {
    #[error("failed to start daemon: {0}")]
    Engine(#[from] skiff_engine::Error),
    #[error("failed to start daemon: {0}")]
    Remap(#[from] RemapError),
    #[error(
        "failed to start daemon, ensure skiff is not running or delete {path}: process with PID \
         {pid} is still running"
    )]
    PidFile { path: PathBuf, pid: u32 },
    #[error("failed to load listeners: {0}")]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("failed to start daemon: {what}: {source}")]
    Io { what: String, source: io::Error },
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> RunError {
    let what = what.into();
    move |source| RunError::Io { what, source }
}

/// Runs the daemon until a signal ends it.
pub(crate) fn run(given: Given, settings: Settings) -> Result<(), RunError> {
    check_pidfile(&settings.pidfile)?;
    let reloadable = Arc::new(Reloadable::new(given, &settings));
    prepare_process();
    let tls = settings.tls.as_ref().map(tls::acceptor).transpose()?;
    let sockets = Sockets::open(&settings.hosts, settings.group.as_deref(), tls.is_some())?;
    let paths = sockets.paths.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_stack_size(STACK)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .thread_name("api")
        .enable_all()
        .build()
        .map_err(failed("start the runtime"))?;
    let api = Arc::new(Api::new(reloadable.clone()));
    let server = Server::new(api.clone(), tls, MAX_CONNECTIONS);
    for option in settings.recorded.keys() {
        logging::info(format_args!("--{option} is kept for a later version, it does nothing yet"));
    }
    let result = runtime.block_on(async {
        for socket in sockets.open {
            tokio::spawn(server.clone().accept(socket));
        }
        live(&settings, &api, &reloadable).await
    });
    Sockets::unlink(&paths);
    remove_pidfile(&settings.pidfile);
    // Requests that hang, and blocking work, end with the process.
    runtime.shutdown_background();
    result
}

/// Settings of the process that nothing in Rust's runtime makes. SIGPIPE is ignored already.
fn prepare_process() {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ) {
        logging::warn(format_args!("set the OOM score adjustment: {error}"));
    }
}

/// Connections, followed logs and monitors each take a descriptor. Done after the keeper is there,
/// because containers get its limits, and programs that close every possible descriptor would
/// take their time.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        logging::warn(format_args!("raise the limit of open files: {error}"));
    }
}

async fn live(settings: &Settings, api: &Api, reloadable: &Reloadable) -> Result<(), RunError> {
    let mut stop = Stop::new().map_err(failed("handle signals"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed("handle signals"))?;
    let executable = std::env::current_exe().map_err(failed("find the executable"))?;
    let mut config = engine_config(settings, executable);
    config.users = remap::resolve(&settings.userns_remap)?;
    let engine = tokio::select! {
        engine = Engine::open(config) => engine?,
        name = stop.next() => {
            logging::info(format_args!("{name} while starting"));
            return Ok(());
        }
    };
    // The socket lies in it, and members of its group must be able to pass through.
    drop(std::fs::set_permissions(&settings.exec_root, PermissionsExt::from_mode(0o711)));
    write_pidfile(&settings.pidfile)?;
    raise_descriptor_limit();
    api.open(engine.clone());
    for host in &settings.hosts {
        logging::info(format_args!("API listen on {host}"));
    }
    notify_systemd("READY=1");
    loop {
        tokio::select! {
            name = stop.next() => {
                logging::info(format_args!("{name}: leaving; containers run on"));
                break;
            }
            _ = hangup.recv() => reload(reloadable, &engine),
            () = api.quiet() => engine.release_memory(),
        }
    }
    notify_systemd("STOPPING=1");
    if timeout(SHUTDOWN, engine.shutdown()).await.is_err() {
        logging::warn(format_args!("the engine did not finish in time"));
    }
    Ok(())
}

fn reload(reloadable: &Reloadable, engine: &Engine) {
    match reloadable.reload() {
        Ok(runtimes) => {
            if let Some(runtimes) = runtimes {
                engine.set_runtimes(runtimes);
            }
            logging::info(format_args!("configuration reloaded"));
        }
        Err(error) => logging::error(format_args!("reload the configuration: {error}")),
    }
}

/// The signals that end a daemon.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> io::Result<Stop> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

fn engine_config(settings: &Settings, executable: PathBuf) -> EngineConfig {
    let mut config =
        EngineConfig::new(settings.data_root.clone(), settings.exec_root.clone(), executable);
    config.cgroup_driver =
        if settings.systemd_cgroup { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs };
    config.cgroup_parent = settings.cgroup_parent.clone();
    config.log_driver = settings.log_driver.clone();
    config.log_opts = settings.log_opts.clone();
    config.default_shm_size = settings.default_shm_size;
    config.default_ulimits = settings.default_ulimits.clone();
    config.default_cgroupns_mode = settings.default_cgroupns_mode.clone();
    config.default_ipc_mode = settings.default_ipc_mode.clone();
    config.seccomp_profile = settings.seccomp_profile.clone();
    config.no_new_privileges = settings.no_new_privileges;
    config.init = settings.init;
    config.dns = settings.dns.clone();
    config.dns_search = settings.dns_search.clone();
    config.dns_options = settings.dns_opts.clone();
    config.labels = settings.labels.clone();
    config.runtimes = settings.runtimes.clone();
    config.debug = settings.debug;
    config
}

/// Written only when the data root is ours, so it never names another daemon's process.
fn write_pidfile(path: &Path) -> Result<(), RunError> {
    let fail = || failed(format!("write the pid file {}", path.display()));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(fail())?;
    }
    std::fs::write(path, format!("{}", std::process::id())).map_err(fail())
}

/// Refuses to start beside the daemon that the file names.
fn check_pidfile(path: &Path) -> Result<(), RunError> {
    let recorded = std::fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    match recorded.filter(|pid: &u32| *pid != std::process::id() && is_daemon(*pid)) {
        Some(pid) => Err(RunError::PidFile { path: path.to_owned(), pid }),
        None => Ok(()),
    }
}

/// Whether a process is one of ours. Its number may have been given to anything else since, or to
/// us: after a crash in a container or early at boot numbers come again.
fn is_daemon(pid: u32) -> bool {
    let read = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
    read(pid).is_some_and(|name| Some(name) == read(std::process::id()))
}

fn remove_pidfile(path: &Path) {
    let ours = std::process::id().to_string();
    if std::fs::read_to_string(path).is_ok_and(|text| text.trim() == ours) {
        drop(std::fs::remove_file(path));
    }
}

/// Tells systemd how we are (`sd_notify(3)`), if it started us and wants to know.
fn notify_systemd(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_encoded_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| {
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
    });
    if let Err(error) = sent {
        logging::warn(format_args!("notify systemd: {error}"));
    }
}
