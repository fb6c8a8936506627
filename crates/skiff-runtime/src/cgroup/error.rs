//! What can go wrong with control groups, naming the file or the setting.

use std::io;
use std::path::PathBuf;

/// Result of a control group operation.
pub type Result<T, E = CgroupError> = std::result::Result<T, E>;

/// A failed control group operation.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    #[error("no cgroup mount found in mountinfo")]
    NoCgroups,
    #[error("create cgroup {}", path.display())]
    Create { path: PathBuf, source: io::Error },
    /// Another container's, or somebody's who put processes there.
    #[error("container's cgroup is not empty: {count} process(es) found in {}", path.display())]
    NotEmpty { path: PathBuf, count: usize },
    #[error("remove cgroup {}", path.display())]
    Remove { path: PathBuf, source: io::Error },
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("open {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("write {value:?} to {}", path.display())]
    Write { path: PathBuf, value: String, source: io::Error },
    #[error("unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})")]
    MemoryInUse { limit: i64, usage: u64, peak: u64, source: io::Error },
    /// A limit was asked for that this host cannot set.
    #[error("cannot set {setting}: container could not join or create cgroup for {controller}")]
    MissingController { setting: String, controller: String },
    #[error("invalid cgroup path {path:?}: {reason}")]
    InvalidPath { path: String, reason: &'static str },
    #[error("invalid {setting}: {reason}")]
    InvalidResource { setting: String, reason: String },
    #[error("invalid line {line:?} in {}", path.display())]
    InvalidContent { path: PathBuf, line: String },
    #[error("{action} cgroup {}: processes did not get there in time", path.display())]
    Timeout { action: &'static str, path: PathBuf },
    #[error("device cgroup program of {}: {action}", path.display())]
    DeviceProgram { path: PathBuf, action: &'static str, source: io::Error },
    #[error("systemd: {action}")]
    Bus { action: String, source: io::Error },
    #[error("systemd refused to {action}: {name}: {message}")]
    BusRefused { action: String, name: String, message: String },
}
