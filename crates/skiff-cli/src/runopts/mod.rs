//! What `run` and `create` have in common: about a hundred flags, and turning them into the
//! request that makes a container.

mod build;
mod host;
mod network;
mod rows;
mod security;

pub(crate) use build::build;
pub(crate) use host::restart_policy;
pub(crate) use rows::{CONTAINER_FLAGS, check_env};

/// A mistake in the flags that only shows when all are seen; the text follows `skiff: `.
pub(crate) type Result<T> = std::result::Result<T, String>;
