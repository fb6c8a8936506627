//! Tests of the store on a real file system, with real archives.

mod support;

mod roundtrip;
