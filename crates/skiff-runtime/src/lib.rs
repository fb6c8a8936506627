//! See ARCHITECTURE.md.
pub mod launch;
