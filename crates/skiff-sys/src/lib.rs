//! See ARCHITECTURE.md.
pub mod fork;
pub mod pages;
pub mod signals;
