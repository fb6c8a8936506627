//! What every part of a monitor shares: the set it waits on, the events to tell the daemon, and
//! one large buffer for moving bytes.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use skiff_sys::pages::Pages;

use super::poll::Poll;
use crate::protocol::Event;

/// Largest piece of output moved at once.
pub(super) const CHUNK: usize = 1 << 20;

/// How long a monitor is left alone before it gives its buffers back.
pub(super) const IDLE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) poll: Poll,
    /// In the order they happened; delivered before the next reply.
    pub(super) events: Vec<Event>,
    /// Holds nothing between two calls.
    pub(super) scratch: Pages,
    last_client: u32,
    /// When memory was last made dirty; `None` after it was given back.
    pub(super) busy_since: Option<Instant>,
}

impl Hub {
    pub(super) fn new() -> std::io::Result<Hub> {
        Ok(Hub {
            poll: Poll::new().map_err(|errno: Errno| std::io::Error::from(errno))?,
            events: Vec::new(),
            scratch: Pages::new(CHUNK)?,
            last_client: 0,
            busy_since: None,
        })
    }

    /// A number no client of this monitor had.
    pub(super) fn next_client(&mut self) -> u32 {
        self.last_client = self.last_client.wrapping_add(1);
        self.last_client
    }

    /// Notes that memory is in use.
    pub(super) fn touch(&mut self) {
        self.busy_since = Some(Instant::now());
    }
}
