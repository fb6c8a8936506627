//! Further processes in a running container: the wire types of `/exec`.

use crate::List;
use crate::wire::wire;

wire! {
    /// The body of `POST /containers/{id}/exec`.
    pub struct ExecConfig as "ExecCreateRequest" {
        user: String = "User";
        privileged: bool = "Privileged";
        tty: bool = "Tty";
        /// Height and width of the terminal.
        console_size: Option<[u32; 2]> = "ConsoleSize", omitempty;
        attach_stdin: bool = "AttachStdin";
        attach_stderr: bool = "AttachStderr";
        attach_stdout: bool = "AttachStdout";
        detach_keys: String = "DetachKeys";
        env: List<String> = "Env";
        working_dir: String = "WorkingDir";
        cmd: List<String> = "Cmd";
    }

    /// The answer to it.
    pub struct ExecCreateResponse as "IDResponse" {
        id: String = "Id";
    }

    /// The body of `POST /exec/{id}/start`.
    pub struct ExecStartRequest as "ExecStartRequest" {
        /// Returns at once and connects no stream.
        detach: bool = "Detach";
        tty: bool = "Tty";
        console_size: Option<[u32; 2]> = "ConsoleSize", omitempty;
    }

    /// What `GET /exec/{id}/json` answers.
    pub struct ExecInspect as "ExecInspectResponse" {
        id: String = "ID";
        running: bool = "Running";
        /// null until the process ended.
        exit_code: Option<i64> = "ExitCode";
        process_config: ExecProcessConfig = "ProcessConfig";
        open_stdin: bool = "OpenStdin";
        open_stderr: bool = "OpenStderr";
        open_stdout: bool = "OpenStdout";
        can_remove: bool = "CanRemove";
        container_id: String = "ContainerID";
        detach_keys: String = "DetachKeys";
        pid: i64 = "Pid";
    }

    /// The process in it.
    pub struct ExecProcessConfig as "ExecProcessConfig" {
        tty: bool = "tty";
        entrypoint: String = "entrypoint";
        arguments: List<String> = "arguments";
        privileged: Option<bool> = "privileged", omitempty;
        user: String = "user", omitempty;
    }
}
