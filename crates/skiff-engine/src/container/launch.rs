//! From a record to what a monitor needs to start the container, and what is left when it ended.

use skiff_api::HostConfig;
use skiff_model::id_map::IdMap;
use skiff_model::oci::{Seccomp, Spec};
use skiff_runtime::launch::{
    CgroupDriver, Launch, LaunchError, LaunchErrorKind, Rootfs, SeccompSource, UserRequest,
};
use skiff_runtime::seccomp;
use skiff_shim::protocol::{ExitRecord, ExternalRuntime, LaunchRequest, LogTarget};

use super::record::{Paths, Record, ensure_dir};
use super::registry::View;
use super::spec::security::{Options, Seccomp as SeccompOption};
use super::spec::{self, Input, Peers};
use super::spec::{Owner, owner};
use super::{effect, files, users, validate};
use crate::config::{EngineConfig, Runtime};
use crate::error::{Error, Kind, Result};
use crate::{Core, volume};

/// Makes the launch request of a container, with everything it needs on the host in place.
pub(super) async fn prepare(
    core: &std::sync::Arc<Core>,
    record: &std::sync::Arc<Record>,
    paths: &Paths,
) -> Result<LaunchRequest> {
    // Mounts of volumes may wait for a server; all else is a few microseconds.
    if record.mounts.iter().any(|mount| mount.point.kind == "volume") {
        let (core, record) = (core.clone(), record.clone());
        tokio::task::spawn_blocking(move || volume::mount(&core, &record))
            .await
            .map_err(|error| Error::failed("mount volumes", error))??;
    }
    request(core, record, paths)
}

fn request(core: &Core, record: &Record, paths: &Paths) -> Result<LaunchRequest> {
    let (peers, network_peer) = peers(core, record)?;
    clean_run_dir(paths);
    ensure_dir(&paths.run_dir)?;
    crate::archive::mount_images(core, record)?;
    let resolved = resolve_subpaths(core, record)?;
    let record = resolved.as_ref().unwrap_or(record);
    make_sources(record)?;
    if record.host_config.ipc_mode == "shareable" {
        let users = users::map_of(&core.facts, record);
        mount_shm(paths, record.host_config.shm_size, users)?;
    }
    let input = Input {
        record,
        paths,
        facts: &core.facts,
        peers: &peers,
        files: files::bound(&core.config, paths, network_peer.as_deref()),
        foreign_volumes: volume::mounted_over(core, record),
    };
    let mut spec = spec::build(&input)?;
    let runtime = runtime(core, record, paths)?;
    // The settings may be others than when it was made.
    users::check_runtime(&core.config, &core.runtimes(), &record.host_config)
        .map_err(|error| error.with_kind(Kind::Conflict))?;
    let init = record.host_config.init.unwrap_or(core.facts.init);
    let seccomp = match &runtime {
        None => filter(&core.config, &record.host_config, bounding(&spec))?,
        Some(_) => {
            suit_external(&core.config, record, init, &mut spec)?;
            None
        }
    };
    let launch = Launch {
        id: record.id.clone(),
        bundle: paths.dir.clone(),
        spec,
        rootfs: rootfs(core, record, paths)?,
        cgroup_driver: core.facts.cgroup_driver,
        user: Some(UserRequest {
            user: record.config.user.clone(),
            additional_groups: record.host_config.group_add.to_vec(),
        }),
        seccomp: seccomp.map_or(SeccompSource::Spec, SeccompSource::Program),
        init: init && runtime.is_none(),
    };
    Ok(LaunchRequest {
        launch,
        run_dir: paths.run_dir.clone(),
        tty: record.config.tty,
        open_stdin: record.config.open_stdin,
        stdin_once: record.config.stdin_once,
        log: log_target(record, paths)?,
        attach: Vec::new(),
        runtime,
    })
}

fn bounding(spec: &Spec) -> &[String] {
    let capabilities = spec.process.as_ref().and_then(|process| process.capabilities.as_ref());
    capabilities.map_or(&[][..], |sets| &sets.bounding)
}

/// The other program that is to run the container; `None` is ourselves. It was there when the
/// container was made, and may have left the settings since.
fn runtime(core: &Core, record: &Record, paths: &Paths) -> Result<Option<ExternalRuntime>> {
    let (config, name) = (&core.config, &record.host_config.runtime);
    match core.runtimes().get(name).ok_or_else(|| validate::unknown_runtime(name))? {
        Runtime::BuiltIn => Ok(None),
        Runtime::External(runtime) => Ok(Some(ExternalRuntime {
            name: name.clone(),
            path: runtime.path.clone(),
            args: runtime.args.clone(),
            root: config.exec_root.join("runtimes").join(name),
            bundle: paths.bundle(),
            systemd_cgroup: config.cgroup_driver == CgroupDriver::Systemd,
        })),
    }
}

