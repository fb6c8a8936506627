//! A process with its streams: the container's init or an exec.
//!
//! Output goes to the log and to every attached client, input comes from clients. Invariant: what
//! a client could not take yet is bounded, because the process's output is not read while a
//! client's queue is full. Whose exit means what is decided in `exit`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::io::Errno;
use skiff_sys::process::send_signal;

use super::client::{Client, Given, QUEUE_LIMIT};
use super::hub::{CHUNK, Hub};
use super::input::Input;
use super::poll::{Interest, Source};
use super::streams::Ours;
use crate::log::{Channel, JsonFile};
use crate::protocol::{AttachRequest, Event};

/// Most input read from a client at once.
const INPUT_CHUNK: usize = 64 << 10;

/// Pipe size that is asked for when a process fills its pipe.
const LARGE_PIPE: usize = 1 << 20;

/// Reads of one stream before others get their turn.
const TURN: usize = 4;

#[derive(Debug)]
pub(super) struct Task {
    id: u32,
    /// Name of the exec; `None` for init.
    pub(super) exec: Option<String>,
    pub(super) pid: i32,
    pidfd: OwnedFd,
    console: Option<OwnedFd>,
    outputs: [Option<Output>; 2],
    input: Input,
    clients: BTreeMap<u32, Client>,
    pub(super) log: Option<JsonFile>,
    pub(super) exited: bool,
}

/// The read side of one output stream.
#[derive(Debug)]
struct Output {
    fd: OwnedFd,
    registered: bool,
    /// Its pipe has the large size, or cannot have it.
    grown: bool,
}

/// A process that was just started.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: i32,
    pub(super) pidfd: OwnedFd,
    pub(super) console: Option<OwnedFd>,
}

/// Whether a stream has more.
#[derive(PartialEq, Eq)]
enum More {
    Perhaps,
    NotNow,
    Never,
}

impl Task {
    /// `closes_input`: the first client that closes its side closes the process's stdin.
    pub(super) fn new(
        id: u32,
        exec: Option<String>,
        started: Started,
        ours: Ours,
        closes_input: bool,
    ) -> Task {
        let output = |fd| Output { fd, registered: false, grown: started.console.is_some() };
        Task {
            id,
            exec,
            pid: started.pid,
            outputs: [ours.stdout.map(output), ours.stderr.map(output)],
            input: Input::new(
                ours.input,
                Source::Input(id),
                closes_input && started.console.is_none(),
            ),
            pidfd: started.pidfd,
            console: started.console,
            clients: BTreeMap::new(),
            log: None,
            exited: false,
        }
    }

    pub(super) fn signal(&self, signal: i32) -> std::io::Result<()> {
        send_signal(self.pidfd.as_fd(), signal)
    }

    /// False if there is no terminal.
    pub(super) fn resize(&self, width: u16, height: u16) -> bool {
        let Some(console) = &self.console else { return false };
        let size =
            rustix::termios::Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(console, size).is_ok()
    }

    /// Connects a client.
    pub(super) fn attach(&mut self, hub: &mut Hub, mut request: AttachRequest, socket: OwnedFd) {
        let id = hub.next_client();
        let early = std::mem::take(&mut request.early_input);
        let source = Source::Client { task: self.id, client: id };
        self.clients.insert(id, Client::new(request, socket, source));
        if !early.is_empty() {
            self.take_input(hub, id, &early);
        }
        self.settle(hub);
    }

    /// Moves output after a stream became readable.
    pub(super) fn on_output(&mut self, hub: &mut Hub, channel: Channel) {
        for _ in 0..TURN {
            let room = self.room(channel);
            // A short read has emptied the stream, as good as always.
            if room == 0 || self.move_output(hub, channel, room).0 < INPUT_CHUNK {
                break;
            }
        }
        self.settle(hub);
    }

    pub(super) fn on_input_ready(&mut self, hub: &mut Hub) {
        self.input.on_ready(hub);
        self.settle(hub);
    }

