//! Opening a data root: every record becomes a container again, whatever state it and its files
//! are in.
//!
//! How a container is says its monitor (`revive.rs`). A record that cannot be read becomes a dead
//! container that can be removed; a directory without a record is something half-made and goes.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};

use super::driver::{Initial, Tie, spawn};
use super::record::{self, Paths, Phase, Record};
use super::registry;
use super::revive::revive;
use super::spec::Facts;
use super::state::State;
use super::validate::Host;
use crate::config::EngineConfig;
use crate::error::{Error, Kind, Result};
use crate::keeper::Keeper;
use crate::system::host;
use crate::{Core, exec, log, logs, restart, volume};

/// Monitors asked at a time.
const AT_ONCE: usize = 64;

pub(crate) async fn open(config: EngineConfig) -> Result<Arc<Core>> {
    let core = Arc::new(prepare(config).await?);
    let found = find(&core)?;
    let mut tasks = tokio::task::JoinSet::new();
    let mut waiting = found.into_iter();
    let mut revived = Vec::new();
    loop {
        while tasks.len() < AT_ONCE
            && let Some((record, paths)) = waiting.next()
        {
            tasks.spawn(async move { revive(record, paths).await });
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok(one)) => revived.push(one),
            Some(Err(error)) => return Err(Error::failed("restore a container", error)),
        }
    }
    for mut initial in revived {
        let host = &initial.record.host_config;
        if initial.record.life.phase == Phase::Removing && finish_removal(&core, &initial).await {
            continue;
        }
        let rests = matches!(initial.state, State::Created | State::Exited);
        let life = &initial.record.life;
        let started = life.started_at != 0;
        if rests && started && host.auto_remove {
            let paths =
                Paths::new(&core.config.data_root, &core.config.exec_root, &initial.record.id);
            if let Err(error) = super::trash::discard(&core, &initial.record, &paths) {
                log::warn(&format!("container {}: {error}", initial.record.id));
            }
            super::trash::discard_volumes(&core, &Arc::new(initial.record)).await;
            continue;
        }
        initial.restart = rests
            && started
            && restart::wanted_at_boot(
                &host.restart_policy,
                life.restart_count,
                life.stopped_by_user,
                life.exit_code,
            );
        let container = spawn(&core, initial);
        core.containers.restore(container);
    }
    // What a crash left between being stored and being named; containers hold theirs by now.
    if let Err(error) = core.store.collect() {
        log::warn(&format!("collect unused images: {error}"));
    }
    Ok(core)
}

/// Goes on where a removal was cut off. What cannot be removed stays as a dead container.
async fn finish_removal(core: &Arc<Core>, initial: &Initial) -> bool {
    let record = &initial.record;
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &record.id);
    if !matches!(initial.tie, Tie::None | Tie::Leaving(_)) {
        return false;
    }
    if let Err(error) = super::trash::discard(core, record, &paths) {
        log::warn(&format!("container {}: {error}", record.id));
        return false;
    }
    if record.host_config.auto_remove {
        super::trash::discard_volumes(core, &Arc::new(record.clone())).await;
    }
    true
}

/// Everything but the containers.
async fn prepare(config: EngineConfig) -> Result<Core> {
    let core = assemble(config)?;
    core.keeper.ensure().await?;
    Ok(core)
}

