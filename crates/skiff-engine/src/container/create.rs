//! Making a container: everything that can be refused is refused first, then the name is reserved,
//! then files are made, then the record; only with the record it exists.

use std::sync::Arc;

use skiff_api::{Config, ContainerCreateRequest, CreateResponse, HostConfig, List};

use super::driver::{Initial, Tie, spawn};
use super::record::{self, Durability, Life, Paths, Record};
use super::registry::Reservation;
use super::spec::{Owner, defaults, owner, private_cgroup};
use super::state::State;
use super::{effect, files, merge, mounts, names, users, validate};
use crate::error::{Error, Kind, Result};
use crate::{Core, clock, volume};

pub(super) async fn create(
    core: &Arc<Core>,
    name: Option<&str>,
    platform: Option<&str>,
    request: ContainerCreateRequest,
) -> Result<CreateResponse> {
    let name = name.filter(|name| !name.is_empty()).map(names::check).transpose()?;
    let ContainerCreateRequest { config, host_config, networking_config } = request;
    if config == Config::default() {
        return Err(Error::invalid("config cannot be empty in order to create a container"));
    }
    if config.image.is_empty() {
        return Err(Error::invalid("invalid reference format"));
    }
    // Its layers stay while our record does not name them yet.
    let image = crate::image::resolve_for(core, &config.image, platform)?;
    let mut config = merge::with_image(config, &image.config.config)?;
    let mut host = host_config.unwrap_or_default();
    validate::config(&config)?;
    let mut warnings = validate::discard(&mut host.resources, &core.host);
    validate::host_config(&host, &core.config, &core.runtimes(), &core.host)?;
    adapt(core, &mut host, &mut warnings)?;
    users::check_runtime(&core.config, &core.runtimes(), &host)?;
    let id = new_id()?;
    name_host(&mut config, &host, &id)?;
    let reservation = reserve(core, name, &id)?;
    let record = Record {
        version: 1,
        id: id.clone(),
        name: reservation.name.clone(),
        created: clock::now(),
        image_id: image.id().to_string(),
        platform: image.config.os.clone(),
        layers: image.chain_ids(),
        config,
        host_config: host,
        networking: networking_config.unwrap_or_default(),
        mounts: Vec::new(),
        life: Life::default(),
    };
    let paths = Paths::new(&core.config.data_root, &core.config.exec_root, &id);
    let made = make(core, record, &paths).await;
    let (record, held) = match made {
        Ok(made) => made,
        Err(error) => {
            // Half-made; the error is what counts.
            drop(core.store.discard(&paths.dir));
            return Err(error);
        }
    };
    let event = record.clone();
    let container =
        spawn(core, Initial { record, state: State::Created, tie: Tie::None, restart: false });
    core.containers.register(container, reservation);
    drop(held);
    effect::emit(&core.events, &event, "create", []);
    Ok(CreateResponse { id, warnings })
}

/// Makes the container's files and its record.
async fn make(
    core: &Arc<Core>,
    mut record: Record,
    paths: &Paths,
) -> Result<(Record, mounts::Resolved)> {
    record::ensure_dir(&paths.dir)?;
    for dir in [paths.upper(), paths.work()] {
        std::fs::create_dir(&dir)
            .map_err(|error| Error::failed(format!("make directory {}", dir.display()), error))?;
    }
    // The root of the container's file system is this directory's.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(paths.upper(), open).map_err(|error| {
        Error::failed(format!("set mode of {}", paths.upper().display()), error)
    })?;
    files::write(&core.config, paths, &record)?;
    let mut resolved = mounts::resolve(core, &record.config, &record.host_config)?;
    record.mounts = std::mem::take(&mut resolved.mounts);
    mounts::place_images(&mut record.mounts, paths);
    check_image_mounts(core, &record)?;
    let copy = record.mounts.iter().any(|mount| mount.copy_up);
    if record.host_config.auto_remove && !copy {
        record::save(&paths.dir, &record, Durability::Written)?;
        return Ok((record, resolved));
    }
    let (core, dir) = (core.clone(), paths.dir.clone());
    let record = tokio::task::spawn_blocking(move || -> Result<Record> {
        if copy {
            volume::copy_up(&core, &record)?;
        }
        let durability =
            if record.host_config.auto_remove { Durability::Written } else { Durability::Synced };
        record::save(&dir, &record, durability).map(|()| record)
    });
    let record = record.await.map_err(|error| Error::failed("save the record", error))??;
    Ok((record, resolved))
}

/// The kernel shows no overlay with the ids of a user namespace.
fn check_image_mounts(core: &Core, record: &Record) -> Result<()> {
    let mounted = record.mounts.iter().any(|mount| mount.image.is_some());
    if mounted && super::users::map_of(&core.facts, record).is_some() {
        return Err(Error::not_implemented(
            "mounts of type \"image\" are not supported with user namespaces: use --userns=host",
        ));
    }
    Ok(())
}

