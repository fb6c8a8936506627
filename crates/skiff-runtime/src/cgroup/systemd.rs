//! Control groups made by systemd.

use skiff_model::oci::Resources;

use super::error::{CgroupError, Result};
use super::layout::Layout;
use super::{CgroupConfig, CgroupPaths};

fn unsupported(action: &str) -> CgroupError {
    CgroupError::Bus {
        action: action.into(),
        source: std::io::Error::from(std::io::ErrorKind::Unsupported),
    }
}

pub(super) fn start_scope(_: &Layout, _: &CgroupConfig) -> Result<CgroupPaths> {
    Err(unsupported("start scope"))
}

pub(super) fn set_properties(_: &str, _: &Resources, _: bool) -> Result<()> {
    Err(unsupported("set properties"))
}

pub(super) fn stop_scope(_: &str) -> Result<()> {
    Err(unsupported("stop scope"))
}
