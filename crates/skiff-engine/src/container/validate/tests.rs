//! Requests that are refused, with Docker's words for it, and some that look odd and are not.

use super::*;
use crate::error::Kind;

/// A host whose kernel limits everything.
pub(in crate::container) fn host() -> Host {
    Host {
        cpus: 2,
        systemd: false,
        limits: Limits::ALL,
        cpuset_cpus: "0-1".to_owned(),
        cpuset_mems: "0".to_owned(),
    }
}

fn check_host(json: &serde_json::Value) -> Result<()> {
    let host: HostConfig = serde_json::from_value(json.clone()).unwrap();
    host_config(
        &host,
        &EngineConfig::new("/d", "/r", "/x"),
        &Runtimes::default(),
        &super::tests::host(),
    )
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn host_configurations_are_refused_in_dockers_words() {
    for (json, message) in [
        (serde_json::json!({"Memory": 1 << 20}), "Minimum memory limit allowed is 6MB"),
        (serde_json::json!({"Memory": -5}), "Minimum memory limit allowed is 6MB"),
        (
            serde_json::json!({"Isolation": "hyperv"}),
            "invalid isolation (hyperv): linux only supports 'default'",
        ),
        (
            serde_json::json!({"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]}),
            "could not select device driver \"\" with capabilities: [[gpu]]",
        ),
        (
            serde_json::json!({"MemorySwap": 10 << 20}),
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            serde_json::json!({"Memory": 10 << 20, "MemorySwap": 8 << 20}),
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            serde_json::json!({"Memory": 10 << 20, "MemoryReservation": 20 << 20}),
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        (
            serde_json::json!({"MemorySwappiness": 101}),
            "Invalid value: 101, valid memory swappiness range is 0-100",
        ),
        (
            serde_json::json!({"NanoCpus": 3_000_000_000_i64}),
            "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        (
            serde_json::json!({"NanoCpus": 1_000_000_000, "CpuQuota": 1000}),
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            serde_json::json!({"CpuPeriod": 10}),
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        (serde_json::json!({"CpuQuota": 10}), "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        (
            serde_json::json!({"CpuShares": -1}),
            "invalid CPU shares (-1): value must be a positive integer",
        ),
        (
            serde_json::json!({"CpusetCpus": "x"}),
            "Invalid value x for cpuset cpus: invalid format: x",
        ),
        (
            serde_json::json!({"CpusetCpus": "0-2147483648"}),
            "Invalid value 0-2147483648 for cpuset cpus: value of out range, maximum is 8192",
        ),
        (
            serde_json::json!({"CpusetCpus": "0,99"}),
            "Requested CPUs are not available - requested 0,99, available: 0-1",
        ),
        (
            serde_json::json!({"CpusetMems": "9"}),
            "Requested memory nodes are not available - requested 9, available: 0",
        ),
        (
            serde_json::json!({"CpuRealtimePeriod": 1000, "CpuRealtimeRuntime": 2000}),
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ),
        (
            serde_json::json!({"KernelMemory": 1 << 20}),
            "Minimum kernel memory limit allowed is 6MB",
        ),
        (
            serde_json::json!({"IOMaximumIOps": 4}),
            "Invalid QoS settings: linux does not support configuration of maximum IOPs",
        ),
        (
            serde_json::json!({"PortBindings": {"80/tcp": [{"HostPort": "x"}]}}),
            "invalid port specification: \"x\"",
        ),
        (
            serde_json::json!({"OomScoreAdj": 1001}),
            "Invalid value 1001, range for oom score adj is [-1000, 1000]",
        ),
        (serde_json::json!({"ShmSize": -1}), "SHM size can not be less than 0"),
        (serde_json::json!({"BlkioWeight": 5}), "Range of blkio weight is from 10 to 1000"),
        (serde_json::json!({"PidMode": "bad"}), "invalid PID mode: bad"),
        (serde_json::json!({"IpcMode": "bad"}), "invalid IPC mode: bad"),
        (serde_json::json!({"UTSMode": "bad"}), "invalid UTS mode: bad"),
        (serde_json::json!({"CgroupnsMode": "bad"}), "invalid cgroup namespace mode: bad"),
        (
            serde_json::json!({"NetworkMode": "container:"}),
            "invalid network mode: invalid container format container:<name|id>",
        ),
        (
            serde_json::json!({"RestartPolicy": {"Name": "x"}}),
            "invalid restart policy: unknown policy 'x'; use one of 'no', 'always', 'on-failure', \
             or 'unless-stopped'",
        ),
        (
            serde_json::json!({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}}),
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            serde_json::json!({"RestartPolicy": {"Name": "always"}, "AutoRemove": true}),
            "can't create 'AutoRemove' container with restart policy",
        ),
        (serde_json::json!({"Runtime": "nope"}), "unknown or invalid runtime name: nope"),
        (
            serde_json::json!({"LogConfig": {"Type": "nope"}}),
            "error looking up logging plugin nope: plugin \"nope\" not found",
        ),
        (
            serde_json::json!({"LogConfig": {"Type": "json-file", "Config": {"nope": "1"}}}),
            "unknown log opt 'nope' for json-file log driver",
        ),
        (
            serde_json::json!({"CapAdd": ["NOPE"]}),
            "invalid CapAdd: unknown capability: \"CAP_NOPE\"",
        ),
        (serde_json::json!({"SecurityOpt": ["x"]}), "invalid --security-opt 1: \"x\""),
        (serde_json::json!({"ExtraHosts": ["x"]}), "bad format for add-host: \"x\""),
        (
            serde_json::json!({"DnsSearch": ["a\nnameserver 6.6.6.6"]}),
            "invalid DNS option or search domain: \"a\\nnameserver 6.6.6.6\"",
        ),
        (serde_json::json!({"Ulimits": [{"Name": "nope"}]}), "invalid ulimit type: nope"),
        (
            serde_json::json!({"Ulimits": [{"Name": "core", "Soft": 5, "Hard": 1}]}),
            "ulimit soft limit must be less than or equal to hard limit: 5 > 1",
        ),
        (serde_json::json!({"DeviceCgroupRules": ["x"]}), "invalid device cgroup rule format: 'x'"),
        (
            serde_json::json!({"Sysctls": {"kernel.core_pattern": "|/x"}}),
            "sysctl \"kernel.core_pattern\" is not in a separate kernel namespace",
        ),
        (
            serde_json::json!({"Sysctls": {"net/../kernel/core_pattern": "|/x"}}),
            "invalid sysctl: \"net/../kernel/core_pattern\"",
        ),
        (
            serde_json::json!(
                {"Sysctls": {"kernel.shm_rmid_forced": "1\nkernel.core_pattern=x"}}
            ),
            "invalid value of sysctl kernel.shm_rmid_forced",
        ),
    ] {
        let error = check_host(&json).expect_err(&json.to_string());
        assert_eq!(error.to_string(), message, "{json}");
        assert_eq!(error.kind(), Kind::InvalidArgument, "{json}");
    }
}

#[test]
fn host_configurations_that_docker_takes_are_taken() {
    for json in [
        serde_json::json!({}),
        serde_json::json!({"Memory": 6 << 20, "MemorySwap": -1, "MemorySwappiness": -1}),
        serde_json::json!({"NanoCpus": 2_000_000_000, "CpusetCpus": "0,0-1"}),
        serde_json::json!({"IpcMode": "shareable", "PidMode": "container:x"}),
        serde_json::json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
        serde_json::json!({"Runtime": "runc", "CapAdd": ["ALL"], "CapDrop": ["cap_chown"]}),
        serde_json::json!({"Sysctls": {"net.core.somaxconn": "1", "kernel.msgmax": "1"}}),
        serde_json::json!({"LogConfig": {"Type": "json-file",
                                         "Config": {"max-size": "10m", "max-file": "3"}}}),
        serde_json::json!({"ExtraHosts": ["a:1.2.3.4", "b:host-gateway"], "Dns": ["::1"]}),
    ] {
        assert!(check_host(&json).is_ok(), "{json}: {:?}", check_host(&json));
    }
}

#[test]
fn configurations_are_refused_in_dockers_words() {
    for (json, message) in [
        (
            serde_json::json!({"WorkingDir": "rel"}),
            "the working directory 'rel' is invalid, it needs to be an absolute path",
        ),
        (serde_json::json!({"Env": ["=x"]}), "invalid environment variable: =x"),
        (serde_json::json!({"StopSignal": "SIGNOPE"}), "invalid signal: SIGNOPE"),
        (
            serde_json::json!({"Healthcheck": {"Interval": 5}}),
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            serde_json::json!({"Healthcheck": {"Retries": -1}}),
            "Retries in Healthcheck cannot be negative",
        ),
        (
            serde_json::json!({"Hostname": "a b\n9.9.9.9 evil"}),
            "invalid hostname: \"a b\\n9.9.9.9 evil\"",
        ),
        (serde_json::json!({"Cmd": ["a\u{0}b"]}), "the configuration contains a NUL character"),
    ] {
        let portable: Config = serde_json::from_value(json.clone()).unwrap();
        let error = config(&portable).expect_err(&json.to_string());
        assert_eq!(error.to_string(), message, "{json}");
    }
}

#[test]
fn devices_without_a_driver_and_sizes_without_quota_are_refused_in_dockers_words() {
    for (json, message) in [
        (
            serde_json::json!({"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"], ["a", "b"]]}]}),
            "could not select device driver \"\" with capabilities: [[gpu] [a b]]",
        ),
        (
            serde_json::json!({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["v.com/c=x"]}]}),
            "could not select device driver \"cdi\" with capabilities: []",
        ),
        (serde_json::json!({"StorageOpt": {"x": "1"}}), "Unknown option x"),
        (
            serde_json::json!({"StorageOpt": {"size": "1G"}}),
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ),
    ] {
        let host: HostConfig = serde_json::from_value(json).unwrap();
        let checked = host_config(
            &host,
            &EngineConfig::new("/d", "/r", "/x"),
            &Runtimes::default(),
            &super::tests::host(),
        );
        assert_eq!(checked.unwrap_err().to_string(), message);
    }
}

#[test]
fn users_of_their_own_exclude_what_is_the_hosts() {
    let mut engine = EngineConfig::new("/d", "/r", "/x");
    engine.users = Some(skiff_model::id_map::IdMap::default());
    for (json, part) in [
        (serde_json::json!({"Privileged": true}), "privileged mode is incompatible"),
        (serde_json::json!({"NetworkMode": "host"}), "cannot share the host's network"),
        (serde_json::json!({"PidMode": "host"}), "cannot share the host PID namespace"),
    ] {
        let mut host: HostConfig = serde_json::from_value(json).unwrap();
        let refused = host_config(&host, &engine, &Runtimes::default(), &super::tests::host())
            .unwrap_err()
            .to_string();
        assert!(refused.contains(part), "{refused}");
        host.userns_mode = "host".to_owned();
        assert!(
            host_config(&host, &engine, &Runtimes::default(), &super::tests::host()).is_ok(),
            "{part}"
        );
    }
}
