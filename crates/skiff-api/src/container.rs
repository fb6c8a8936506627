//! A container's portable configuration and the requests and short answers of `/containers`.
//! What inspect and list answer is in [`crate::inspect`].

use crate::wire::wire;
use crate::{Empty, HostConfig, List, Map, NetworkingConfig, Resources, RestartPolicy};

wire! {
    /// What a container runs, independent of the host.
    pub struct Config as "Config" {
        hostname: String = "Hostname";
        domainname: String = "Domainname";
        /// `user`, `uid`, `user:group` or `uid:gid`; empty is the image's.
        user: String = "User";
        attach_stdin: bool = "AttachStdin";
        attach_stdout: bool = "AttachStdout";
        attach_stderr: bool = "AttachStderr";
        /// A set of `80/tcp`.
        exposed_ports: Map<Empty> = "ExposedPorts", omitempty;
        tty: bool = "Tty";
        open_stdin: bool = "OpenStdin";
        /// Closes stdin when the first client that attached it leaves.
        stdin_once: bool = "StdinOnce";
        env: List<String> = "Env";
        cmd: List<String> = "Cmd";
        healthcheck: Option<HealthConfig> = "Healthcheck", omitempty;
        args_escaped: bool = "ArgsEscaped", omitempty;
        image: String = "Image";
        /// A set of paths in the container.
        volumes: Map<Empty> = "Volumes";
        working_dir: String = "WorkingDir";
        /// null keeps the image's, `[]` (or `[""]`) takes it away.
        entrypoint: List<String> = "Entrypoint";
        network_disabled: bool = "NetworkDisabled", omitempty;
        /// Before 1.44: the address on the first network.
        mac_address: String = "MacAddress", omitempty;
        on_build: List<String> = "OnBuild";
        labels: Map<String> = "Labels";
        stop_signal: String = "StopSignal", omitempty;
        /// Seconds between the stop signal and SIGKILL.
        stop_timeout: Option<i64> = "StopTimeout", omitempty;
        shell: List<String> = "Shell", omitempty;
    }

    /// How the container's health is probed. Durations are nanoseconds; zero inherits.
    pub struct HealthConfig as "HealthConfig" {
        /// `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", line]` or nothing (inherit).
        test: List<String> = "Test", omitempty;
        interval: i64 = "Interval", omitempty;
        timeout: i64 = "Timeout", omitempty;
        start_period: i64 = "StartPeriod", omitempty;
        start_interval: i64 = "StartInterval", omitempty;
        retries: i64 = "Retries", omitempty;
    }

    /// The body of `POST /containers/create`.
    pub struct ContainerCreateRequest as "CreateRequest" {
        config: Config = embed;
        host_config: Option<HostConfig> = "HostConfig", omitempty;
        networking_config: Option<NetworkingConfig> = "NetworkingConfig", omitempty;
    }

    /// The answer to a create.
    pub struct CreateResponse as "CreateResponse" {
        id: String = "Id";
        /// Never null.
        warnings: Vec<String> = "Warnings";
    }

    /// The answer of `POST /containers/{id}/wait`.
    pub struct WaitResponse as "WaitResponse" {
        error: Option<WaitExitError> = "Error", omitempty;
        status_code: i64 = "StatusCode";
    }

    /// Why waiting failed.
    pub struct WaitExitError as "WaitExitError" {
        message: String = "Message", omitempty;
    }

    /// The body of `POST /containers/{id}/update`.
    pub struct UpdateRequest as "UpdateConfig" {
        resources: Resources = embed;
        restart_policy: RestartPolicy = "RestartPolicy";
    }

    /// The answer to an update.
    pub struct UpdateResponse as "UpdateResponse" {
        warnings: List<String> = "Warnings";
    }

    /// The answer of `GET /containers/{id}/top`.
    pub struct TopResponse as "TopResponse" {
        titles: List<String> = "Titles";
        processes: List<List<String>> = "Processes";
    }

    /// One path that differs from the image.
    pub struct ChangeItem as "FilesystemChange" {
        /// 0 modified, 1 added, 2 deleted.
        kind: u8 = "Kind";
        path: String = "Path";
    }

    /// What `X-Docker-Container-Path-Stat` carries, in base64.
    pub struct PathStat as "PathStat" {
        name: String = "name";
        size: i64 = "size";
        /// Go's `os.FileMode`: permission bits and, from the top, dir, …, symlink.
        mode: u32 = "mode";
        mtime: String = "mtime";
        link_target: String = "linkTarget";
    }
}

impl WaitResponse {
    /// The answer when waiting itself failed.
    pub fn failed(message: impl Into<String>) -> WaitResponse {
        WaitResponse { error: Some(WaitExitError { message: message.into() }), status_code: 0 }
    }
}
