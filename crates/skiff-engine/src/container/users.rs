//! User namespaces: whether a container has one, whose ids are its root's, and which others it may
//! share namespaces with.
//!
//! Nothing on disk depends on it: layers and volumes have the containers' own ids and are shown
//! through id-mapped mounts, so a container may change sides with the daemon's settings.

use std::fs;

use skiff_api::HostConfig;
use skiff_model::id_map::IdMap;

use super::record::Record;
use super::spec::Facts;
use crate::config::{EngineConfig, Runtime, Runtimes};
use crate::error::{Error, Result};

/// The ids of a container's user namespace; `None` is the host's.
pub(crate) fn map_of<'a>(facts: &'a Facts, record: &Record) -> Option<&'a IdMap> {
    let host = &record.host_config;
    facts.users.as_ref().filter(|_| host.userns_mode != "host")
}

/// The ids of the user namespace that a process is in; `None` is ours. What it is now counts for a
/// running container: the daemon may have been started with other settings since.
pub(crate) fn map_of_process(pid: i32) -> Result<Option<IdMap>> {
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).map_err(|error| Error::failed(format!("read {path}"), error))
    };
    let (uids, gids) = (read("uid_map")?, read("gid_map")?);
    let map = IdMap::parse(&uids, &gids)
        .ok_or_else(|| Error::internal(format!("the id maps of process {pid} are malformed")))?;
    Ok(Some(map).filter(|map| !map.is_identity()))
}

/// Checks that who is to run a container can give it users of its own, if it gets some.
pub(super) fn check_runtime(
    config: &EngineConfig,
    runtimes: &Runtimes,
    host: &HostConfig,
) -> Result<()> {
    let remapped = config.users.is_some() && host.userns_mode != "host";
    match runtimes.get(&host.runtime) {
        Some(Runtime::External(_)) if remapped => Err(Error::invalid(format!(
            "runtime {} cannot run a container with users of its own (userns-remap): use \
             --userns=host or the built-in runtime",
            host.runtime
        ))),
        Some(Runtime::External(_) | Runtime::BuiltIn) | None => Ok(()),
    }
}

/// Checks that a container with users of its own may join a namespace of this process, which takes
/// the rights of that one's users.
pub(super) fn check_peer(what: &str, id: &str, pid: i32) -> Result<()> {
    match map_of_process(pid)? {
        Some(_) => Ok(()),
        None => Err(Error::conflict(format!(
            "cannot join {what} of container {id}: it is in the host's user namespace, run this \
             one with --userns=host, too"
        ))),
    }
}