/// Puts into the specification what our own runtime gets or does beside it.
fn suit_external(
    config: &EngineConfig,
    record: &Record,
    init: bool,
    spec: &mut Spec,
) -> Result<()> {
    let profile = seccomp_profile(config, &record.host_config, bounding(spec))?;
    if let Some(linux) = &mut spec.linux {
        linux.seccomp = profile;
    }
    if init {
        spec::run_under_init(spec, &config.executable);
    }
    Ok(())
}

fn rootfs(core: &Core, record: &Record, paths: &Paths) -> Result<Rootfs> {
    Ok(Rootfs::Overlay {
        lowers: crate::archive::layers(core, record)?,
        upper: paths.upper(),
        work: paths.work(),
        volatile: record.host_config.auto_remove,
        mapped: users::map_of(&core.facts, record).is_some(),
    })
}

/// Processes of the containers whose namespaces are shared; they must run.
fn peers(core: &Core, record: &Record) -> Result<(Peers, Option<std::sync::Arc<View>>)> {
    let host = &record.host_config;
    let own_users = users::map_of(&core.facts, record).is_some();
    let find = |mode: &str, what: &str| -> Result<Option<(std::sync::Arc<View>, i32)>> {
        let Owner::Container(name) = owner(mode) else { return Ok(None) };
        let view = core.containers.get(name)?.view();
        match view.state.live() {
            Some(live) => {
                if own_users {
                    users::check_peer(what, &view.record.id, live.pid)?;
                }
                Ok(Some((view, live.pid)))
            }
            None => Err(Error::conflict(format!(
                "cannot join {what} of a non running container: {}",
                view.record.id
            ))),
        }
    };
    let network = find(&host.network_mode, "network")?;
    let ipc = find(&host.ipc_mode, "IPC")?;
    let pid = find(&host.pid_mode, "PID")?;
    let shm = ipc.as_ref().map(|(view, _)| {
        Paths::new(&core.config.data_root, &core.config.exec_root, &view.record.id).shm()
    });
    let peers = Peers {
        network: network.as_ref().map(|(_, pid)| *pid),
        ipc: ipc.as_ref().map(|(_, pid)| *pid),
        pid: pid.as_ref().map(|(_, pid)| *pid),
        // As Docker, the last of them if there are several.
        users: pid.as_ref().or(ipc.as_ref()).or(network.as_ref()).map(|(_, pid)| *pid),
        shm,
    };
    Ok((peers, network.map(|(view, _)| view)))
}

/// The record with parts of volumes replaced by what they are now; `None` without such parts.
/// Containers write to volumes, so a part may have become a link: it must not lead out.
fn resolve_subpaths(core: &Core, record: &Record) -> Result<Option<Record>> {
    use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
    if record.mounts.iter().all(|mount| mount.subpath.is_empty()) {
        return Ok(None);
    }
    let mut record = record.clone();
    for mount in record.mounts.iter_mut().filter(|mount| !mount.subpath.is_empty()) {
        let (kind, name) = (&mount.point.kind, &mount.point.name);
        let failed = |error: std::io::Error| {
            Error::failed(format!("open {:?} in {kind} {name}", mount.subpath), error)
        };
        let whole = match &mount.image {
            Some(_) => mount.source.clone(),
            None => core.volumes.data(name),
        };
        let whole = std::fs::File::open(whole).map_err(failed)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let part = openat2(&whole, &mount.subpath, flags, Mode::empty(), resolve)
            .map_err(|error| failed(error.into()))?;
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&part));
        mount.source = std::fs::read_link(link).map_err(failed)?;
    }
    Ok(Some(record))
}

/// Makes the directories that binds may have made, as Docker's `-v` does.
fn make_sources(record: &Record) -> Result<()> {
    for mount in record.mounts.iter().filter(|mount| mount.create_source) {
        if !mount.source.exists() {
            std::fs::create_dir_all(&mount.source).map_err(|error| {
                Error::failed(
                    format!("error while creating mount source path '{}'", mount.source.display()),
                    error,
                )
            })?;
        }
    }
    Ok(())
}

