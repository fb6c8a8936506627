//! OS, architecture and variant.