    pub(super) fn on_client(&mut self, hub: &mut Hub, id: u32, ready: Interest) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let hung_up = ready.intersects(Interest::HUP | Interest::ERR);
        if ready.contains(Interest::OUT) && client.flush().is_err() {
            client.stop_taking();
        }
        if hung_up {
            client.hang_up();
        }
        if !client.is_serving() {
            self.dismiss(hub, id, hung_up);
        } else if hung_up || ready.contains(Interest::IN) {
            self.read_client(hub, id);
        }
        self.settle(hub);
    }

    /// Drops clients that had to go and did not.
    pub(super) fn drop_overdue(&mut self, hub: &mut Hub, now: Instant) {
        let overdue: Vec<u32> =
            self.clients.iter().filter(|(_, c)| c.is_overdue(now)).map(|(id, _)| *id).collect();
        for id in overdue {
            self.drop_client(hub, id);
        }
    }

    /// Moves what is in the streams and closes them: the process has ended. Streams that others
    /// hold open (a daemonised grandchild) are not waited for, and no more is taken than was
    /// there.
    pub(super) fn drain(&mut self, hub: &mut Hub) {
        for channel in [Channel::Stdout, Channel::Stderr] {
            let Some(output) = &self.outputs[channel.index()] else { continue };
            let there = rustix::io::ioctl_fionread(&output.fd).unwrap_or(0);
            // A terminal gives what it has in small pieces and tells only of the first.
            let terminal = self.console.is_some();
            let mut left = if terminal { CHUNK as u64 } else { there };
            while left > 0 {
                let limit = usize::try_from(left).unwrap_or(CHUNK);
                match self.move_output(hub, channel, limit) {
                    (_, More::NotNow | More::Never) => break,
                    (moved, More::Perhaps) => left = left.saturating_sub(moved as u64),
                }
            }
            self.close_output(hub, channel);
        }
        if let Some(log) = &mut self.log {
            log.finish();
        }
        self.input.close(hub);
    }

    /// Tells every client that this was all.
    pub(super) fn finish_clients(&mut self, hub: &mut Hub) {
        for client in self.clients.values_mut() {
            client.finish();
        }
        self.settle(hub);
    }

    pub(super) fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Whether a client is on its way out, so that time matters.
    pub(super) fn has_leaving_clients(&self) -> bool {
        self.clients.values().any(|client| !client.is_serving())
    }

    /// Whether a client's output waits for something that no event will tell of.
    pub(super) fn has_held_clients(&self) -> bool {
        self.clients.values().any(Client::is_held)
    }

    /// Looks whether held clients can be served now.
    pub(super) fn retry_held(&mut self, hub: &mut Hub) {
        for client in self.clients.values_mut().filter(|client| client.is_held()) {
            if client.flush().is_err() {
                client.stop_taking();
            }
        }
        self.settle(hub);
    }

    /// Detaches everybody.
    pub(super) fn detach_all(&mut self, hub: &mut Hub) {
        for client in self.clients.values_mut().filter(|client| client.is_serving()) {
            hub.events.push(Event::AttachEnded { client: client.name, detached: true });
            client.finish();
        }
        self.settle(hub);
    }

    pub(super) fn relax(&mut self) {
        if let Some(log) = &mut self.log {
            log.relax();
        }
    }

    /// Bytes of a channel that every client has room for.
    fn room(&self, channel: Channel) -> usize {
        let rooms = self.clients.values().filter_map(|client| client.room(channel));
        rooms.min().unwrap_or(QUEUE_LIMIT)
    }

    /// Reads once, at most `limit` bytes, and passes them on.
    fn move_output(&mut self, hub: &mut Hub, channel: Channel, limit: usize) -> (usize, More) {
        let Some(output) = &mut self.outputs[channel.index()] else { return (0, More::Never) };
        let limit = limit.min(CHUNK);
        let count = loop {
            match rustix::io::read(&output.fd, &mut hub.scratch[..limit]) {
                Ok(0) => break None,
                Ok(count) => break Some(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return (0, More::NotNow),
                // EIO: every process has closed the terminal.
                Err(_) => break None,
            }
        };
        let Some(count) = count else {
            self.close_output(hub, channel);
            return (0, More::Never);
        };
        output.grow_after(count);
        hub.touch();
        let data = &hub.scratch[..count];
        let mut unread = false;
        for client in self.clients.values_mut() {
            if client.deliver(channel, data).is_err() {
                client.stop_taking();
                unread = true;
            }
        }
        if let Some(log) = &mut self.log {
            log.write(channel, data);
        }
        if unread {
            self.drop_unreading(hub);
        }
        (count, More::Perhaps)
    }

    fn close_output(&mut self, hub: &Hub, channel: Channel) {
        let output = self.outputs[channel.index()].take();
        if let Some(output) = output.filter(|output| output.registered) {
            hub.poll.remove(&output.fd);
        }
    }

    /// Clients that neither read nor give input are gone.
    fn drop_unreading(&mut self, hub: &mut Hub) {
        let gone: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, client)| client.is_deaf() && !(client.gives && client.reads))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.drop_client(hub, id);
        }
    }

    fn drop_client(&mut self, hub: &mut Hub, id: u32) {
        let Some(client) = self.clients.remove(&id) else { return };
        if client.is_serving() {
            hub.events.push(Event::AttachEnded { client: client.name, detached: false });
        }
        client.close(hub);
    }

    /// A client that is leaving: it goes when it has closed its side.
    fn dismiss(&mut self, hub: &mut Hub, id: u32, hung_up: bool) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let gone = loop {
            match client.receive(&mut hub.scratch[..INPUT_CHUNK]) {
                Given::Bytes(_) => {}
                Given::Nothing => break hung_up,
                Given::End | Given::Gone => break true,
            }
        };
        if gone && (hung_up || client.is_lingering()) {
            self.drop_client(hub, id);
        }
    }

    /// Reads a client's input once, or until its end if it has hung up.
    fn read_client(&mut self, hub: &mut Hub, id: u32) {
        loop {
            let Some(client) = self.clients.get_mut(&id) else { return };
            let blocked = client.gives && self.input.is_blocked();
            if !client.is_serving() || blocked {
                return;
            }
            match client.receive(&mut hub.scratch[..INPUT_CHUNK]) {
                Given::Bytes(count) if client.gives => {
                    hub.touch();
                    let data = hub.scratch[..count].to_vec();
                    self.take_input(hub, id, &data);
                }
                Given::Bytes(_) => {}
                Given::Nothing => return,
                Given::End => return self.on_client_end(hub, id),
                Given::Gone => {
                    if client.gives {
                        self.input.on_client_end(hub);
                    }
                    return self.drop_client(hub, id);
                }
            }
            if !self.clients.get(&id).is_some_and(Client::is_hung_up) {
                return;
            }
        }
    }

    fn take_input(&mut self, hub: &mut Hub, id: u32, data: &[u8]) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if !client.gives {
            return;
        }
        if !client.has_detach_keys() {
            return self.input.write(hub, data);
        }
        let mut passed = Vec::new();
        let detached = client.scan(data, &mut passed);
        self.input.write(hub, &passed);
        if detached {
            hub.events.push(Event::AttachEnded { client: client.name, detached: true });
            client.finish();
        }
    }

    /// A client has closed its direction.
    fn on_client_end(&mut self, hub: &mut Hub, id: u32) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.reads = false;
        let ends = client.gives && !self.input.on_client_end(hub);
        if client.is_hung_up() || client.is_deaf() {
            self.drop_client(hub, id);
        } else if ends {
            hub.events.push(Event::AttachEnded { client: client.name, detached: false });
            client.finish();
        }
    }

    /// Waits for what can go on now, and for nothing else.
    pub(super) fn settle(&mut self, hub: &mut Hub) {
        let blocked = self.input.is_blocked();
        for client in self.clients.values_mut() {
            client.register(hub, blocked);
        }
        for channel in [Channel::Stdout, Channel::Stderr] {
            let open = self.room(channel) > 0;
            let id = self.id;
            let Some(output) = &mut self.outputs[channel.index()] else { continue };
            if open && !output.registered {
                hub.poll.add(&output.fd, Source::Output(id, channel), Interest::IN);
            } else if !open && output.registered {
                // Not merely without interest: a hang-up would still be reported all the time.
                hub.poll.remove(&output.fd);
            }
            output.registered = open;
        }
    }
}

impl Output {
    /// A read as large as the pipe says that the process is faster than we are woken.
    fn grow_after(&mut self, count: usize) {
        if !self.grown && count >= LARGE_PIPE / 16 {
            self.grown = true;
            // Refused when the user's limit is reached; then it stays as it is.
            let _ = rustix::pipe::fcntl_setpipe_size(&self.fd, LARGE_PIPE);
        }
    }
}
