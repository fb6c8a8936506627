//! Durations in Go's notation, and in words.
