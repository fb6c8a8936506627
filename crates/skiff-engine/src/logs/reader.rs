//! Walks the files of a log from the oldest wanted line to the newest, in blocks of whole lines.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use super::generations::{self, Generation, Plain};
use crate::{Error, Result};

/// Bytes read at once.
const BLOCK: usize = 256 << 10;

/// A line longer than this is no log line (the longest that is written is 16 KiB, each byte of
/// which takes six at the most) and is passed over.
const LONGEST_LINE: usize = 1 << 20;

/// Position in a log.
pub(super) struct Reader {
    path: PathBuf,
    /// What comes after the first, which is being read.
    queue: VecDeque<Generation>,
    /// Bytes read and not yet consumed are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Lines still to be passed over.
    skip: u64,
    /// The rest of the line at `start` is passed over.
    in_long_line: bool,
}

impl Reader {
    /// Opens a log at its beginning or at its last `tail` lines. A log that does not exist is
    /// empty.
    pub(super) fn open(path: &Path, tail: Option<u64>) -> Result<Reader> {
        let open = || -> io::Result<(Vec<Generation>, u64)> {
            let generations = generations::open_all(path)?;
            match tail {
                Some(count) => generations::keep_last(generations, count),
                None => Ok((generations, 0)),
            }
        };
        let (generations, skip) =
            open().map_err(|error| Error::failed(format!("open log {}", path.display()), error))?;
        Ok(Reader {
            path: path.to_owned(),
            queue: generations.into(),
            buffer: Vec::new(),
            start: 0,
            end: 0,
            skip,
            in_long_line: false,
        })
    }

    /// The next whole lines, unchanged until [`Reader::consume`]; `None` when there are none for
    /// now.
    pub(super) fn lines(&mut self) -> Result<Option<&[u8]>> {
        loop {
            if let Some(length) = self.whole_lines() {
                return Ok(Some(&self.buffer[self.start..self.start + length]));
            }
            let more = self.refill().map_err(|error| {
                Error::failed(format!("read log {}", self.path.display()), error)
            })?;
            if !more {
                self.release();
                return Ok(None);
            }
        }
    }

    /// Goes past the first `count` bytes of what [`Reader::lines`] gave.
    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// Length of the whole lines at `start` that are wanted.
    fn whole_lines(&mut self) -> Option<usize> {
        while self.skip > 0 || self.in_long_line {
            let unread = &self.buffer[self.start..self.end];
            let newline = memchr::memchr(b'\n', unread)?;
            self.start += newline + 1;
            if !std::mem::take(&mut self.in_long_line) {
                self.skip -= 1;
            }
        }
        memchr::memrchr(b'\n', &self.buffer[self.start..self.end]).map(|newline| newline + 1)
    }

    /// Reads more of the first generation, or goes on to the next; false at the end of the last.
    fn refill(&mut self) -> io::Result<bool> {
        self.make_room();
        loop {
            if self.queue.is_empty() {
                match Plain::open(&self.path)? {
                    Some(plain) => self.queue.push_back(Generation::Plain(plain)),
                    None => return Ok(false),
                }
            }
            let generation = self.queue.front_mut().expect("one was just added");
            let count = generation.read(&mut self.buffer[self.end..])?;
            if count > 0 {
                self.end += count;
                return Ok(true);
            }
            if self.queue.len() == 1 && !self.find_newer()? {
                return Ok(false);
            }
            if self.queue.len() > 1 {
                self.queue.pop_front();
                // A file that was rotated away ends with a whole line, unless its writer died.
                self.end = self.start;
                self.in_long_line = false;
            }
        }
    }

    /// At the end of the last generation: was it rotated away, or truncated? True when there is
    /// more to read.
    fn find_newer(&mut self) -> io::Result<bool> {
        let Some(Generation::Plain(plain)) = self.queue.front_mut() else {
            // The writer never compresses the current file; a rotated one was last because there
            // was no current one.
            let current = Plain::open(&self.path)?.map(Generation::Plain);
            let found = current.is_some();
            self.queue.extend(current);
            return Ok(found);
        };
        if generations::current_inode(&self.path)?.is_none_or(|inode| inode == plain.inode) {
            let truncated = plain.file.metadata()?.len() < plain.offset;
            if truncated {
                plain.offset = 0;
                self.end = self.start;
            }
            return Ok(truncated);
        }
        // The writer may have added to this file between our last read and its rotation.
        let length = plain.file.metadata()?.len();
        if length > plain.offset {
            return Ok(true);
        }
        let newer = generations::open_newer(&self.path, plain.inode)?;
        let found = !newer.is_empty();
        self.queue.extend(newer);
        Ok(found)
    }

    /// Makes space to read into behind the unread bytes.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end >= LONGEST_LINE {
            self.end = 0;
            self.in_long_line = true;
        }
        if self.buffer.len() < self.end + BLOCK / 2 {
            self.buffer.resize(self.end + BLOCK, 0);
        }
    }

    /// Gives the buffer back while there is nothing to read, so that a thousand followers cost
    /// little.
    fn release(&mut self) {
        if self.start == self.end {
            self.buffer = Vec::new();
            self.start = 0;
            self.end = 0;
        }
    }
}
