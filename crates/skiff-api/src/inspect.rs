//! What `/containers/json` and `/containers/{id}/json` answer.

use crate::image::OciDescriptor;
use crate::wire::wire;
use crate::{Config, EndpointSettings, HostConfig, List, Map, NetworkSettings};

wire! {
    /// Everything about one container.
    pub struct ContainerInspect as "InspectResponse" {
        id: String = "Id";
        created: String = "Created";
        path: String = "Path";
        args: List<String> = "Args";
        state: ContainerState = "State";
        /// The image's id.
        image: String = "Image";
        resolv_conf_path: String = "ResolvConfPath";
        hostname_path: String = "HostnamePath";
        hosts_path: String = "HostsPath";
        log_path: String = "LogPath";
        /// With its leading slash.
        name: String = "Name";
        restart_count: i64 = "RestartCount";
        driver: String = "Driver";
        platform: String = "Platform";
        image_manifest_descriptor: Option<OciDescriptor> = "ImageManifestDescriptor", omitempty;
        mount_label: String = "MountLabel";
        process_label: String = "ProcessLabel";
        app_armor_profile: String = "AppArmorProfile";
        exec_ids: List<String> = "ExecIDs";
        host_config: HostConfig = "HostConfig";
        graph_driver: Option<DriverData> = "GraphDriver", omitempty;
        size_rw: Option<i64> = "SizeRw", omitempty;
        size_root_fs: Option<i64> = "SizeRootFs", omitempty;
        /// Never null.
        mounts: Vec<MountPoint> = "Mounts";
        config: Config = "Config";
        network_settings: NetworkSettings = "NetworkSettings";
    }

    /// Where a container is in its life.
    pub struct ContainerState as "State" {
        /// created, running, paused, restarting, removing, exited or dead.
        status: String = "Status";
        running: bool = "Running";
        paused: bool = "Paused";
        restarting: bool = "Restarting";
        oom_killed: bool = "OOMKilled";
        dead: bool = "Dead";
        pid: i64 = "Pid";
        exit_code: i64 = "ExitCode";
        error: String = "Error";
        /// [`crate::ZERO_TIME`] when it never was.
        started_at: String = "StartedAt";
        finished_at: String = "FinishedAt";
        health: Option<Health> = "Health", omitempty;
    }

    /// The state of the health check.
    pub struct Health as "Health" {
        /// none, starting, healthy or unhealthy.
        status: String = "Status";
        failing_streak: i64 = "FailingStreak";
        /// The last five probes.
        log: List<HealthcheckResult> = "Log";
    }

    /// One probe.
    pub struct HealthcheckResult as "HealthcheckResult" {
        start: String = "Start";
        end: String = "End";
        exit_code: i64 = "ExitCode";
        output: String = "Output";
    }

    /// The storage driver and what it says about a container or an image.
    pub struct DriverData as "DriverData" {
        data: Map<String> = "Data";
        name: String = "Name";
    }

    /// One mount that a container has.
    pub struct MountPoint as "MountPoint" {
        kind: String = "Type", omitempty;
        name: String = "Name", omitempty;
        source: String = "Source";
        destination: String = "Destination";
        driver: String = "Driver", omitempty;
        mode: String = "Mode";
        rw: bool = "RW";
        propagation: String = "Propagation";
    }

    /// One line of `docker ps`.
    pub struct ContainerSummary as "Summary" {
        id: String = "Id";
        names: List<String> = "Names";
        image: String = "Image";
        image_id: String = "ImageID";
        image_manifest_descriptor: Option<OciDescriptor> = "ImageManifestDescriptor", omitempty;
        command: String = "Command";
        /// Unix seconds.
        created: i64 = "Created";
        ports: List<PortSummary> = "Ports";
        size_rw: Option<i64> = "SizeRw", omitempty;
        size_root_fs: Option<i64> = "SizeRootFs", omitempty;
        labels: Map<String> = "Labels";
        state: String = "State";
        status: String = "Status";
        host_config: ContainerSummaryHostConfig = "HostConfig";
        health: Option<ContainerSummaryHealth> = "Health", omitempty;
        network_settings: Option<SummaryNetworkSettings> = "NetworkSettings";
        mounts: List<MountPoint> = "Mounts";
    }

    /// The networks of a container in a list.
    pub struct SummaryNetworkSettings as "NetworkSettingsSummary" {
        networks: Map<EndpointSettings> = "Networks";
    }

    /// The little of the host configuration that a list shows.
    pub struct ContainerSummaryHostConfig as "HostConfig" {
        network_mode: String = "NetworkMode", omitempty;
        annotations: Map<String> = "Annotations", omitempty;
    }

    /// The health in a list (since 1.52).
    pub struct ContainerSummaryHealth as "HealthSummary" {
        status: String = "Status", omitempty;
        failing_streak: i64 = "FailingStreak";
    }

    /// One port of a container.
    pub struct PortSummary as "PortSummary" {
        ip: String = "IP", omitempty;
        private_port: u16 = "PrivatePort";
        public_port: u16 = "PublicPort", omitempty;
        kind: String = "Type";
    }
}