/// 64 hexadecimal digits, not all decimal in the first twelve: a short id must not look like a
/// number.
fn new_id() -> Result<String> {
    loop {
        let bytes: [u8; 32] = random()?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        if id[..12].parse::<u64>().is_err() {
            return Ok(id);
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut bytes, flags)
        .map_err(|error| Error::failed("get random bytes", std::io::Error::from(error)))?;
    Ok(bytes)
}

fn reserve<'a>(core: &'a Core, name: Option<&str>, id: &str) -> Result<Reservation<'a>> {
    if let Some(name) = name {
        return core.containers.reserve(name, id);
    }
    for attempt in 0..20 {
        let number = u64::from_ne_bytes(random()?);
        match core.containers.reserve(&names::random(number, attempt), id) {
            Err(error) if error.kind() == Kind::Conflict => {}
            other => return other,
        }
    }
    // Twenty random names were taken: the id is unique.
    core.containers.reserve(&id[..12], id)
}

/// A container without a host name is called by its id, or as the host whose network it shares.
fn name_host(config: &mut Config, host: &HostConfig, id: &str) -> Result<()> {
    let shares = matches!(owner(&host.network_mode), Owner::Container(_));
    if host.uts_mode == "host" && !config.hostname.is_empty() {
        return Err(Error::invalid("conflicting options: hostname and the UTS mode"));
    }
    if shares && !config.hostname.is_empty() {
        return Err(Error::invalid("conflicting options: hostname and the network mode"));
    }
    if config.hostname.is_empty() {
        config.hostname = if host.network_mode == "host" || host.uts_mode == "host" {
            rustix::system::uname().nodename().to_string_lossy().into_owned()
        } else {
            id[..12].to_owned()
        };
    }
    Ok(())
}

/// Fills in the daemon's defaults, and what names of other containers stand for.
fn adapt(core: &Core, host: &mut HostConfig, warnings: &mut Vec<String>) -> Result<()> {
    let default = |own: &mut String, value: &str| {
        if own.is_empty() {
            value.clone_into(own);
        }
    };
    default(&mut host.ipc_mode, &core.config.default_ipc_mode);
    default(&mut host.ipc_mode, "private");
    default(&mut host.cgroupns_mode, &core.config.default_cgroupns_mode);
    if host.cgroupns_mode.is_empty() {
        let private = !host.privileged && private_cgroup("", &core.facts);
        host.cgroupns_mode = if private { "private" } else { "host" }.to_owned();
    }
    default(&mut host.runtime, &core.runtimes().default);
    default(&mut host.restart_policy.name, "no");
    network(core, host, warnings)?;
    for mode in [&mut host.ipc_mode, &mut host.pid_mode] {
        resolve_owner(core, mode)?;
    }
    if host.shm_size == 0 {
        host.shm_size = core.config.default_shm_size;
    }
    if host.log_config.kind.is_empty() {
        host.log_config.kind.clone_from(&core.config.log_driver);
        if host.log_config.config.is_empty() {
            host.log_config.config =
                core.config.log_opts.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        }
    }
    validate::ports::normalize(&mut host.port_bindings);
    let resources = &mut host.resources;
    resources.pids_limit = resources.pids_limit.filter(|limit| *limit > 0);
    if core.host.limits.oom_kill_disable {
        resources.oom_kill_disable.get_or_insert(false);
    }
    if resources.memory > 0 && resources.memory_swap == 0 {
        resources.memory_swap = resources.memory.saturating_mul(2);
    }
    if !host.privileged {
        let paths = |own: &mut List<String>, default: &[&str]| {
            if own.is_null() {
                *own = default.iter().map(|path| (*path).to_owned()).collect();
            }
        };
        let unconfined =
            super::spec::security::Options::parse(&host.security_opt)?.system_paths_unconfined;
        if unconfined {
            host.masked_paths = List::empty();
            host.readonly_paths = List::empty();
        }
        paths(&mut host.masked_paths, &defaults::MASKED_PATHS);
        paths(&mut host.readonly_paths, &defaults::READONLY_PATHS);
    }
    Ok(())
}

fn network(core: &Core, host: &mut HostConfig, warnings: &mut Vec<String>) -> Result<()> {
    match host.network_mode.as_str() {
        "" | "default" | "bridge" => {
            host.network_mode = "bridge".to_owned();
            warnings.push(
                "bridge networks arrive with the next version: the container has a network of its \
                 own with the loopback interface only"
                    .to_owned(),
            );
        }
        "none" | "host" => {}
        mode if mode.starts_with("container:") => resolve_owner(core, &mut host.network_mode)?,
        // Networks come and go: the start looks for it.
        _ => {}
    }
    let published = host.publish_all_ports || !host.port_bindings.is_empty();
    if published && host.network_mode == "host" {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    if published && matches!(owner(&host.network_mode), Owner::Container(_)) {
        return Err(Error::invalid(
            "conflicting options: port publishing and the container type network mode",
        ));
    }
    Ok(())
}

/// `container:<name>` becomes `container:<id>`, so that renaming does not break it.
fn resolve_owner(core: &Core, mode: &mut String) -> Result<()> {
    if let Owner::Container(name) = owner(mode) {
        // The request is wrong: of a 404 clients think that the image is missing, and pull it.
        let found = core.containers.get(name);
        let id = found.map_err(|error| error.with_kind(Kind::InvalidArgument))?.id.clone();
        *mode = format!("container:{id}");
    }
    Ok(())
}
