//! Docker's wire format as plain data: what the Engine API sends and takes, and the small grammars
//! around it (filters, stream frames, detach keys, timestamps, versions).
//!
//! The types are both the server's answers and the client's input. Written out they have exactly
//! the nulls, empty collections and left-out fields that dockerd writes; read in they are lenient:
//! any field may be missing, null or in another case. Nothing here does I/O or reads a clock.

#![forbid(unsafe_code)]

pub mod container;
pub mod detach_keys;
pub mod event;
pub mod exec;
pub mod filters;
pub mod go_json;
pub mod host_config;
pub mod image;
pub mod inspect;
pub mod mount;
pub mod network;
pub mod nullable;
pub mod pattern;
pub mod progress;
pub mod stats;
pub mod stdcopy;
pub mod system;
pub mod timestamp;
pub mod version;
pub mod volume;
#[macro_use]
pub mod wire;

pub use container::{
    ChangeItem, Config, ContainerCreateRequest, CreateResponse, HealthConfig, PathStat,
    TopResponse, UpdateRequest, UpdateResponse, WaitExitError, WaitResponse,
};
pub use event::{EventActor, EventMessage};
pub use exec::{ExecConfig, ExecCreateResponse, ExecInspect, ExecProcessConfig, ExecStartRequest};
pub use host_config::{
    DeviceMapping, DeviceRequest, HostConfig, LogConfig, PortBinding, Resources, RestartPolicy,
    ThrottleDevice, Ulimit, WeightDevice,
};
pub use image::{
    HistoryItem, ImageConfig, ImageDeleteItem, ImageInspect, ImageMetadata, ImageRootFs,
    ImageSummary, OciDescriptor, OciPlatform, SearchResult,
};
pub use inspect::{
    ContainerInspect, ContainerState, ContainerSummary, ContainerSummaryHealth,
    ContainerSummaryHostConfig, DriverData, Health, HealthcheckResult, MountPoint, PortSummary,
};
pub use mount::{BindOptions, ImageOptions, Mount, MountDriver, TmpfsOptions, VolumeOptions};
pub use network::{
    EndpointIpamConfig, EndpointResource, EndpointSettings, Ipam, IpamConfig, Network,
    NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest,
    NetworkSettings, NetworkingConfig,
};
pub use nullable::{List, Map};
pub use progress::{ErrorBody, ErrorDetail, ProgressDetail, ProgressMessage};
pub use stats::ContainerStats;
pub use system::{
    AuthConfig, AuthResponse, ContainersPruneReport, DiskUsage, ImagesPruneReport,
    NetworksPruneReport, SystemInfo, SystemVersion, VolumesPruneReport,
};
pub use volume::{Volume, VolumeCreateRequest, VolumeListResponse, VolumeUsage};
pub use wire::Empty;

/// The zero of Go's `time.Time` as JSON, which Docker sends for "never".
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";
