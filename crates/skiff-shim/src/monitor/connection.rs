//! A daemon's connection: requests in, answers and events out.
//!
//! Invariant: a peer that talks garbage, or does not read what it is told, is dropped; nothing
//! waits for it.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, sockopt::socket_peercred};

use super::hub::Hub;
use super::poll::{Interest, Source};
use super::queue::Queue;
use crate::frame::{FrameReader, frame, recv_with_fds};
use crate::protocol::{Message, Request};

/// Answers and events a daemon may leave unread.
const UNREAD_LIMIT: usize = 4 << 20;

/// How long a daemon that does not read can keep a monitor that has nothing else to do.
const STUCK: Duration = Duration::from_secs(10);

/// Descriptors that may wait for the frame they belong to.
const DESCRIPTOR_LIMIT: usize = 1024;

/// Most bytes of requests read at once.
const READ: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    source: Source,
    socket: OwnedFd,
    reader: FrameReader,
    /// In the order they came; each frame takes as many as it says it has.
    pub(super) descriptors: VecDeque<OwnedFd>,
    queue: Queue,
    last_sent: Instant,
    waits_to_write: bool,
    /// It has said hello or launched, so it gets events.
    pub(super) listens: bool,
}

/// The peer broke the rules or is gone.
#[derive(Debug)]
pub(super) struct Dropped;

impl Connection {
    /// Takes a connection over and waits for its requests.
    pub(super) fn new(hub: &Hub, socket: OwnedFd, source: Source) -> Connection {
        hub.poll.add(&socket, source, Interest::IN);
        Connection {
            source,
            socket,
            reader: FrameReader::default(),
            descriptors: VecDeque::new(),
            queue: Queue::default(),
            last_sent: Instant::now(),
            waits_to_write: false,
            listens: false,
        }
    }

    /// Whether the process at the other end is root's or our own user's.
    pub(super) fn is_trusted(socket: &OwnedFd) -> bool {
        socket_peercred(socket)
            .is_ok_and(|peer| peer.uid.is_root() || peer.uid == rustix::process::geteuid())
    }

    /// Reads what has arrived. Also used before the event loop, where it waits.
    pub(super) fn receive(&mut self, hub: &mut Hub, wait: bool) -> Result<(), Dropped> {
        let flags = if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let buffer = &mut hub.scratch[..READ];
        match recv_with_fds(&self.socket, buffer, &mut self.descriptors, flags) {
            Ok(0) => Err(Dropped),
            Ok(_) if self.descriptors.len() > DESCRIPTOR_LIMIT => Err(Dropped),
            Ok(count) => {
                self.reader.push(&buffer[..count]);
                Ok(())
            }
            Err(Errno::AGAIN) if !wait => Ok(()),
            Err(_) => Err(Dropped),
        }
    }

    /// The next whole request.
    pub(super) fn next(&mut self) -> Result<Option<Request>, Dropped> {
        self.reader.next().map_err(|_| Dropped)
    }

    /// Sends a message, or queues it. To a peer that is gone it is sent in vain; what that has
    /// asked before is still to be read.
    pub(super) fn send(&mut self, hub: &Hub, message: &Message) -> Result<(), Dropped> {
        let bytes = frame(message).map_err(|_| Dropped)?;
        if self.queue.send(&self.socket, &[], &bytes).is_err() {
            self.queue = Queue::default();
            self.listens = false;
        }
        if self.queue.len() > UNREAD_LIMIT {
            return Err(Dropped);
        }
        self.settle(hub);
        Ok(())
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self, hub: &Hub) {
        match self.queue.flush(&self.socket) {
            Ok(0) => {}
            Ok(_) => self.last_sent = Instant::now(),
            Err(_) => {
                self.queue = Queue::default();
                self.listens = false;
            }
        }
        self.settle(hub);
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether it has left things unread for too long, now that the monitor wants to go.
    pub(super) fn is_stuck(&self) -> bool {
        self.has_unsent() && self.last_sent.elapsed() > STUCK
    }

    pub(super) fn close(self, hub: &Hub) {
        hub.poll.remove(&self.socket);
    }

    fn settle(&mut self, hub: &Hub) {
        let waits = self.has_unsent();
        if waits != self.waits_to_write {
            let mut interest = Interest::IN;
            interest.set(Interest::OUT, waits);
            hub.poll.change(&self.socket, self.source, interest);
            self.waits_to_write = waits;
        }
    }
}
