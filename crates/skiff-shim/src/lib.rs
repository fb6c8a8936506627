//! See ARCHITECTURE.md.
pub mod protocol;
