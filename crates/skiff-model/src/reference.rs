//! Image references, normalised as Docker does.