/// An engine without containers, whose keeper may not run.
pub(crate) fn assemble(mut config: EngineConfig) -> Result<Core> {
    let make = |path: &Path, mode: u32| {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(path)
            .map_err(|error| Error::failed(format!("make directory {}", path.display()), error))
    };
    make(&config.data_root, 0o710)?;
    make(&config.exec_root, 0o700)?;
    make(&config.data_root.join("containers"), 0o710)?;
    make(&config.exec_root.join("containers"), 0o700)?;
    let lock = take_lock(&config.data_root)?;
    let containers = Arc::new(registry::Registry::default());
    let users = containers.clone();
    let store = skiff_store::Store::open(&config.data_root, move || users.pins())
        .map_err(|error| Error::failed("open the image store", error))?;
    let volumes = volume::VolumeTable::open(&config.data_root)?;
    let keeper =
        Keeper::new(config.executable.clone(), config.exec_root.clone(), config.data_root.clone());
    Ok(Core {
        facts: facts(&config)?,
        host: Host {
            cpus: std::thread::available_parallelism()
                .map_or(1, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX)),
            systemd: config.cgroup_driver == skiff_runtime::launch::CgroupDriver::Systemd,
            limits: host::limits(),
            cpuset_cpus: host::cpuset("cpus"),
            cpuset_mems: host::cpuset("mems"),
        },
        events: crate::Events::default(),
        store,
        containers,
        execs: exec::table::Table::default(),
        volumes,
        log_watcher: logs::Watcher::default(),
        keeper,
        stopping: tokio::sync::watch::channel(false).0,
        runtimes: std::sync::RwLock::new(Arc::new(std::mem::take(&mut config.runtimes))),
        config,
        lock: Mutex::new(Some(lock)),
    })
}

fn take_lock(data_root: &Path) -> Result<fs::File> {
    let path = data_root.join("skiff.lock");
    let what = || format!("lock {}", path.display());
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| Error::failed(what(), error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::AGAIN) => Err(Error::new(
            Kind::Unavailable,
            format!("another engine uses {}", data_root.display()),
        )),
        Err(error) => Err(Error::failed(what(), std::io::Error::from(error))),
    }
}

fn facts(config: &EngineConfig) -> Result<Facts> {
    let layout = skiff_runtime::cgroup::host_layout()
        .map_err(|error| Error::failed("look at the host's control groups", error))?;
    let thermal = |entry: fs::DirEntry| {
        let path = entry.path().join("thermal_throttle");
        let name = entry.file_name();
        let cpu = name.to_str().and_then(|name| name.strip_prefix("cpu"));
        (cpu.is_some_and(|number| number.parse::<u32>().is_ok()) && path.exists()).then_some(path)
    };
    let cpus = fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    Ok(Facts {
        cgroup_v2: layout.hierarchies.is_empty(),
        cgroup_driver: config.cgroup_driver,
        cgroup_parent: config.cgroup_parent.clone(),
        thermal_paths: cpus.filter_map(thermal).collect(),
        default_ulimits: config.default_ulimits.clone(),
        no_new_privileges: config.no_new_privileges,
        capabilities: own_capabilities(),
        init: config.init,
        apparmor: fs::read("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|text| text.starts_with(b"Y")),
        users: config.users.clone(),
    })
}

/// What our bounding set has: in a container or a small virtual machine it may lack some.
fn own_capabilities() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(u64::MAX);
    let names = skiff_model::capability::NAMES.iter().enumerate();
    names.filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, name)| (*name).to_owned()).collect()
}

/// All recorded containers.
fn find(core: &Core) -> Result<Vec<(Record, Paths)>> {
    let root = core.config.data_root.join("containers");
    let what = || format!("read {}", root.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&root).map_err(|error| Error::failed(what(), error))? {
        let entry = entry.map_err(|error| Error::failed(what(), error))?;
        let Some(id) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &id);
        if !paths.dir.join(record::FILE).exists() {
            // Half-made: its record is written last.
            if let Err(error) = core.store.discard(&paths.dir) {
                log::warn(&format!("remove half-made container {id}: {error}"));
            }
            continue;
        }
        let record = match record::load(&paths.dir) {
            Ok(record) if record.id == id => record,
            Ok(_) => record::damaged(&id, &Error::internal("the record names another container")),
            Err(error) => record::damaged(&id, &error),
        };
        found.push((record, paths));
    }
    Ok(found)
}

/// Stops all drivers, waits until they have, and lets another engine have the data root. Containers
/// are not touched.
pub(crate) async fn shutdown(core: &Core) {
    core.stopping.send_replace(true);
    for container in core.containers.all() {
        container.commands.closed().await;
    }
    super::cgroup::leave(&core.config).await;
    drop(core.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
}
