//! A connection to systemd's manager: its private socket, or the system bus.
//!
//! Blocking, with a limit on each wait. One connection for each operation: an operation is a few
//! messages, and a monitor that keeps none open needs nothing when systemd is restarted.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::super::error::{CgroupError, Result};
use super::message::{
    Call, ERROR, FIXED_HEADER, METHOD_RETURN, Message, Reader, SIGNAL, message_length,
};

/// systemd's own socket, which root may use, and which needs no bus.
const PRIVATE_SOCKET: &str = "/run/systemd/private";
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// runc waits as long for a job.
const LIMIT: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const BUS: &str = "org.freedesktop.DBus";

/// An authenticated connection.
pub(super) struct Connection {
    stream: UnixStream,
    serial: u32,
    /// Signals that came while something else was waited for.
    signals: VecDeque<Message>,
}

impl Connection {
    /// Connects to systemd.
    pub(super) fn open() -> Result<Connection> {
        if let Ok(stream) = UnixStream::connect(PRIVATE_SOCKET) {
            return Connection::authenticate(stream);
        }
        let stream = UnixStream::connect(SYSTEM_BUS)
            .map_err(|source| bus_error(format!("connect to {SYSTEM_BUS}"), source))?;
        let mut connection = Connection::authenticate(stream)?;
        connection.join_bus()?;
        Ok(connection)
    }

    /// Proves who we are: SASL EXTERNAL, where the socket's credentials count and the text is the
    /// user's number in hexadecimal digits of its decimal ones. BEGIN goes along unasked: systemd
    /// (252) forgets a message that it reads together with BEGIN, which could happen if that were
    /// sent only after the answer.
    pub(super) fn authenticate(mut stream: UnixStream) -> Result<Connection> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        let result = (|| {
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\nBEGIN\r\n").as_bytes())?;
            let answer = read_line(&mut stream)?;
            if !answer.starts_with("OK ") {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, answer));
            }
            Ok(())
        })();
        result.map_err(|source| bus_error("authenticate".into(), source))?;
        Ok(Connection { stream, serial: 0, signals: VecDeque::new() })
    }

    /// What a bus wants and a direct connection does not: a name, and to be told of signals.
    fn join_bus(&mut self) -> Result<()> {
        let bus = |member, signature| Call {
            destination: BUS,
            path: "/org/freedesktop/DBus",
            interface: BUS,
            member,
            signature,
        };
        self.call(&bus("Hello", ""), &[])?;
        let mut rule = super::message::Writer::default();
        rule.string(
            "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
        );
        self.call(&bus("AddMatch", "s"), &rule.into_bytes())?;
        self.call(&manager("Subscribe", ""), &[]).map(drop)
    }

    /// Calls a method and waits for its answer.
    pub(super) fn call(&mut self, call: &Call<'_>, body: &[u8]) -> Result<Message> {
        self.serial += 1;
        let serial = self.serial;
        let failed = |source| bus_error(format!("call {}", call.member), source);
        self.stream.write_all(&call.message(serial, body)).map_err(failed)?;
        loop {
            let message = self.receive().map_err(failed)?;
            match message.kind {
                SIGNAL => self.signals.push_back(message),
                METHOD_RETURN if message.reply_serial == Some(serial) => return Ok(message),
                ERROR if message.reply_serial == Some(serial) => {
                    let text = Reader::new(&message.body).string().unwrap_or_default().to_owned();
                    return Err(CgroupError::BusRefused {
                        action: call.member.to_owned(),
                        name: message.error_name,
                        message: text,
                    });
                }
                _ => {}
            }
        }
    }

    /// Waits until a job of a unit has ended, and returns how.
    pub(super) fn job_result(&mut self, job: &str) -> Result<String> {
        loop {
            let message = match self.signals.pop_front() {
                Some(message) => message,
                None => {
                    self.receive().map_err(|source| bus_error(format!("wait for {job}"), source))?
                }
            };
            if message.kind != SIGNAL || message.member != "JobRemoved" {
                continue;
            }
            // JobRemoved(id: u, job: o, unit: s, result: s)
            let mut reader = Reader::new(&message.body);
            let fields = (reader.u32(), reader.string(), reader.string(), reader.string());
            if let (Some(_), Some(removed), Some(_), Some(result)) = fields
                && removed == job
            {
                return Ok(result.to_owned());
            }
        }
    }

    fn receive(&mut self) -> io::Result<Message> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed D-Bus message");
        let mut header = [0; FIXED_HEADER];
        self.stream.read_exact(&mut header)?;
        let length = message_length(&header).ok_or_else(malformed)?;
        let mut bytes = header.to_vec();
        bytes.resize(length, 0);
        self.stream.read_exact(&mut bytes[FIXED_HEADER..])?;
        Message::parse(&bytes).ok_or_else(malformed)
    }
}

/// A method of systemd's manager.
pub(super) fn manager<'a>(member: &'a str, signature: &'a str) -> Call<'a> {
    Call {
        destination: SYSTEMD,
        path: "/org/freedesktop/systemd1",
        interface: "org.freedesktop.systemd1.Manager",
        member,
        signature,
    }
}

/// Reads a line of the authentication, byte by byte: what follows it is another protocol.
fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 512 {
        stream.read_exact(&mut byte)?;
        if byte[0] == b'\n' {
            return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        line.push(byte[0]);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "endless line"))
}

fn bus_error(action: String, source: io::Error) -> CgroupError {
    CgroupError::Bus { action, source }
}
