//! Capability names and numbers.
