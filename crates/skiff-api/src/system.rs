//! The daemon about itself: version, info, disk usage, prune reports, logins.

use crate::wire::wire;
use crate::{ContainerSummary, ImageSummary, List, Map, Volume};

wire! {
    /// What `GET /version` answers.
    pub struct SystemVersion as "VersionResponse" {
        platform: PlatformName = "Platform";
        version: String = "Version";
        api_version: String = "ApiVersion";
        min_api_version: String = "MinAPIVersion";
        os: String = "Os";
        arch: String = "Arch";
        components: List<VersionComponent> = "Components", omitempty;
        git_commit: String = "GitCommit", omitempty;
        go_version: String = "GoVersion", omitempty;
        kernel_version: String = "KernelVersion", omitempty;
        experimental: bool = "Experimental", omitempty;
        build_time: String = "BuildTime", omitempty;
    }

    /// The product's name.
    pub struct PlatformName as "PlatformInfo" {
        name: String = "Name";
    }

    /// One program that the engine is made of.
    pub struct VersionComponent as "ComponentVersion" {
        name: String = "Name";
        version: String = "Version";
        details: Map<String> = "Details", omitempty;
    }

    /// What `GET /info` answers.
    pub struct SystemInfo as "Info" {
        id: String = "ID";
        containers: i64 = "Containers";
        containers_running: i64 = "ContainersRunning";
        containers_paused: i64 = "ContainersPaused";
        containers_stopped: i64 = "ContainersStopped";
        images: i64 = "Images";
        driver: String = "Driver";
        driver_status: List<(String, String)> = "DriverStatus";
        plugins: PluginsInfo = "Plugins";
        memory_limit: bool = "MemoryLimit";
        swap_limit: bool = "SwapLimit";
        cpu_cfs_period: bool = "CpuCfsPeriod";
        cpu_cfs_quota: bool = "CpuCfsQuota";
        cpu_shares: bool = "CPUShares";
        cpu_set: bool = "CPUSet";
        pids_limit: bool = "PidsLimit";
        ipv4_forwarding: bool = "IPv4Forwarding";
        debug: bool = "Debug";
        n_fd: i64 = "NFd";
        oom_kill_disable: bool = "OomKillDisable";
        n_goroutines: i64 = "NGoroutines";
        system_time: String = "SystemTime";
        logging_driver: String = "LoggingDriver";
        cgroup_driver: String = "CgroupDriver";
        cgroup_version: String = "CgroupVersion", omitempty;
        n_events_listener: i64 = "NEventsListener";
        kernel_version: String = "KernelVersion";
        operating_system: String = "OperatingSystem";
        os_version: String = "OSVersion";
        os_type: String = "OSType";
        architecture: String = "Architecture";
        index_server_address: String = "IndexServerAddress";
        registry_config: Option<RegistryServiceConfig> = "RegistryConfig";
        ncpu: i64 = "NCPU";
        mem_total: i64 = "MemTotal";
        generic_resources: Option<serde_json::Value> = "GenericResources";
        docker_root_dir: String = "DockerRootDir";
        http_proxy: String = "HttpProxy";
        https_proxy: String = "HttpsProxy";
        no_proxy: String = "NoProxy";
        name: String = "Name";
        labels: List<String> = "Labels";
        experimental_build: bool = "ExperimentalBuild";
        server_version: String = "ServerVersion";
        runtimes: Map<Runtime> = "Runtimes";
        default_runtime: String = "DefaultRuntime";
        swarm: SwarmInfo = "Swarm";
        live_restore_enabled: bool = "LiveRestoreEnabled";
        isolation: String = "Isolation";
        init_binary: String = "InitBinary";
        containerd_commit: Commit = "ContainerdCommit";
        runc_commit: Commit = "RuncCommit";
        init_commit: Commit = "InitCommit";
        security_options: List<String> = "SecurityOptions";
        product_license: String = "ProductLicense", omitempty;
        default_address_pools: List<AddressPool> = "DefaultAddressPools", omitempty;
        firewall_backend: Option<FirewallInfo> = "FirewallBackend", omitempty;
        cdi_spec_dirs: List<String> = "CDISpecDirs";
        discovered_devices: List<DeviceInfo> = "DiscoveredDevices", omitempty;
        warnings: List<String> = "Warnings";
    }

    /// The plugins and drivers by kind.
    pub struct PluginsInfo as "PluginsInfo" {
        volume: List<String> = "Volume";
        network: List<String> = "Network";
        authorization: List<String> = "Authorization";
        log: List<String> = "Log";
    }

    /// How registries are reached.
    pub struct RegistryServiceConfig as "ServiceConfig" {
        insecure_registry_cidrs: List<String> = "InsecureRegistryCIDRs";
        index_configs: Map<IndexInfo> = "IndexConfigs";
        mirrors: List<String> = "Mirrors";
    }

    /// One registry.
    pub struct IndexInfo as "IndexInfo" {
        name: String = "Name";
        mirrors: List<String> = "Mirrors";
        secure: bool = "Secure";
        official: bool = "Official";
    }

    /// One runtime that a container can ask for.
    pub struct Runtime as "RuntimeWithStatus" {
        path: String = "path", omitempty;
        runtime_args: List<String> = "runtimeArgs", omitempty;
        status: Map<String> = "status", omitempty;
    }

    /// The commit that a program was built from.
    pub struct Commit as "Commit" {
        id: String = "ID";
        /// Before 1.49.
        expected: String = "Expected", omitempty;
    }

    /// Swarm, which is always inactive here.
    pub struct SwarmInfo as "swarm.Info" {
        node_id: String = "NodeID";
        node_addr: String = "NodeAddr";
        local_node_state: String = "LocalNodeState";
        control_available: bool = "ControlAvailable";
        error: String = "Error";
        remote_managers: Option<serde_json::Value> = "RemoteManagers";
    }

    /// A range from which networks get their subnets.
    pub struct AddressPool as "NetworkAddressPool" {
        base: String = "Base";
        size: i64 = "Size";
    }

    /// What filters packets.
    pub struct FirewallInfo as "FirewallInfo" {
        driver: String = "Driver";
        info: List<(String, String)> = "Info", omitempty;
    }

    /// A device that containers can ask for by name.
    pub struct DeviceInfo as "DeviceInfo" {
        source: String = "Source";
        id: String = "ID";
    }

    /// What `GET /system/df` answers: the old fields (before 1.52) and the new ones.
    pub struct DiskUsage as "DiskUsage" {
        image_usage: Option<Usage> = "ImageUsage", omitempty;
        container_usage: Option<Usage> = "ContainerUsage", omitempty;
        volume_usage: Option<Usage> = "VolumeUsage", omitempty;
        build_cache_usage: Option<Usage> = "BuildCacheUsage", omitempty;
        layers_size: Option<i64> = "LayersSize", omitempty;
        images: Option<List<ImageSummary>> = "Images", omitempty;
        containers: Option<List<ContainerSummary>> = "Containers", omitempty;
        volumes: Option<List<Volume>> = "Volumes", omitempty;
        build_cache: Option<List<serde_json::Value>> = "BuildCache", omitempty;
        builder_size: Option<i64> = "BuilderSize", omitempty;
    }

    /// The sums over one kind of object, and its objects when `verbose` was asked for.
    pub struct Usage as "DiskUsage" {
        active_count: i64 = "ActiveCount", omitempty;
        items: List<serde_json::Value> = "Items", omitempty;
        reclaimable: i64 = "Reclaimable", omitempty;
        total_count: i64 = "TotalCount", omitempty;
        total_size: i64 = "TotalSize", omitempty;
    }

    /// The answer of `POST /containers/prune`.
    pub struct ContainersPruneReport as "PruneReport" {
        containers_deleted: List<String> = "ContainersDeleted";
        space_reclaimed: u64 = "SpaceReclaimed";
    }

    /// The answer of `POST /images/prune`.
    pub struct ImagesPruneReport as "PruneReport" {
        images_deleted: List<crate::ImageDeleteItem> = "ImagesDeleted";
        space_reclaimed: u64 = "SpaceReclaimed";
    }

    /// The answer of `POST /volumes/prune`.
    pub struct VolumesPruneReport as "PruneReport" {
        volumes_deleted: List<String> = "VolumesDeleted";
        space_reclaimed: u64 = "SpaceReclaimed";
    }

    /// The answer of `POST /networks/prune`.
    pub struct NetworksPruneReport as "PruneReport" {
        networks_deleted: List<String> = "NetworksDeleted";
    }

    /// A login, as in the body of `/auth` and in `X-Registry-Auth`.
    pub struct AuthConfig as "AuthConfig" {
        username: String = "username", omitempty;
        password: String = "password", omitempty;
        auth: String = "auth", omitempty;
        server_address: String = "serveraddress", omitempty;
        identity_token: String = "identitytoken", omitempty;
        registry_token: String = "registrytoken", omitempty;
    }

    /// The answer of `POST /auth`.
    pub struct AuthResponse as "AuthenticateOKBody" {
        identity_token: String = "IdentityToken";
        status: String = "Status";
    }
}
