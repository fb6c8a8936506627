//! Tests of the store on a real file system, with real archives.

mod archives;
mod changes;
mod collect;
mod hostile;
mod layer;
mod mutate;
mod roundtrip;
mod support;
