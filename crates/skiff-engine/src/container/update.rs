//! `docker update`: other limits and another restart policy, for good and at once.

use std::sync::Arc;

use skiff_api::{List, Resources, RestartPolicy, UpdateRequest, UpdateResponse};
use skiff_model::oci;

use super::driver::Command;
use super::operate::ask;
use super::record::Record;
use super::state::State;
use super::{cgroup, effect, spec, validate};
use crate::Core;
use crate::error::{Error, Result};

pub(super) async fn update(
    core: &Arc<Core>,
    name: &str,
    mut request: UpdateRequest,
) -> Result<UpdateResponse> {
    let container = core.containers.get(name)?;
    let view = container.view();
    if matches!(view.state, State::Removing(_) | State::Dead) {
        return Err(Error::conflict(format!(
            "Container {} is marked for removal and cannot be \"update\".",
            container.id
        )));
    }
    let warnings = validate::discard(&mut request.resources, &core.host);
    validate::resources(&request.resources, &core.host, validate::Asked::Update)?;
    if !request.restart_policy.name.is_empty() {
        validate::restart_policy(&request.restart_policy)?;
        let starts = request.restart_policy.name != "no";
        if view.record.host_config.auto_remove && starts {
            return Err(Error::invalid(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ));
        }
    }
    let change = Box::new(move |record: &Record| changed(record, &request));
    ask(&container, |answer| Command::Change { change, answer }).await?;
    let view = container.view();
    if let Some(live) = view.state.live() {
        let record = view.record.clone();
        tokio::task::spawn_blocking(move || apply(&record, live.pid))
            .await
            .map_err(|error| Error::failed("update the control group", error))??;
    }
    effect::emit(&core.events, &view.record, "update", []);
    // No warnings are `null`, not an empty list.
    let warnings = if warnings.is_empty() { List::default() } else { warnings.into() };
    Ok(UpdateResponse { warnings })
}

fn apply(record: &Record, pid: i32) -> Result<()> {
    let what = |error: &dyn std::fmt::Display| {
        Error::internal(format!("Cannot update container {}: {error}", record.id))
    };
    let limits: oci::Resources = spec::resources::limits(&record.host_config.resources)?;
    let group = cgroup::of(record, pid)?;
    group.update(&limits).map_err(|error| what(&error))
}

/// The record with what the request names; zero leaves a limit as it is.
fn changed(record: &Record, request: &UpdateRequest) -> Result<Record> {
    let mut record = record.clone();
    merge(&mut record.host_config.resources, &request.resources)
        .map_err(|why| Error::conflict(format!("Cannot update container {}: {why}", record.id)))?;
    validate::memory(&record.host_config.resources, validate::Asked::Create)?;
    if !request.restart_policy.name.is_empty() {
        record.host_config.restart_policy = RestartPolicy { ..request.restart_policy.clone() };
    }
    Ok(record)
}

fn merge(own: &mut Resources, wanted: &Resources) -> std::result::Result<(), &'static str> {
    if wanted.nano_cpus > 0 && own.cpu_period > 0 {
        return Err(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        );
    }
    if wanted.nano_cpus > 0 && own.cpu_quota > 0 {
        return Err(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
        );
    }
    if wanted.cpu_quota > 0 && own.nano_cpus > 0 {
        return Err(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    if wanted.cpu_period > 0 && own.nano_cpus > 0 {
        return Err(
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        );
    }
    let number = |own: &mut i64, wanted: i64| {
        if wanted != 0 {
            *own = wanted;
        }
    };
    number(&mut own.cpu_shares, wanted.cpu_shares);
    number(&mut own.nano_cpus, wanted.nano_cpus);
    number(&mut own.cpu_period, wanted.cpu_period);
    number(&mut own.cpu_quota, wanted.cpu_quota);
    number(&mut own.cpu_realtime_period, wanted.cpu_realtime_period);
    number(&mut own.cpu_realtime_runtime, wanted.cpu_realtime_runtime);
    number(&mut own.memory_reservation, wanted.memory_reservation);
    number(&mut own.kernel_memory, wanted.kernel_memory);
    memory(own, wanted)?;
    for (own, wanted) in
        [(&mut own.cpuset_cpus, &wanted.cpuset_cpus), (&mut own.cpuset_mems, &wanted.cpuset_mems)]
    {
        if !wanted.is_empty() {
            own.clone_from(wanted);
        }
    }
    if wanted.blkio_weight != 0 {
        own.blkio_weight = wanted.blkio_weight;
    }
    if wanted.pids_limit.is_some() {
        own.pids_limit = wanted.pids_limit.map(|limit| limit.max(0));
    }
    Ok(())
}

/// Memory and swap depend on each other, and the kernel refuses a limit above the swap limit.
fn memory(own: &mut Resources, wanted: &Resources) -> std::result::Result<(), &'static str> {
    if wanted.memory != 0 {
        if wanted.memory_swap == 0 && own.memory_swap > 0 && wanted.memory > own.memory_swap {
            return Err(
                "Memory limit should be smaller than already set memoryswap limit, update the \
                 memoryswap at the same time",
            );
        }
        own.memory = wanted.memory;
    }
    if wanted.memory_swap != 0 {
        own.memory_swap = wanted.memory_swap;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let mut own =
            Resources { memory: 10, memory_swap: 20, cpu_shares: 3, ..Default::default() };
        let wanted = Resources { cpu_shares: 5, pids_limit: Some(-1), ..Default::default() };
        merge(&mut own, &wanted).unwrap();
        assert_eq!((own.memory, own.memory_swap, own.cpu_shares), (10, 20, 5));
        assert_eq!(own.pids_limit, Some(0));
    }

    #[test]
    fn contradictions_are_refused() {
        for (own, wanted) in [
            (
                Resources { memory: 10, memory_swap: 20, ..Default::default() },
                Resources { memory: 30, ..Default::default() },
            ),
            (
                Resources { cpu_quota: 5, ..Default::default() },
                Resources { nano_cpus: 5, ..Default::default() },
            ),
            (
                Resources { nano_cpus: 5, ..Default::default() },
                Resources { cpu_quota: 5, ..Default::default() },
            ),
        ] {
            assert!(merge(&mut own.clone(), &wanted).is_err(), "{own:?} {wanted:?}");
        }
    }
}
