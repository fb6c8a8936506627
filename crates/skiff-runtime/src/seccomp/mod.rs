//! Seccomp filters: profiles, and their compilation to BPF.
//!
//! [`profile_from_json`] reads Docker's profiles, [`default_profile`] is Docker's own one, and
//! [`compile`] turns the specification's form into instructions. All of it is pure; installing a
//! program is `skiff_sys::seccomp::set_filter`. The meaning of a profile is libseccomp's, as runc
//! uses it: unknown names are passed over, several rules about a call are alternatives in their
//! order, an unconditional one beats all others, and calls newer than every call that the profile
//! names answer ENOSYS, so that programs fall back to older ones.

mod action;
mod arch;
mod bpf;
mod compile;
mod default_profile;
mod profile;
mod table;
#[cfg(test)]
mod tests;

pub use self::compile::compile;
pub use self::default_profile::{DEFAULT_FLAGS, default_profile, default_program};
pub use self::profile::profile_from_json;

/// A compiled filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// `struct sock_filter` instructions in native byte order.
    pub program: Vec<u8>,
    /// Flags for `seccomp(2)`; with `notify` the caller gets a descriptor to hand on.
    pub flags: u32,
    /// Whether some call is answered by the listener at `linux.seccomp.listenerPath`.
    pub notify: bool,
}

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    /// Docker's words.
    #[error("Decoding seccomp profile failed: {0}")]
    Decode(String),
    /// Docker's words; the profile is well-formed JSON that contradicts itself.
    #[error("{0}")]
    Contradiction(&'static str),
    #[error("invalid seccomp action {0:?}")]
    Action(String),
    #[error("invalid seccomp errno {0}: the maximum is 65535")]
    Errno(u32),
    #[error("string {0} is not a valid arch for seccomp")]
    Architecture(String),
    #[error("seccomp flag {0:?} not known to runtime")]
    Flag(String),
    #[error("string {0} is not a valid operator for seccomp")]
    Operator(String),
    #[error("invalid seccomp argument index {0}: a system call has six arguments")]
    ArgumentIndex(u32),
    #[error("empty string is not a valid syscall")]
    EmptyName,
    #[error("SCMP_ACT_NOTIFY cannot be used as default action")]
    NotifyByDefault,
    #[error("SCMP_ACT_NOTIFY cannot be used for the write syscall")]
    NotifyOnWrite,
    #[error("seccomp filter of {0} instructions is too long: the kernel takes 4096")]
    TooLong(usize),
}
