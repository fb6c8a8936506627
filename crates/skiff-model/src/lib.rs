//! The nouns of the house as plain data and pure parsers: no I/O, no clock, no unsafe.

#![forbid(unsafe_code)]

pub mod capability;
pub mod digest;
pub mod duration;
pub mod id_map;
pub mod image;
pub mod oci;
pub mod platform;
pub mod reference;
pub mod shortform;
pub mod signal;
pub mod size;