/// The program of the container's system call filter; `None` is no filter.
pub(crate) fn filter(
    config: &EngineConfig,
    host: &HostConfig,
    bounding: &[String],
) -> Result<Option<Vec<u8>>> {
    match filter_source(config, host)? {
        FilterSource::None => Ok(None),
        FilterSource::Builtin => Ok(Some(seccomp::default_program(bounding).to_vec())),
        FilterSource::Json(json) => {
            let profile = seccomp::profile_from_json(&json, bounding).map_err(undecoded)?;
            let filter = profile.map(|profile| seccomp::compile(&profile)).transpose();
            Ok(filter.map_err(undecoded)?.map(|filter| filter.program))
        }
    }
}

/// As [`filter`], in the form of the specification.
fn seccomp_profile(
    config: &EngineConfig,
    host: &HostConfig,
    bounding: &[String],
) -> Result<Option<Seccomp>> {
    match filter_source(config, host)? {
        FilterSource::None => Ok(None),
        FilterSource::Builtin => Ok(Some(seccomp::default_profile(bounding))),
        FilterSource::Json(json) => seccomp::profile_from_json(&json, bounding).map_err(undecoded),
    }
}

fn undecoded(error: seccomp::SeccompError) -> Error {
    match error {
        // The words are whole already.
        seccomp::SeccompError::Decode(_) => Error::internal(error.to_string()),
        error => Error::failed("Decoding seccomp profile failed", error),
    }
}

/// Where the filter comes from.
enum FilterSource {
    None,
    Builtin,
    /// A profile in Docker's JSON.
    Json(String),
}

fn filter_source(config: &EngineConfig, host: &HostConfig) -> Result<FilterSource> {
    let options = Options::parse(&host.security_opt)?;
    Ok(match options.seccomp {
        // A privileged container has none unless it asks for one by name.
        SeccompOption::Default if host.privileged => FilterSource::None,
        SeccompOption::Default => {
            match config.seccomp_profile.as_str() {
                "" | "builtin" | "default" => FilterSource::Builtin,
                "unconfined" => FilterSource::None,
                path => FilterSource::Json(std::fs::read_to_string(path).map_err(|error| {
                    Error::failed(format!("read seccomp profile {path}"), error)
                })?),
            }
        }
        SeccompOption::Builtin => FilterSource::Builtin,
        SeccompOption::Unconfined => FilterSource::None,
        SeccompOption::Profile(json) => FilterSource::Json(json),
    })
}

/// The files of the `local` driver rotate by default.
const LOCAL_MAX_SIZE: u64 = 20 << 20;
const LOCAL_MAX_FILE: u32 = 5;

fn log_target(record: &Record, paths: &Paths) -> Result<LogTarget> {
    let log = &record.host_config.log_config;
    if log.kind == "none" {
        return Ok(LogTarget::None);
    }
    let local = log.kind == "local";
    let option = |name: &str| log.config.get(name).map(String::as_str);
    let max_size = match option("max-size") {
        None if local => LOCAL_MAX_SIZE,
        None => 0,
        Some(text) => skiff_model::size::parse_bytes(text)
            .ok()
            .and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| Error::invalid(format!("invalid value for max-size: {text}")))?,
    };
    let max_file = match option("max-file") {
        None if local => LOCAL_MAX_FILE,
        None => 1,
        Some(text) => text
            .parse()
            .map_err(|_| Error::invalid(format!("invalid value for max-file: {text}")))?,
    };
    Ok(LogTarget::JsonFile {
        path: paths.log(&record.id),
        max_size,
        max_file,
        compress: option("compress").map_or(local, |text| matches!(text, "true" | "1")),
        attrs: log_attributes(record),
    })
}

