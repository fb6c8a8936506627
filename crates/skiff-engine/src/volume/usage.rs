//! What clients and containers do with volumes.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use skiff_api::filters::Filters;
use skiff_api::volume::VolumeUsage;
use skiff_api::{Map, Volume, VolumeCreateRequest, VolumeListResponse, VolumesPruneReport};

use super::local;
use super::record::{self, ANONYMOUS_LABEL, VolumeRecord};
use super::table::Held;
use crate::container::record::Record;
use crate::{Core, Error, Result};

pub(super) fn create(core: &Core, request: &VolumeCreateRequest) -> Result<Volume> {
    let held = hold(core, request)?;
    Ok(render(core, &held.name, &held.record))
}

pub(super) fn hold(core: &Core, request: &VolumeCreateRequest) -> Result<Held> {
    let random;
    let name = if request.name.is_empty() {
        random = random_name()?;
        &random
    } else {
        record::check_name(&request.name)?;
        &request.name
    };
    let mut record = VolumeRecord::new(request, crate::clock::now())
        .map_err(|error| error.context(format!("create {name}")))?;
    if request.name.is_empty() {
        record.labels.get_or_insert_default().insert(ANONYMOUS_LABEL.to_owned(), String::new());
    }
    let held = core.volumes.hold(name, record)?;
    if held.is_new {
        emit(core, &held.name, "create");
    }
    Ok(held)
}

/// 64 hexadecimal digits.
fn random_name() -> Result<String> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Error::failed("get random bytes", error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn emit(core: &Core, name: &str, action: &str) {
    let attributes = BTreeMap::from([("driver".to_owned(), "local".to_owned())]);
    core.events.emit("volume", action, name, attributes);
}

pub(super) fn inspect(core: &Core, name: &str) -> Result<Volume> {
    let record = core.volumes.get(name).ok_or_else(|| no_such(name))?;
    Ok(render(core, name, &record))
}

fn no_such(name: &str) -> Error {
    Error::not_found(format!("get {name}: no such volume"))
}

pub(super) fn list(core: &Core, filters: &Filters) -> Result<VolumeListResponse> {
    accept(filters, &["dangling", "driver", "label", "label!", "name"])?;
    let dangling = match filters.contains("dangling") {
        true => Some(filters.boolean("dangling", true).map_err(invalid)?),
        false => None,
    };
    let users = users(core);
    let volumes = core.volumes.all();
    let shown = volumes.iter().filter(|(name, record)| {
        let labels = record.labels.clone().unwrap_or_default();
        (!filters.contains("name") || filters.values("name").any(|part| name.contains(part)))
            && filters.matches_exactly("driver", "local")
            && filters.accepts_labels(&labels)
            && dangling.is_none_or(|dangling| dangling != users.contains_key(name))
    });
    Ok(VolumeListResponse {
        volumes: shown.map(|(name, record)| render(core, name, record)).collect(),
        ..VolumeListResponse::default()
    })
}

fn accept(filters: &Filters, known: &[&str]) -> Result<()> {
    filters.accept_only(known).map_err(invalid)
}

fn invalid(error: skiff_api::filters::FilterError) -> Error {
    Error::invalid(error.to_string())
}

pub(super) fn remove(core: &Core, name: &str, force: bool) -> Result<()> {
    match discard(core, name)? {
        Some(true) => Ok(()),
        None if force => Ok(()),
        None => Err(no_such(name)),
        Some(false) => {
            let users = users(core).remove(name).unwrap_or_default();
            Err(Error::conflict(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )))
        }
    }
}

/// `None` when there is no such volume, false when it is in use.
fn discard(core: &Core, name: &str) -> Result<Option<bool>> {
    let Some(record) = core.volumes.get(name) else { return Ok(None) };
    let is_used = || users(core).contains_key(name);
    let unmount = |data: &Path| local::unmount(name, &record, data);
    let outcome = core.volumes.remove(name, is_used, unmount)?;
    if outcome == Some(true) {
        emit(core, name, "destroy");
    }
    Ok(outcome)
}

pub(super) fn prune(core: &Core, filters: &Filters) -> Result<VolumesPruneReport> {
    accept(filters, &["all", "label", "label!"])?;
    let all = filters.boolean("all", false).map_err(invalid)?;
    let mut report = VolumesPruneReport {
        volumes_deleted: skiff_api::List::empty(),
        ..VolumesPruneReport::default()
    };
    let used = users(core);
    for (name, record) in core.volumes.all() {
        let labels = record.labels.clone().unwrap_or_default();
        let wanted = (all || record.is_anonymous()) && filters.accepts_labels(&labels);
        if !wanted || used.contains_key(&name) {
            continue;
        }
        let size = size_of(&core.volumes.data(&name))?;
        if discard(core, &name)? == Some(true) {
            report.space_reclaimed += size.cast_unsigned();
            report.volumes_deleted.push(name);
        }
    }
    let attributes = BTreeMap::from([("reclaimed".to_owned(), report.space_reclaimed.to_string())]);
    core.events.emit("volume", "prune", "", attributes);
    Ok(report)
}

pub(super) fn mount_for(core: &Core, record: &Record) -> Result<()> {
    for name in used_by(record) {
        if let Some(volume) = core.volumes.get(name) {
            local::mount(name, &volume, &core.volumes.data(name))?;
        }
    }
    Ok(())
}

pub(super) fn remove_anonymous(core: &Core, record: &Record) -> Vec<Error> {
    let anonymous = record.mounts.iter().filter(|mount| mount.anonymous);
    anonymous.filter_map(|mount| discard(core, &mount.point.name).err()).collect()
}

/// Names of the volumes a container uses.
fn used_by(record: &Record) -> impl Iterator<Item = &str> {
    let points = record.mounts.iter().map(|mount| &mount.point);
    points.filter(|point| point.kind == "volume").map(|point| point.name.as_str())
}

/// Ids of the containers that use each volume that is used.
fn users(core: &Core) -> BTreeMap<String, Vec<String>> {
    let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for container in core.containers.all() {
        for name in used_by(&container.view().record) {
            users.entry(name.to_owned()).or_default().push(container.id.clone());
        }
    }
    users
}

pub(super) fn disk_usage(core: &Core) -> Result<Vec<Volume>> {
    let users = users(core);
    let mut volumes = Vec::new();
    for (name, record) in core.volumes.all() {
        let usage = VolumeUsage {
            ref_count: users.get(&name).map_or(0, |users| users.len() as i64),
            size: size_of(&core.volumes.data(&name))?,
        };
        volumes.push(Volume { usage_data: Some(usage), ..render(core, &name, &record) });
    }
    Ok(volumes)
}

/// Bytes of a volume's files; one that is removed meanwhile is empty.
fn size_of(data: &Path) -> Result<i64> {
    crate::archive::disk_size(data)
        .map_err(|error| Error::failed(format!("measure {}", data.display()), error))
}

fn render(core: &Core, name: &str, record: &VolumeRecord) -> Volume {
    let map =
        |map: &Option<BTreeMap<String, String>>| map.clone().map(Map::from).unwrap_or_default();
    // Docker shows seconds here, in the zone of the host.
    let created = Timestamp::from_second(record.created.div_euclid(1_000_000_000));
    Volume {
        created_at: created.map(|time| time.to_string()).unwrap_or_default(),
        driver: "local".to_owned(),
        labels: map(&record.labels),
        mountpoint: core.volumes.data(name).to_string_lossy().into_owned(),
        name: name.to_owned(),
        options: map(&record.options),
        scope: "local".to_owned(),
        ..Volume::default()
    }
}
