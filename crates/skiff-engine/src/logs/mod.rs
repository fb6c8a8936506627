//! Reading a container's log: json-file with its rotated generations, from the beginning or the
//! last N lines, and on as it grows.
//!
//! The writer is the container's monitor, another process; nothing here locks, truncates or delays
//! it. What is read is what is in the files: a reader that falls behind more rotations than are
//! kept loses the oldest lines, as with Docker.
//!
//! ```text
//!  <id>-json.log            current
//!  <id>-json.log.1[.gz]     the one before
//!  <id>-json.log.2[.gz]     …
//! ```
//! `line` takes one line apart, `render` writes it for the client, `generations` finds and opens
//! the files, `reader` walks them, `watch` tells when there is more.

mod generations;
mod line;
mod open;
mod reader;
mod render;
mod timestamp;
mod watch;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use tokio::sync::mpsc;

pub use line::Stream;
pub use timestamp::Timestamp;
pub use watch::Watcher;

use reader::Reader;
use render::Renderer;

use crate::container::Containers;
use crate::{Error, Result};

/// Which part of a log is wanted, and in which form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub follow: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Only lines from this time on.
    pub since: Option<Timestamp>,
    /// Only lines before or at this time; following ends there.
    pub until: Option<Timestamp>,
    /// Put each line's time before it.
    pub timestamps: bool,
    /// Start with the last so many lines; `None` is all.
    pub tail: Option<u64>,
    /// Put the attributes of each line before it.
    pub details: bool,
    /// Frame each line with Docker's 8-byte header; raw text otherwise (containers with a terminal).
    pub multiplexed: bool,
    /// Never frame, whatever the container has.
    pub raw: bool,
}

/// A container's log, being read.
pub struct Logs {
    /// The container has a terminal, so the chunks are raw text; otherwise they are Docker's 8-byte
    /// frames.
    pub tty: bool,
    pub chunks: LogChunks,
}

impl Containers {
    /// Reads a container's log. `multiplexed` is set from whether it has a terminal and
    /// `raw`.
    pub fn logs(&self, name: &str, options: LogOptions) -> Result<Logs> {
        open::logs(&self.0, name, options)
    }
}

/// Where a log is.
struct LogSource {
    /// The current file; need not exist.
    path: PathBuf,
    /// Resolves when the container has ended and its monitor has written everything; resolved at
    /// once for a container that does not run.
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Chunks to send as they are, each a number of whole lines (or frames), [`CHUNK`] bytes and a
/// line long at the most.
pub type LogChunks = mpsc::Receiver<Vec<u8>>;

/// Size from which a chunk is sent.
pub const CHUNK: usize = 64 << 10;

/// Starts reading. The first chunks are made by a thread of tokio's blocking pool; a follower then
/// is a task that sleeps until the file changes. Dropping the receiver ends both.
///
/// # Errors
/// When no stream is wanted or the files cannot be opened. Later failures end the chunks with
/// Docker's words for it.
fn read(source: LogSource, options: &LogOptions, watcher: &Watcher) -> Result<LogChunks> {
    if !options.stdout && !options.stderr {
        return Err(Error::invalid("must specify at least one of 'stdout' or 'stderr'"));
    }
    // Watched before the first byte is read: a change in between wakes the follower, so none is
    // missed.
    let changes = match source.path.parent() {
        Some(directory) if options.follow => Some(watcher.watch(directory)),
        _ => None,
    };
    let mut reader = Reader::open(&source.path, options.tail)?;
    let mut renderer = Renderer::new(options);
    let (sender, chunks) = mpsc::channel(4);
    let backlog = move || {
        let more = send_available(&mut reader, &mut renderer, &sender);
        (reader, renderer, sender, more)
    };
    tokio::spawn(async move {
        let Ok((reader, renderer, sender, more)) = tokio::task::spawn_blocking(backlog).await
        else {
            return;
        };
        if let (true, Some(changes)) = (more, changes) {
            follow(reader, renderer, sender, changes, source.ended).await;
        }
    });
    Ok(chunks)
}

/// Sends what the files hold; false when nothing more is wanted.
fn send_available(
    reader: &mut Reader,
    renderer: &mut Renderer,
    sender: &mpsc::Sender<Vec<u8>>,
) -> bool {
    loop {
        let mut chunk = Vec::new();
        let step = fill(reader, renderer, &mut chunk);
        if !chunk.is_empty() && sender.blocking_send(chunk).is_err() {
            return false;
        }
        match step {
            Step::Full => {}
            Step::Dry => return true,
            Step::Done => return false,
        }
    }
}

/// Sends what comes, until the container ends, `until` passes or the client goes away.
async fn follow(
    mut reader: Reader,
    mut renderer: Renderer,
    sender: mpsc::Sender<Vec<u8>>,
    mut changes: watch::Watch,
    mut ended: Pin<Box<dyn Future<Output = ()> + Send>>,
) {
    let deadline = renderer.until().map(Timestamp::remaining);
    let expired = async {
        match deadline {
            Some(remaining) => tokio::time::sleep(remaining).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(expired);
    let mut last_round = false;
    loop {
        let mut chunk = Vec::new();
        let step = fill(&mut reader, &mut renderer, &mut chunk);
        if !chunk.is_empty() && sender.send(chunk).await.is_err() {
            return;
        }
        match step {
            Step::Full => continue,
            Step::Done => return,
            Step::Dry if last_round => return,
            Step::Dry => {}
        }
        tokio::select! {
            () = changes.changed() => {}
            // Everything is in the files by now: read once more, then end.
            () = &mut ended => last_round = true,
            () = &mut expired => last_round = true,
            () = sender.closed() => return,
        }
    }
}

enum Step {
    /// The chunk is full, there may be more.
    Full,
    /// The end of the current file.
    Dry,
    /// Nothing that comes is wanted (or can be read).
    Done,
}

fn fill(reader: &mut Reader, renderer: &mut Renderer, chunk: &mut Vec<u8>) -> Step {
    while chunk.len() < CHUNK {
        match reader.lines() {
            Ok(Some(lines)) => {
                let (used, more) = renderer.render(lines, chunk);
                reader.consume(used);
                if !more {
                    return Step::Done;
                }
            }
            Ok(None) => return Step::Dry,
            Err(error) => {
                renderer.render_error(&error, chunk);
                return Step::Done;
            }
        }
    }
    Step::Full
}

#[cfg(test)]
mod tests;
