//! Commands on networks. What a daemon does not do yet, its answers say.

pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod rm;
