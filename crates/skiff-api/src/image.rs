//! Images on the wire: list, inspect, history, delete, search.

use crate::wire::wire;
use crate::{DriverData, Empty, HealthConfig, List, Map};

wire! {
    /// One line of `docker image ls`.
    pub struct ImageSummary as "Summary" {
        /// -1 is not counted.
        containers: i64 = "Containers";
        /// Unix seconds.
        created: i64 = "Created";
        id: String = "Id";
        labels: Map<String> = "Labels";
        parent_id: String = "ParentId";
        descriptor: Option<OciDescriptor> = "Descriptor", omitempty;
        repo_digests: List<String> = "RepoDigests";
        repo_tags: List<String> = "RepoTags";
        /// -1 is not counted.
        shared_size: i64 = "SharedSize";
        size: i64 = "Size";
        /// Before 1.44: the size again.
        virtual_size: i64 = "VirtualSize", omitempty;
    }

    /// Everything about one image.
    pub struct ImageInspect as "InspectResponse" {
        id: String = "Id";
        repo_tags: List<String> = "RepoTags";
        repo_digests: List<String> = "RepoDigests";
        /// Before 1.52: the image that it was built on.
        parent: Option<String> = "Parent", omitempty;
        comment: Option<String> = "Comment", omitempty;
        created: Option<String> = "Created", omitempty;
        docker_version: Option<String> = "DockerVersion", omitempty;
        author: Option<String> = "Author", omitempty;
        config: Option<ImageConfig> = "Config";
        architecture: String = "Architecture";
        variant: String = "Variant", omitempty;
        os: String = "Os";
        os_version: String = "OsVersion", omitempty;
        size: i64 = "Size";
        /// Before 1.44: the size again.
        virtual_size: i64 = "VirtualSize", omitempty;
        graph_driver: Option<DriverData> = "GraphDriver", omitempty;
        root_fs: ImageRootFs = "RootFS";
        metadata: ImageMetadata = "Metadata";
        descriptor: Option<OciDescriptor> = "Descriptor", omitempty;
    }

    /// The defaults that an image gives its containers.
    pub struct ImageConfig as "DockerOCIImageConfig" {
        user: String = "User", omitempty;
        exposed_ports: Map<Empty> = "ExposedPorts", omitempty;
        env: List<String> = "Env", omitempty;
        entrypoint: List<String> = "Entrypoint", omitempty;
        cmd: List<String> = "Cmd", omitempty;
        volumes: Map<Empty> = "Volumes", omitempty;
        working_dir: String = "WorkingDir", omitempty;
        labels: Map<String> = "Labels", omitempty;
        stop_signal: String = "StopSignal", omitempty;
        args_escaped: bool = "ArgsEscaped", omitempty;
        healthcheck: Option<HealthConfig> = "Healthcheck", omitempty;
        on_build: List<String> = "OnBuild", omitempty;
        shell: List<String> = "Shell", omitempty;
    }

    /// The layers of an image, by the digests of their tars.
    pub struct ImageRootFs as "RootFS" {
        kind: String = "Type", omitempty;
        layers: List<String> = "Layers", omitempty;
    }

    /// What only this host knows about an image.
    pub struct ImageMetadata as "Metadata" {
        last_tag_time: String = "LastTagTime", omitempty;
    }

    /// A blob by digest, as OCI describes it.
    pub struct OciDescriptor as "Descriptor" {
        media_type: String = "mediaType";
        digest: String = "digest";
        size: i64 = "size";
        urls: List<String> = "urls", omitempty;
        annotations: Map<String> = "annotations", omitempty;
        data: Option<String> = "data", omitempty;
        platform: Option<OciPlatform> = "platform", omitempty;
        artifact_type: String = "artifactType", omitempty;
    }

    /// What an image runs on.
    pub struct OciPlatform as "Platform" {
        architecture: String = "architecture";
        os: String = "os";
        os_version: String = "os.version", omitempty;
        os_features: List<String> = "os.features", omitempty;
        variant: String = "variant", omitempty;
    }

    /// One step in which an image was made.
    pub struct HistoryItem as "HistoryResponseItem" {
        comment: String = "Comment";
        /// Unix seconds.
        created: i64 = "Created";
        created_by: String = "CreatedBy";
        /// `<missing>` where no image is known for the step.
        id: String = "Id";
        size: i64 = "Size";
        tags: List<String> = "Tags";
    }

    /// What a deletion did: one of the two.
    pub struct ImageDeleteItem as "DeleteResponse" {
        deleted: String = "Deleted", omitempty;
        untagged: String = "Untagged", omitempty;
    }

    /// One image that a search found.
    pub struct SearchResult as "SearchResult" {
        star_count: i64 = "star_count";
        is_official: bool = "is_official";
        name: String = "name";
        is_automated: bool = "is_automated";
        description: String = "description";
    }
}
