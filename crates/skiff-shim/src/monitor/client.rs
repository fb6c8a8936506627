//! One attached client: a socket that was handed over, what it takes and gives, and how it is
//! closed so that it sees every byte and then a proper end.
//!
//! What the daemon answered on the socket before it was handed over is let be read first: a client
//! may read that through a buffer, and the stream behind it past the buffer (docker-py does), and
//! would lose output that arrived together with it.
//!
//! Invariant: nothing here blocks. A client that is to go is *finishing* until its queue is empty,
//! then our direction is shut down, and it *lingers* until it closes its side: closing a socket
//! with unread input would reset the connection and destroy output still on its way. On a unix
//! socket nothing is ever on its way: what was sent is in the client's queue, so such a client is
//! closed at once, after its input has been shut down and read away.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use super::detach::DetachKeys;
use super::hub::Hub;
use super::poll::{Interest, Source};
use super::queue::Queue;
use crate::log::Channel;
use crate::protocol::AttachRequest;

/// Output a client may leave unread before its container has to wait.
pub(super) const QUEUE_LIMIT: usize = 1 << 20;

/// A finishing client that takes nothing for this long is dropped.
const STUCK: Duration = Duration::from_secs(10);

/// How long a client that has been sent everything may take to close its side.
const LINGER: Duration = Duration::from_secs(2);

/// How long output waits for the daemon's answer to be read.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Docker's framing of output: channel, three zeros, big-endian length.
const HEADER: usize = 8;

#[derive(Debug)]
pub(super) struct Client {
    /// The daemon's name for it.
    pub(super) name: u64,
    source: Source,
    socket: OwnedFd,
    takes: [bool; 2],
    pub(super) gives: bool,
    multiplexed: bool,
    detach: Option<DetachKeys>,
    queue: Queue,
    /// What we are registered for; `None` is not at all.
    registered: Option<Interest>,
    /// It has not closed its direction.
    pub(super) reads: bool,
    /// Both directions are closed on its side.
    hung_up: bool,
    /// It does not read any more.
    deaf: bool,
    answer: Answer,
    state: State,
}

/// What the daemon answered before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Unknown,
    /// Not read when there was output to send, and since when.
    Unread(Instant),
    Read,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Serving,
    /// Until the queue is empty; the time of the last progress.
    Finishing(Instant),
    /// Until it closes its side, and no longer than this.
    Lingering(Instant),
}

/// What reading from a client brought.
pub(super) enum Given {
    Bytes(usize),
    Nothing,
    End,
    Gone,
}

impl Client {
    pub(super) fn new(request: AttachRequest, socket: OwnedFd, source: Source) -> Client {
        Client {
            name: request.client,
            source,
            socket,
            takes: [request.stdout, request.stderr],
            gives: request.stdin,
            multiplexed: request.multiplexed,
            detach: DetachKeys::new(request.detach_keys),
            queue: Queue::default(),
            registered: None,
            reads: true,
            hung_up: false,
            deaf: false,
            answer: Answer::Unknown,
            state: State::Serving,
        }
    }

    pub(super) fn is_serving(&self) -> bool {
        self.state == State::Serving
    }

    /// Bytes of this channel that fit before the container has to wait; `None` is any number.
    pub(super) fn room(&self, channel: Channel) -> Option<usize> {
        (self.is_serving() && self.takes[channel.index()])
            .then(|| QUEUE_LIMIT.saturating_sub(self.queue.len()))
    }

    /// Sends or queues output. An error means that it does not read any more.
    pub(super) fn deliver(&mut self, channel: Channel, data: &[u8]) -> Result<(), Errno> {
        if !self.is_serving() || !self.takes[channel.index()] || data.is_empty() {
            return Ok(());
        }
        if !self.multiplexed {
            return self.send(&[], data);
        }
        let mut header = [0; HEADER];
        header[0] = channel.number();
        let len = u32::try_from(data.len()).expect("a chunk is far shorter than 4 GiB");
        header[4..].copy_from_slice(&len.to_be_bytes());
        self.send(&header, data)
    }

    fn send(&mut self, header: &[u8], data: &[u8]) -> Result<(), Errno> {
        if self.must_wait() {
            self.queue.push(header);
            self.queue.push(data);
            return Ok(());
        }
        self.queue.send(&self.socket, header, data)
    }

