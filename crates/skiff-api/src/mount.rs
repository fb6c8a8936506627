//! The `Mounts` of a create request: long-form mounts as `--mount` makes them.

use crate::wire::wire;
use crate::{List, Map};

wire! {
    /// One requested mount.
    pub struct Mount as "mount.Mount" {
        /// bind, volume, tmpfs, image, cluster or npipe.
        kind: String = "Type", omitempty;
        /// A host path, a volume's name or an image.
        source: String = "Source", omitempty;
        /// The path in the container.
        target: String = "Target", omitempty;
        read_only: bool = "ReadOnly", omitempty;
        /// Only kept; it means nothing on Linux.
        consistency: String = "Consistency", omitempty;
        bind_options: Option<BindOptions> = "BindOptions", omitempty;
        volume_options: Option<VolumeOptions> = "VolumeOptions", omitempty;
        image_options: Option<ImageOptions> = "ImageOptions", omitempty;
        tmpfs_options: Option<TmpfsOptions> = "TmpfsOptions", omitempty;
    }

    /// What only a bind mount has.
    pub struct BindOptions as "mount.BindOptions" {
        /// private, rprivate, shared, rshared, slave or rslave.
        propagation: String = "Propagation", omitempty;
        non_recursive: bool = "NonRecursive", omitempty;
        /// Makes the source directory when it is missing, as `-v` does.
        create_mountpoint: bool = "CreateMountpoint", omitempty;
        read_only_non_recursive: bool = "ReadOnlyNonRecursive", omitempty;
        read_only_force_recursive: bool = "ReadOnlyForceRecursive", omitempty;
    }

    /// What only a volume has.
    pub struct VolumeOptions as "mount.VolumeOptions" {
        /// Leaves a new volume empty instead of copying what the image has at the target.
        no_copy: bool = "NoCopy", omitempty;
        labels: Map<String> = "Labels", omitempty;
        subpath: String = "Subpath", omitempty;
        driver_config: Option<MountDriver> = "DriverConfig", omitempty;
    }

    /// The driver that makes a volume, with its options.
    pub struct MountDriver as "mount.Driver" {
        name: String = "Name", omitempty;
        options: Map<String> = "Options", omitempty;
    }

    /// What only an image mount has.
    pub struct ImageOptions as "mount.ImageOptions" {
        subpath: String = "Subpath", omitempty;
    }

    /// What only a tmpfs has.
    pub struct TmpfsOptions as "mount.TmpfsOptions" {
        size_bytes: i64 = "SizeBytes", omitempty;
        /// Permission bits of the mounted directory.
        mode: u32 = "Mode", omitempty;
        /// Further mount options: one item for a flag, two for key and value.
        options: List<List<String>> = "Options", omitempty;
    }
}
