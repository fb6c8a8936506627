//! Control groups made by systemd: a transient scope for each container.
//!
//! A scope exists only while it has processes, and is asked for with one. Since the container's
//! first process is cloned straight into the finished group, a placeholder process stands in until
//! then; it is killed when the [`super::Placement`] is dropped, after the start.
//!
//! On v1 systemd makes the directories of those controllers it has a use for; the others are made
//! by us, at the same path.

mod connection;
mod message;
mod placeholder;
mod properties;

use std::path::PathBuf;

use skiff_model::oci::Resources;

use self::connection::{Connection, manager};
use self::message::{Reader, Writer};
pub(super) use self::placeholder::Placeholder;
use self::properties::Property;
use super::error::{CgroupError, Result};
use super::layout::{Layout, LayoutMode};
use super::{CgroupConfig, CgroupPaths, paths};

/// Where a scope is to be, from `slice:prefix:name`.
#[derive(Debug, PartialEq, Eq)]
struct Scope {
    slice: String,
    unit: String,
}

impl Scope {
    fn parse(path: &str, id: &str) -> Result<Scope> {
        let invalid = |reason| CgroupError::InvalidPath { path: path.to_owned(), reason };
        let (slice, prefix, name) = if path.is_empty() {
            ("", "skiff", id)
        } else {
            let mut parts = path.splitn(3, ':');
            match (parts.next(), parts.next(), parts.next()) {
                (Some(slice), Some(prefix), Some(name)) => (slice, prefix, name),
                _ => return Err(invalid("expected \"slice:prefix:name\"")),
            }
        };
        let slice = if slice.is_empty() { "system.slice" } else { slice };
        let unit = if prefix.is_empty() {
            format!("{name}.scope")
        } else {
            format!("{prefix}-{name}.scope")
        };
        let is_valid = |text: &str| {
            text.len() <= 255
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.\\@:".contains(&b))
        };
        if name.is_empty() || !is_valid(&unit) {
            return Err(invalid("not a unit name"));
        }
        if !is_valid(slice) || expand_slice(slice).is_none() {
            return Err(invalid("not a slice name"));
        }
        Ok(Scope { slice: slice.to_owned(), unit })
    }

    /// The path below each hierarchy's root.
    fn path(&self) -> PathBuf {
        expand_slice(&self.slice).unwrap_or_default().join(&self.unit)
    }
}

/// Slices are nested by the dashes of their names: `a-b.slice` is in `a.slice`; `-.slice` is the
/// root (systemd.slice(5)).
fn expand_slice(slice: &str) -> Option<PathBuf> {
    let name = slice.strip_suffix(".slice")?;
    if name == "-" {
        return Some(PathBuf::new());
    }
    let mut path = PathBuf::new();
    let mut prefix = String::new();
    for part in name.split('-') {
        if part.is_empty() {
            return None;
        }
        if !prefix.is_empty() {
            prefix.push('-');
        }
        prefix += part;
        path.push(format!("{prefix}.slice"));
    }
    Some(path)
}

/// Starts a scope that holds a placeholder, and returns where it is.
pub(super) fn start_scope(
    layout: &Layout,
    config: &CgroupConfig,
) -> Result<(CgroupPaths, Placeholder)> {
    let scope = Scope::parse(&config.path, &config.id)?;
    let mut paths = paths::in_hierarchies(layout, true, &scope.path());
    if let (LayoutMode::Hybrid, Some(root)) = (layout.mode, &layout.unified) {
        paths.tracking = Some(root.join(scope.path()));
    }
    let placeholder = Placeholder::start()?;
    let description = format!("skiff container {}", config.id);
    let mut list = properties::of_scope(&description, &scope.slice, placeholder.pid());
    list.extend(properties::of_resources(&config.resources, paths.unified.is_some())?);
    let mut connection = Connection::open()?;
    match start(&mut connection, &scope.unit, &list) {
        Err(CgroupError::BusRefused { name, .. })
            if name == "org.freedesktop.systemd1.UnitExists" =>
        {
            // What is left of an earlier container that failed.
            reset_failed(&mut connection, &scope.unit)?;
            start(&mut connection, &scope.unit, &list)?;
        }
        result => result?,
    }
    paths.unit = Some(scope.unit);
    Ok((paths, placeholder))
}

fn start(connection: &mut Connection, unit: &str, list: &[Property]) -> Result<()> {
    let reply = connection.call(&manager("StartTransientUnit", "ssa(sv)a(sa(sv))"), &{
        let mut body = Writer::default();
        body.string(unit);
        body.string("fail");
        properties::write(&mut body, list);
        body.array(8, |_| {});
        body.into_bytes()
    })?;
    wait_for_job(connection, "start", unit, &reply)
}

/// Tells systemd of changed limits, until the next reboot.
pub(super) fn set_properties(unit: &str, resources: &Resources, unified: bool) -> Result<()> {
    let list = properties::of_resources(resources, unified)?;
    if list.is_empty() {
        return Ok(());
    }
    let mut body = Writer::default();
    body.string(unit);
    body.boolean(true);
    properties::write(&mut body, &list);
    Connection::open()?.call(&manager("SetUnitProperties", "sba(sv)"), &body.into_bytes()).map(drop)
}

/// Stops a scope; one that is gone, because its last process is, is stopped.
pub(super) fn stop_scope(unit: &str) -> Result<()> {
    let mut connection = Connection::open()?;
    let mut body = Writer::default();
    body.string(unit);
    body.string("replace");
    let stopped = connection.call(&manager("StopUnit", "ss"), &body.into_bytes());
    let result = match stopped {
        Ok(reply) => wait_for_job(&mut connection, "stop", unit, &reply),
        Err(CgroupError::BusRefused { name, .. }) if is_no_such_unit(&name) => return Ok(()),
        Err(error) => Err(error),
    };
    // A scope whose processes were killed may stay as failed.
    match reset_failed(&mut connection, unit) {
        Err(CgroupError::BusRefused { name, .. }) if is_no_such_unit(&name) => result,
        reset => result.and(reset),
    }
}

fn reset_failed(connection: &mut Connection, unit: &str) -> Result<()> {
    let mut body = Writer::default();
    body.string(unit);
    connection.call(&manager("ResetFailedUnit", "s"), &body.into_bytes()).map(drop)
}

fn is_no_such_unit(name: &str) -> bool {
    name == "org.freedesktop.systemd1.NoSuchUnit"
}

fn wait_for_job(
    connection: &mut Connection,
    action: &str,
    unit: &str,
    reply: &message::Message,
) -> Result<()> {
    let refused = |message: &str| CgroupError::BusRefused {
        action: format!("{action} {unit}"),
        name: "job".into(),
        message: message.into(),
    };
    let job = Reader::new(&reply.body).string().ok_or_else(|| refused("no job in the answer"))?;
    match connection.job_result(job)?.as_str() {
        "done" => Ok(()),
        result => Err(refused(result)),
    }
}

#[cfg(test)]
mod tests;
