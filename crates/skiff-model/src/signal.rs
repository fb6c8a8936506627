//! Signal names and numbers.
