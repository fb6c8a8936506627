//! Limits that this host's kernel does not know: they are dropped from the request, each with
//! Docker's warning. What is contradictory in itself is for the checks that come after.

use skiff_api::Resources;

use super::Host;

/// Drops what cannot be had; gives the warnings.
pub(in crate::container) fn discard(resources: &mut Resources, host: &Host) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |text: &str| warnings.push(text.to_owned());
    memory(resources, host, &mut warn);
    processes_and_cpus(resources, host, &mut warn);
    block_io(resources, host, &mut warn);
    if resources.cpu_percent > 0 {
        warn("linux does not support CPU percent. Percent discarded.");
        resources.cpu_percent = 0;
    }
    warnings
}

fn memory(own: &mut Resources, host: &Host, warn: &mut impl FnMut(&str)) {
    let limits = &host.limits;
    if own.memory > 0 && !limits.memory {
        warn(
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. \
             Limitation discarded.",
        );
        own.memory = 0;
        own.memory_swap = -1;
    }
    if own.memory > 0 && own.memory_swap != -1 && !limits.swap {
        warn(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. \
             Memory limited without swap.",
        );
        own.memory_swap = -1;
    }
    if own.memory_swappiness == Some(-1) {
        own.memory_swappiness = None;
    }
    if own.memory_swappiness.is_some() && !limits.swappiness {
        warn(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not \
             mounted. Memory swappiness discarded.",
        );
        own.memory_swappiness = None;
    }
    if own.memory_reservation > 0 && !limits.memory {
        warn(
            "Your kernel does not support memory soft limit capabilities or the cgroup is not \
             mounted. Limitation discarded.",
        );
        own.memory_reservation = 0;
    }
    if !limits.oom_kill_disable {
        if own.oom_kill_disable == Some(true) {
            warn("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
        }
        own.oom_kill_disable = None;
    }
    if own.oom_kill_disable == Some(true) && own.memory == 0 {
        warn(
            "OOM killer is disabled for the container, but no memory limit is set, this can result \
             in the system running out of resources.",
        );
    }
}

fn processes_and_cpus(own: &mut Resources, host: &Host, warn: &mut impl FnMut(&str)) {
    let limits = &host.limits;
    if own.pids_limit.is_some_and(|limit| limit > 0) && !limits.pids {
        warn(
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. \
             PIDs limit discarded.",
        );
        own.pids_limit = Some(0);
    }
    if own.cpu_shares > 0 && !limits.cpu_shares {
        warn(
            "Your kernel does not support CPU shares or the cgroup is not mounted. Shares \
             discarded.",
        );
        own.cpu_shares = 0;
    }
    if (own.cpu_period != 0 || own.cpu_quota != 0) && !limits.cpu_quota {
        warn("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.");
        own.cpu_period = 0;
        own.cpu_quota = 0;
    }
    let bound = !own.cpuset_cpus.is_empty() || !own.cpuset_mems.is_empty();
    if bound && !limits.cpuset {
        warn("Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.");
        own.cpuset_cpus.clear();
        own.cpuset_mems.clear();
    }
}

fn block_io(own: &mut Resources, host: &Host, warn: &mut impl FnMut(&str)) {
    let limits = &host.limits;
    if own.blkio_weight > 0 && !limits.io_weight {
        warn(
            "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight \
             discarded.",
        );
        own.blkio_weight = 0;
    }
    if !own.blkio_weight_device.is_empty() && !limits.io_weight_device {
        warn(
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. \
             Weight-device discarded.",
        );
        own.blkio_weight_device = skiff_api::List::empty();
    }
    if limits.io_throttle {
        return;
    }
    for (list, unit, direction) in [
        (&mut own.blkio_device_read_bps, "BPS", "read"),
        (&mut own.blkio_device_write_bps, "BPS", "write"),
        (&mut own.blkio_device_read_iops, "IOPS", "read"),
        (&mut own.blkio_device_write_iops, "IOPS", "write"),
    ] {
        if !list.is_empty() {
            warn(&format!(
                "Your kernel does not support {unit} Block I/O {direction} limit or the cgroup is \
                 not mounted. Block I/O {unit} {direction} limit discarded."
            ));
            *list = skiff_api::List::empty();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::validate::tests::host;
    use crate::system::Limits;

    #[test]
    fn what_the_kernel_knows_stays_and_passes_in_silence() {
        let mut wanted = Resources {
            memory: 10 << 20,
            memory_swap: 20 << 20,
            oom_kill_disable: Some(true),
            pids_limit: Some(5),
            blkio_weight: 100,
            cpuset_cpus: "0".to_owned(),
            ..Resources::default()
        };
        let before = wanted.clone();
        assert!(discard(&mut wanted, &host()).is_empty());
        assert_eq!(wanted, before);
    }

    #[test]
    fn what_it_does_not_know_goes_with_a_warning_each() {
        let mut wanted = Resources {
            memory: 10 << 20,
            memory_swappiness: Some(5),
            memory_reservation: 1,
            oom_kill_disable: Some(true),
            pids_limit: Some(5),
            cpu_shares: 5,
            cpu_quota: 5,
            cpuset_cpus: "0".to_owned(),
            blkio_weight: 100,
            cpu_percent: 5,
            ..Resources::default()
        };
        let bare = Host { limits: Limits::default(), ..host() };
        assert_eq!(discard(&mut wanted, &bare).len(), 10);
        let kept = Resources { memory_swap: -1, pids_limit: Some(0), ..Resources::default() };
        assert_eq!(wanted, kept);
    }

    #[test]
    fn an_unlimited_container_without_the_oom_killer_is_warned_of() {
        let mut wanted = Resources { oom_kill_disable: Some(true), ..Resources::default() };
        assert_eq!(
            discard(&mut wanted, &host()),
            ["OOM killer is disabled for the container, but no memory limit is set, this can \
                 result in the system running out of resources."]
        );
    }
}
