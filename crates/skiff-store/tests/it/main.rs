//! Tests of the store on a real file system, with real archives.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod archives;
mod changes;
mod collect;
mod crash;
mod hostile;
mod layer;
mod mutate;
mod roundtrip;
mod support;
