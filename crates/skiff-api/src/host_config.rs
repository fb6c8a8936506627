//! `HostConfig`: what a container gets from this host. Resources, namespaces, mounts, privileges.

use crate::mount::Mount;
use crate::wire::wire;
use crate::{List, Map};

wire! {
    /// The part of a container's configuration that depends on the host.
    pub struct HostConfig as "HostConfig" {
        /// `-v` in its short form: `source:target[:options]`.
        binds: List<String> = "Binds";
        container_id_file: String = "ContainerIDFile";
        log_config: LogConfig = "LogConfig";
        /// default, bridge, host, none, `container:<id>` or a network's name.
        network_mode: String = "NetworkMode";
        /// `80/tcp` to where it is published.
        port_bindings: Map<List<PortBinding>> = "PortBindings";
        restart_policy: RestartPolicy = "RestartPolicy";
        auto_remove: bool = "AutoRemove";
        volume_driver: String = "VolumeDriver";
        volumes_from: List<String> = "VolumesFrom";
        /// Height and width of the first terminal.
        console_size: [u32; 2] = "ConsoleSize";
        annotations: Map<String> = "Annotations", omitempty;
        cap_add: List<String> = "CapAdd";
        cap_drop: List<String> = "CapDrop";
        /// private, host or empty (the daemon's default).
        cgroupns_mode: String = "CgroupnsMode";
        dns: List<String> = "Dns";
        dns_options: List<String> = "DnsOptions";
        dns_search: List<String> = "DnsSearch";
        /// `name:ip` or `name:host-gateway`.
        extra_hosts: List<String> = "ExtraHosts";
        group_add: List<String> = "GroupAdd";
        /// none, private, shareable, host, `container:<id>` or empty.
        ipc_mode: String = "IpcMode";
        cgroup: String = "Cgroup";
        links: List<String> = "Links";
        oom_score_adj: i64 = "OomScoreAdj";
        /// host, `container:<id>` or empty.
        pid_mode: String = "PidMode";
        privileged: bool = "Privileged";
        publish_all_ports: bool = "PublishAllPorts";
        readonly_rootfs: bool = "ReadonlyRootfs";
        security_opt: List<String> = "SecurityOpt";
        storage_opt: Map<String> = "StorageOpt", omitempty;
        /// Path in the container to tmpfs options.
        tmpfs: Map<String> = "Tmpfs", omitempty;
        /// host or empty.
        uts_mode: String = "UTSMode";
        userns_mode: String = "UsernsMode";
        shm_size: i64 = "ShmSize";
        sysctls: Map<String> = "Sysctls", omitempty;
        runtime: String = "Runtime", omitempty;
        isolation: String = "Isolation";
        resources: Resources = embed;
        mounts: List<Mount> = "Mounts", omitempty;
        /// null is the default list, `[]` none at all.
        masked_paths: List<String> = "MaskedPaths";
        /// null is the default list, `[]` none at all.
        readonly_paths: List<String> = "ReadonlyPaths";
        /// Whether an init reaps for the container; null is the daemon's default.
        init: Option<bool> = "Init", omitempty;
    }

    /// Limits and devices; what `docker update` may change, and a little more.
    pub struct Resources as "Resources" {
        cpu_shares: i64 = "CpuShares";
        memory: i64 = "Memory";
        nano_cpus: i64 = "NanoCpus";
        cgroup_parent: String = "CgroupParent";
        blkio_weight: u16 = "BlkioWeight";
        blkio_weight_device: List<WeightDevice> = "BlkioWeightDevice";
        blkio_device_read_bps: List<ThrottleDevice> = "BlkioDeviceReadBps";
        blkio_device_write_bps: List<ThrottleDevice> = "BlkioDeviceWriteBps";
        blkio_device_read_iops: List<ThrottleDevice> = "BlkioDeviceReadIOps";
        blkio_device_write_iops: List<ThrottleDevice> = "BlkioDeviceWriteIOps";
        cpu_period: i64 = "CpuPeriod";
        cpu_quota: i64 = "CpuQuota";
        cpu_realtime_period: i64 = "CpuRealtimePeriod";
        cpu_realtime_runtime: i64 = "CpuRealtimeRuntime";
        cpuset_cpus: String = "CpusetCpus";
        cpuset_mems: String = "CpusetMems";
        devices: List<DeviceMapping> = "Devices";
        device_cgroup_rules: List<String> = "DeviceCgroupRules";
        device_requests: List<DeviceRequest> = "DeviceRequests";
        kernel_memory: i64 = "KernelMemory", omitempty;
        kernel_memory_tcp: i64 = "KernelMemoryTCP", omitempty;
        memory_reservation: i64 = "MemoryReservation";
        /// Memory and swap together; -1 is unlimited swap.
        memory_swap: i64 = "MemorySwap";
        memory_swappiness: Option<i64> = "MemorySwappiness";
        oom_kill_disable: Option<bool> = "OomKillDisable";
        /// 0 and -1 are unlimited; null leaves it as it is.
        pids_limit: Option<i64> = "PidsLimit";
        ulimits: List<Ulimit> = "Ulimits";
        cpu_count: i64 = "CpuCount";
        cpu_percent: i64 = "CpuPercent";
        io_maximum_iops: u64 = "IOMaximumIOps";
        io_maximum_bandwidth: u64 = "IOMaximumBandwidth";
    }

    /// The weight of one block device.
    pub struct WeightDevice as "blkiodev.WeightDevice" {
        path: String = "Path";
        weight: u16 = "Weight";
    }

    /// The rate of one block device, in bytes or operations a second.
    pub struct ThrottleDevice as "blkiodev.ThrottleDevice" {
        path: String = "Path";
        rate: u64 = "Rate";
    }

    /// A device of the host that the container gets.
    pub struct DeviceMapping as "container.DeviceMapping" {
        path_on_host: String = "PathOnHost";
        path_in_container: String = "PathInContainer";
        /// Any of r, w and m.
        cgroup_permissions: String = "CgroupPermissions";
    }

    /// A wish for devices that a driver resolves (GPUs, CDI names).
    pub struct DeviceRequest as "container.DeviceRequest" {
        driver: String = "Driver";
        /// How many; -1 is all.
        count: i64 = "Count";
        device_ids: List<String> = "DeviceIDs";
        capabilities: List<List<String>> = "Capabilities";
        options: Map<String> = "Options";
    }

    /// One resource limit of `setrlimit(2)`; -1 is unlimited.
    pub struct Ulimit as "units.Ulimit" {
        name: String = "Name";
        hard: i64 = "Hard";
        soft: i64 = "Soft";
    }

    /// Where a container's output goes.
    pub struct LogConfig as "LogConfig" {
        kind: String = "Type";
        config: Map<String> = "Config";
    }

    /// When a stopped container is started again.
    pub struct RestartPolicy as "RestartPolicy" {
        /// no, always, unless-stopped, on-failure or empty (no).
        name: String = "Name";
        maximum_retry_count: i64 = "MaximumRetryCount";
    }

    /// One address on the host at which a port is published.
    pub struct PortBinding as "network.PortBinding" {
        host_ip: String = "HostIp";
        host_port: String = "HostPort";
    }
}
