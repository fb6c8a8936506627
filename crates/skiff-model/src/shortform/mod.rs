//! Short forms of the command line: what `-v`, `--mount`, `-p`, `--ulimit`, `--device` and their
//! kin mean, as values.
//!
//! Each grammar has its own module and gives plain values of this crate; the words of the errors
//! are those of Docker's command line. Nothing here looks at the file system or the environment.

mod csv;
mod device;
mod env;
mod mount;
mod network;
mod port;
mod ulimit;
mod volume;

use std::fmt;

pub use csv::split_csv;
pub use device::{
    Device, ThrottleDevice, WeightDevice, is_cdi_name, parse_device, parse_throttle_bps,
    parse_throttle_iops, parse_weight_device,
};
pub use env::{parse_env_file, resolve_env, validate_label};
pub use mount::{MountSpec, parse_mount};
pub use network::{NetworkSpec, parse_extra_host, parse_network};
pub use port::{PortMapping, parse_exposed, parse_port_range, parse_published};
pub use ulimit::{ULIMIT_NAMES, Ulimit, parse_ulimit};
pub use volume::{VolumeKind, VolumeSpec, parse_volume};

/// Why a short form could not be read, in the words for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortFormError(String);

impl ShortFormError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ShortFormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ShortFormError {}

/// The result of reading a short form.
pub type Result<T> = std::result::Result<T, ShortFormError>;

/// Makes an early return with a formatted error short.
macro_rules! refuse {
    ($($arg:tt)*) => { return Err($crate::shortform::ShortFormError::new(format!($($arg)*))) };
}
use refuse;
