//! What it takes to start a container or a further process in one: the values that cross from the
//! engine to the monitor and from the `runtime` command to the executor.
//!
//! Everything here is plain data that serialises, because the daemon decides and another process
//! (the monitor, see ARCHITECTURE.md "Processes") acts. Host paths are absolute.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use skiff_model::oci::{Process, Spec};

/// A container to start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Launch {
    /// Container id: names the control group and the state; `[A-Za-z0-9+._-]`, at most 1024 bytes.
    pub id: String,
    /// Directory that relative paths of the specification start from, and that hooks are told of.
    pub bundle: PathBuf,
    /// The OCI configuration. `root.readonly` counts for every kind of [`Rootfs`]; `root.path` is
    /// used only with [`Rootfs::Path`].
    pub spec: Spec,
    pub rootfs: Rootfs,
    pub cgroup_driver: CgroupDriver,
    /// When set, replaces `process.user`: names are looked up in the container's own files.
    pub user: Option<UserRequest>,
    /// Where the filter comes from.
    pub seccomp: SeccompSource,
    /// Run a minimal init as process 1 that starts the program, passes signals on and reaps.
    pub init: bool,
}

/// Where the container's root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// A directory, made somewhere else (`root.path` of the bundle).
    Path(PathBuf),
    /// An overlay that is mounted inside the container's own mount namespace, so that the host
    /// never sees it and it goes away with the container.
    Overlay {
        /// Read-only layer directories, the topmost first; at least one.
        lowers: Vec<PathBuf>,
        upper: PathBuf,
        work: PathBuf,
        /// Skip all syncs of the upper directory: for containers that are removed when they end.
        volatile: bool,
        /// What is on disk has the ids of the container's user namespace, and is shown through its
        /// mappings (Linux 5.19). `upper` and `work` have one parent then.
        #[serde(default)]
        mapped: bool,
    },
}

/// Who manages control groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupDriver {
    /// We do, in the file system.
    #[default]
    Cgroupfs,
    /// systemd does, asked over D-Bus for a transient scope.
    Systemd,
}

/// The user to run as, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRequest {
    /// Docker's `--user`: `name|uid[:group|gid]`; empty is root.
    pub user: String,
    /// Docker's `--group-add`: names or numbers.
    pub additional_groups: Vec<String>,
}

/// Where a process's seccomp filter comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompSource {
    /// Compile `linux.seccomp` of the specification; no filter if that is absent.
    Spec,
    /// A program compiled before: `struct sock_filter` instructions in native byte order.
    Program(#[serde(with = "hex")] Vec<u8>),
}

/// A further process to start in a running container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecLaunch {
    /// The process; capabilities, limits and labels are complete: nothing is inherited from the
    /// container's init.
    pub process: Process,
    pub user: Option<UserRequest>,
    /// `None` runs without a filter.
    #[serde(with = "optional_hex", default)]
    pub seccomp: Option<Vec<u8>>,
}

/// Why a process could not be started; its kind decides the exit code a user sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchError {
    pub kind: LaunchErrorKind,
    /// runc's words for it, since Docker's clients match on them, as
    /// `exec: "nope": executable file not found in $PATH`.
    pub message: String,
}

/// Kinds of [`LaunchError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchErrorKind {
    /// The program does not exist in the container (exit code 127).
    NotFound,
    /// The program exists and may not be executed (126).
    NotExecutable,
    /// The configuration asks for what cannot be (125).
    InvalidConfig,
    /// The container's files know no such user or group (125). Docker looks that up before it
    /// calls a runtime, so the message stands for itself.
    UnknownUser,
    /// The place of the working directory is taken by something else (125). Docker makes it before
    /// it calls a runtime as well.
    NoWorkingDir,
    /// The kernel or the host refused a step (125).
    Failed,
}

impl std::fmt::Display for LaunchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LaunchError {}

/// Bytes as a string of hexadecimal digits: an array of numbers takes a quarter of a millisecond
/// to read at every start.
mod hex {
    use serde::de::{Deserializer, Error as _};
    use serde::{Deserialize, Serializer};

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        decode(&text).ok_or_else(|| D::Error::custom("not a string of hexadecimal digits"))
    }

    pub(super) fn encode(bytes: &[u8]) -> String {
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
    }

    pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes = pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?));
        if rest.is_empty() { bytes.collect() } else { None }
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn bytes_survive_and_anything_else_is_refused() {
            let bytes: Vec<u8> = (0..=255).collect();
            assert_eq!(super::decode(&super::encode(&bytes)), Some(bytes));
            for bad in ["0", "0g", "AA", "é", "00 "] {
                assert_eq!(super::decode(bad), None, "{bad}");
            }
        }
    }
}

/// As [`hex`], of what may be absent.
mod optional_hex {
    use serde::de::{Deserializer, Error as _};
    use serde::{Deserialize, Serialize, Serializer};

    use super::hex;

    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(hex::encode).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        let text = <Option<std::borrow::Cow<'de, str>>>::deserialize(from)?;
        let decode = |text: std::borrow::Cow<'_, str>| {
            hex::decode(&text).ok_or_else(|| D::Error::custom("not a string of hexadecimal digits"))
        };
        text.map(decode).transpose()
    }
}