    /// Looks whether the daemon's answer has been read.
    fn must_wait(&mut self) -> bool {
        let since = match self.answer {
            Answer::Read => return false,
            Answer::Unread(since) => since,
            Answer::Unknown => Instant::now(),
        };
        let unread = skiff_sys::socket::unread_by_peer(self.socket.as_fd()).unwrap_or(0);
        let waits = unread > 0 && since.elapsed() < ANSWER_PATIENCE;
        self.answer = if waits { Answer::Unread(since) } else { Answer::Read };
        waits
    }

    /// Whether output waits for something that no event will tell of.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.answer, Answer::Unread(_))
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) -> Result<(), Errno> {
        if self.must_wait() {
            return Ok(());
        }
        let sent = self.queue.flush(&self.socket)?;
        if let State::Finishing(since) = &mut self.state {
            if sent > 0 {
                *since = Instant::now();
            }
            if self.queue.is_empty() {
                self.shut();
            }
        }
        Ok(())
    }

    /// Reads once into `buffer`.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> Given {
        loop {
            return match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => Given::End,
                Ok((count, _)) => Given::Bytes(count),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => Given::Nothing,
                Err(_) => Given::Gone,
            };
        }
    }

    /// Takes the client's keys apart: what is input goes to `passed`. True if it detaches.
    pub(super) fn scan(&mut self, typed: &[u8], passed: &mut Vec<u8>) -> bool {
        match &mut self.detach {
            Some(keys) => keys.scan(typed, passed),
            None => {
                passed.extend_from_slice(typed);
                false
            }
        }
    }

    pub(super) fn has_detach_keys(&self) -> bool {
        self.detach.is_some()
    }

    /// It has closed both directions.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = true;
        self.stop_taking();
    }

    pub(super) fn is_hung_up(&self) -> bool {
        self.hung_up
    }

    /// It does not read any more, but may still have input for us.
    pub(super) fn stop_taking(&mut self) {
        self.deaf = true;
        self.takes = [false; 2];
        self.queue = Queue::default();
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    pub(super) fn is_lingering(&self) -> bool {
        matches!(self.state, State::Lingering(_))
    }

    /// No more for this client than what is queued.
    pub(super) fn finish(&mut self) {
        if self.is_serving() {
            if self.queue.is_empty() {
                self.shut();
            } else {
                self.state = State::Finishing(Instant::now());
            }
        }
    }

    fn shut(&mut self) {
        let now = Instant::now();
        if !self.is_local() {
            // It may be gone already.
            let _ = shutdown(&self.socket, Shutdown::Write);
            self.state = State::Lingering(now + LINGER);
            return;
        }
        let _ = shutdown(&self.socket, Shutdown::Both);
        let mut unread = [0; 4096];
        while matches!(self.receive(&mut unread), Given::Bytes(_)) {}
        self.state = State::Lingering(now);
    }

    fn is_local(&self) -> bool {
        let domain = rustix::net::sockopt::socket_domain(&self.socket);
        domain.is_ok_and(|domain| domain == rustix::net::AddressFamily::UNIX)
    }

    /// Whether a client that is to go has had its time.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        match self.state {
            State::Serving => false,
            State::Finishing(progress) => now.duration_since(progress) > STUCK,
            State::Lingering(until) => now >= until,
        }
    }

    /// Waits for what is of interest now. `blocked`: the process takes no input at the moment.
    pub(super) fn register(&mut self, hub: &Hub, blocked: bool) {
        let wanted = self.interest(blocked);
        if wanted == self.registered {
            return;
        }
        match (self.registered, wanted) {
            (None, Some(interest)) => {
                hub.poll.add(&self.socket, self.source, interest);
            }
            (Some(_), Some(interest)) => {
                hub.poll.change(&self.socket, self.source, interest);
            }
            (_, None) => hub.poll.remove(&self.socket),
        }
        self.registered = wanted;
    }

    fn interest(&self, blocked: bool) -> Option<Interest> {
        let waits_for_room = self.gives && blocked;
        match self.state {
            // A hang-up is reported whatever one asks for, so the way not to be told again and
            // again while its last input waits is not to be registered.
            State::Serving if self.hung_up && waits_for_room => None,
            State::Serving => {
                let mut interest = Interest::empty();
                interest.set(Interest::IN, self.reads && !waits_for_room);
                interest.set(Interest::OUT, !self.queue.is_empty() && !self.is_held());
                Some(interest)
            }
            State::Finishing(_) if self.is_held() => Some(Interest::empty()),
            State::Finishing(_) => Some(Interest::OUT),
            State::Lingering(_) => Some(Interest::IN),
        }
    }

    /// Lets the socket go.
    pub(super) fn close(self, hub: &Hub) {
        hub.poll.remove(&self.socket);
        // The daemon may hold a copy, so closing alone would not end the connection.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }
}
