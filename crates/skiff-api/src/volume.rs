//! Volumes on the wire.

use crate::wire::wire;
use crate::{List, Map};

wire! {
    /// One volume.
    pub struct Volume as "Volume" {
        created_at: String = "CreatedAt", omitempty;
        driver: String = "Driver";
        labels: Map<String> = "Labels";
        mountpoint: String = "Mountpoint";
        name: String = "Name";
        options: Map<String> = "Options";
        /// Always `local` here.
        scope: String = "Scope";
        status: Map<serde_json::Value> = "Status", omitempty;
        usage_data: Option<VolumeUsage> = "UsageData", omitempty;
    }

    /// What a volume takes and who uses it; -1 is not known.
    pub struct VolumeUsage as "UsageData" {
        ref_count: i64 = "RefCount";
        size: i64 = "Size";
    }

    /// The body of `POST /volumes/create`.
    pub struct VolumeCreateRequest as "volume.CreateRequest" {
        driver: String = "Driver", omitempty;
        driver_opts: Map<String> = "DriverOpts", omitempty;
        labels: Map<String> = "Labels", omitempty;
        name: String = "Name", omitempty;
    }

    /// What `GET /volumes` answers.
    pub struct VolumeListResponse as "ListResponse" {
        volumes: List<Volume> = "Volumes";
        warnings: List<String> = "Warnings";
    }
}