/// What `labels`, `env` and `tag` add to each line of the log.
fn log_attributes(record: &Record) -> std::collections::BTreeMap<String, String> {
    let options = &record.host_config.log_config.config;
    let named = |option: &str| -> Vec<String> {
        let names = options.get(option).map_or("", String::as_str);
        names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let mut attributes = std::collections::BTreeMap::new();
    for name in named("labels") {
        if let Some(value) = record.config.labels.get(&name) {
            attributes.insert(name, value.clone());
        }
    }
    for name in named("env") {
        let variable = record.config.env.iter().find_map(|variable| {
            variable.split_once('=').filter(|(has, _)| *has == name).map(|(_, value)| value)
        });
        if let Some(value) = variable {
            attributes.insert(name, value.to_owned());
        }
    }
    if let Some(tag) = options.get("tag").filter(|tag| !tag.is_empty()) {
        let short = &record.id[..record.id.len().min(12)];
        let tag = tag
            .replace("{{.ID}}", short)
            .replace("{{.FullID}}", &record.id)
            .replace("{{.Name}}", &record.name)
            .replace("{{.ImageName}}", &record.config.image);
        attributes.insert("tag".to_owned(), tag);
    }
    attributes
}

fn mount_shm(paths: &Paths, size: i64, users: Option<&IdMap>) -> Result<()> {
    use rustix::mount::{MountFlags, mount};
    let shm = paths.shm();
    unmount_shm(paths);
    let failed = |error: std::io::Error| {
        Error::failed(format!("mount shared memory at {}", shm.display()), error)
    };
    std::fs::create_dir_all(&shm).map_err(failed)?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let (uid, gid) = users.and_then(IdMap::root).unwrap_or_default();
    let data = std::ffi::CString::new(format!("mode=1777,size={size},uid={uid},gid={gid}"))
        .expect("digits and letters have no NUL");
    mount("shm", &shm, "tmpfs", flags, &*data).map_err(|error| failed(error.into()))
}

/// Unmounts the shared memory that a container let others have. Those who have it keep it.
fn unmount_shm(paths: &Paths) {
    let shm = paths.shm();
    if shm.exists() {
        // Not mounted is what was wanted.
        let _ = rustix::mount::unmount(&shm, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Clears what belongs to one run.
pub(super) fn clean_run_dir(paths: &Paths) {
    match std::fs::remove_dir_all(&paths.run_dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            crate::log::warn(&format!("clear {}: {error}", paths.run_dir.display()));
        }
    }
    unmount_shm(paths);
    unmount_images(paths);
}

/// Unmounts the images that a container had mounted.
fn unmount_images(paths: &Paths) {
    for place in std::fs::read_dir(paths.images()).into_iter().flatten().flatten() {
        // Not mounted is what was wanted.
        let _ = rustix::mount::unmount(place.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// Clears away what a monitor that died has left of a container that another program ran. It may
/// wait for that program.
pub(super) async fn clear_bundle(paths: &Paths) {
    let bundle = paths.bundle();
    if !bundle.exists() {
        return;
    }
    let done = tokio::task::spawn_blocking(move || skiff_shim::external::discard(&bundle));
    if let Err(error) = done.await {
        crate::log::warn(&format!("clear {}: {error}", paths.bundle().display()));
    }
}

/// How the last run ended, as its monitor has written it down.
pub(super) fn read_exit_record(paths: &Paths) -> Option<ExitRecord> {
    skiff_shim::client::read_exit_record(&paths.run_dir).ok().flatten()
}

/// What a start that failed means to the client, and the exit code that goes with it. Another
/// runtime's words are whole sentences already.
pub(super) fn failure(runtime: Runtime<'_>, error: &LaunchError) -> (Error, i32) {
    let (code, program) = match error.kind {
        LaunchErrorKind::NotFound => (127, true),
        LaunchErrorKind::NotExecutable => (126, true),
        LaunchErrorKind::InvalidConfig => (128, true),
        LaunchErrorKind::UnknownUser | LaunchErrorKind::NoWorkingDir => {
            return (effect::start_error(error.message.clone(), false), 128);
        }
        LaunchErrorKind::Failed => (128, false),
    };
    let what = match runtime {
        Runtime::BuiltIn => {
            format!("runc create failed: unable to start container process: {}", error.message)
        }
        Runtime::External(_) => error.message.clone(),
    };
    let message = format!(
        "failed to create task for container: failed to create shim task: OCI runtime create \
         failed: {what}: unknown"
    );
    (effect::start_error(message, program), code)
}

/// What an exec that failed means to the client; `exec_exit_code` is its exit code.
pub(crate) fn exec_failure(runtime: Runtime<'_>, error: &LaunchError) -> Error {
    let what = match runtime {
        Runtime::BuiltIn => {
            format!("exec failed: unable to start container process: {}", error.message)
        }
        Runtime::External(_) => error.message.clone(),
    };
    let message = format!("OCI runtime exec failed: {what}: unknown");
    let kind = match error.kind {
        LaunchErrorKind::NotFound
        | LaunchErrorKind::NotExecutable
        | LaunchErrorKind::InvalidConfig => Kind::InvalidArgument,
        LaunchErrorKind::UnknownUser => return Error::invalid(error.message.clone()),
        LaunchErrorKind::NoWorkingDir | LaunchErrorKind::Failed => Kind::Internal,
    };
    Error::new(kind, message)
}
