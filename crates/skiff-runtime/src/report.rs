//! The channel between the parent and the child it cloned, for as long as there is setting up.
//!
//! It is a `SOCK_SEQPACKET` pair, close-on-exec on both sides: its end tells the parent that the
//! program runs. The child speaks [`Word`]s; the parent answers those that wait with one byte.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use skiff_sys::socket;

use crate::launch::{LaunchError, LaunchErrorKind};

/// What the child says.
#[derive(Debug)]
pub(crate) enum Word {
    /// Write my id maps, and do what my user namespace keeps me from doing; then answer.
    NeedsParent,
    /// I am the helper process: this is the pidfd of the child proper. Its number would be that of
    /// the pid namespace the helper may be in.
    Cloned(OwnedFd),
    /// Run the hooks of the runtime's namespace; then answer.
    RuntimeHooks,
    /// The terminal's master.
    Console(OwnedFd),
    /// The listener for the seccomp filter's notifications.
    SeccompListener(OwnedFd),
    /// A mount that was made in another mount namespace.
    Tree(OwnedFd),
    /// All is set up; I execute the program when I am let.
    Ready,
    Failed(LaunchError),
    /// The program runs, or the child died.
    End,
}

/// The child's end.
#[derive(Debug)]
pub(crate) struct Reporter(OwnedFd);

/// The parent's end.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

const GO: &[u8] = b"G";

/// Makes a channel.
pub(crate) fn channel() -> io::Result<(Listener, Reporter)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((Listener(ours), Reporter(theirs)))
}

impl Reporter {
    /// Says a word that has an answer and waits for it.
    pub(crate) fn ask(&self, word: u8) -> io::Result<()> {
        self.say(&[word], &[])?;
        self.wait()
    }

    /// Waits for the parent's answer.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut answer = [0; 1];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut answer))? {
            1 => Ok(()),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Waits for the parent to send what the control group is entered by.
    pub(crate) fn wait_for_group(&self) -> io::Result<Vec<OwnedFd>> {
        let mut fds = Vec::new();
        match socket::receive(self.0.as_fd(), &mut [0; 1], &mut fds)? {
            1 if !fds.is_empty() => Ok(fds),
            _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    /// Hands a descriptor over.
    pub(crate) fn give(&self, word: u8, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.say(&[word], &[fd])
    }

    /// Tells the parent of the process it really wants.
    pub(crate) fn cloned(&self, pidfd: BorrowedFd<'_>) -> io::Result<()> {
        self.give(CLONED, pidfd)
    }

    /// Says that everything but the execution is done.
    pub(crate) fn ready(&self) -> io::Result<()> {
        self.say(&[READY], &[])
    }

    /// Reports why the process will end now. If even that fails, the parent sees the end without
    /// a reason and says so.
    pub(crate) fn fail(&self, error: &LaunchError) {
        let mut bytes = vec![FAILED, kind_byte(error.kind)];
        bytes.extend(error.message.as_bytes());
        let _ = self.say(&bytes, &[]);
    }

    fn say(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        socket::send(self.0.as_fd(), bytes, fds).map(drop)
    }
}

/// First byte of [`Word::NeedsParent`].
pub(crate) const NEEDS_PARENT: u8 = b'U';
/// First byte of [`Word::RuntimeHooks`].
pub(crate) const RUNTIME_HOOKS: u8 = b'H';
/// First byte of [`Word::Console`].
pub(crate) const CONSOLE: u8 = b'C';
/// First byte of [`Word::SeccompListener`].
pub(crate) const SECCOMP_LISTENER: u8 = b'S';
/// First byte of [`Word::Tree`].
pub(crate) const TREE: u8 = b'T';
const CLONED: u8 = b'P';
const READY: u8 = b'R';
const FAILED: u8 = b'E';

impl Listener {
    /// Waits for the child's next word.
    pub(crate) fn next(&self) -> io::Result<Word> {
        let mut buffer = [0; 8192];
        let mut fds = Vec::new();
        let length = loop {
            match socket::receive(self.0.as_fd(), &mut buffer, &mut fds) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The child died with our last answer unread. The kernel says so once, and before
                // what the child had said: that comes next.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                other => break other?,
            }
        };
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let rest = buffer.get(1..length).unwrap_or_default();
        if length == 0 {
            return Ok(Word::End);
        }
        Ok(match buffer[0] {
            NEEDS_PARENT => Word::NeedsParent,
            RUNTIME_HOOKS => Word::RuntimeHooks,
            CONSOLE => Word::Console(fds.pop().ok_or_else(malformed)?),
            SECCOMP_LISTENER => Word::SeccompListener(fds.pop().ok_or_else(malformed)?),
            TREE => Word::Tree(fds.pop().ok_or_else(malformed)?),
            CLONED => Word::Cloned(fds.pop().ok_or_else(malformed)?),
            READY => Word::Ready,
            FAILED => Word::Failed(parse_failure(rest)),
            _ => return Err(malformed()),
        })
    }

    /// Sends the child what it enters its control group by.
    pub(crate) fn send_group(&self, files: &[OwnedFd]) -> io::Result<()> {
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        socket::send(self.0.as_fd(), GO, &files).map(drop)
    }

    /// Lets the child go on.
    pub(crate) fn answer(&self) -> io::Result<()> {
        socket::send(self.0.as_fd(), GO, &[]).map(drop)
    }
}

fn kind_byte(kind: LaunchErrorKind) -> u8 {
    match kind {
        LaunchErrorKind::NotFound => b'n',
        LaunchErrorKind::NotExecutable => b'x',
        LaunchErrorKind::InvalidConfig => b'c',
        LaunchErrorKind::UnknownUser => b'u',
        LaunchErrorKind::NoWorkingDir => b'w',
        LaunchErrorKind::Failed => b'f',
    }
}

/// Encodes an error for a stream of its own, as the `start` command reads it.
pub(crate) fn encode_failure(error: &LaunchError) -> Vec<u8> {
    let mut bytes = vec![kind_byte(error.kind)];
    bytes.extend(error.message.as_bytes());
    bytes
}

/// Reads what [`encode_failure`] wrote.
pub(crate) fn parse_failure(bytes: &[u8]) -> LaunchError {
    let (kind, message) = bytes.split_first().map_or((b'f', bytes), |(kind, rest)| (*kind, rest));
    let kind = match kind {
        b'n' => LaunchErrorKind::NotFound,
        b'x' => LaunchErrorKind::NotExecutable,
        b'c' => LaunchErrorKind::InvalidConfig,
        b'u' => LaunchErrorKind::UnknownUser,
        b'w' => LaunchErrorKind::NoWorkingDir,
        _ => LaunchErrorKind::Failed,
    };
    LaunchError { kind, message: String::from_utf8_lossy(message).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A child that failed while its parent made the control group died with the group unread,
    /// and its reason was lost for that.
    #[test]
    fn a_reason_outlives_an_answer_that_came_too_late() {
        let (listener, reporter) = channel().expect("a socket pair");
        let error = LaunchError { kind: LaunchErrorKind::NotFound, message: "no program".into() };
        reporter.fail(&error);
        listener.answer().expect("an answer");
        drop(reporter);
        let Word::Failed(failure) = listener.next().expect("a word") else {
            panic!("the reason was lost")
        };
        assert_eq!((failure.kind, failure.message.as_str()), (error.kind, "no program"));
        assert!(matches!(listener.next().expect("the end"), Word::End));
    }
}
