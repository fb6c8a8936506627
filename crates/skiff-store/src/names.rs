//! Names for temporary files: unlike any of this or an earlier process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of names, shared by the parts of one store.
#[derive(Clone)]
pub(crate) struct Names(Arc<(u64, AtomicU64)>);

impl Names {
    pub(crate) fn new() -> Self {
        let mut seed = [0; 8];
        // Early at boot the kernel may have no randomness yet; the clock will do, since only an
        // earlier process of this data root must differ.
        if rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::NONBLOCK).is_err() {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
            seed = (now.tv_sec ^ now.tv_nsec << 20).to_le_bytes();
        }
        Self(Arc::new((u64::from_le_bytes(seed), AtomicU64::new(0))))
    }

    pub(crate) fn next(&self) -> String {
        format!("{:016x}-{}", self.0.0, self.0.1.fetch_add(1, Ordering::Relaxed))
    }
}
