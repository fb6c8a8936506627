//! The nouns of the house as plain data and pure parsers: no I/O, no clock, no unsafe.

#![forbid(unsafe_code)]

pub mod oci;
