//! Commands about the daemon itself.

pub(crate) mod df;
pub(crate) mod dial_stdio;
pub(crate) mod events;
pub(crate) mod info;
pub(crate) mod launch_daemon;
pub(crate) mod prune;
pub(crate) mod version;
