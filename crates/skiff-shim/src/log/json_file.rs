//! Docker's json-file log: one JSON object per line of output, in one file that is rotated.
//!
//! Invariants: the file consists of whole lines of JSON whatever the disk says; no error reaches
//! the container. Lines of output longer than [`LINE_LIMIT`] are split into entries without a line
//! feed, as Docker splits them; an unfinished line waits in memory until it is finished, grows to
//! the limit or the container ends.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use memchr::{memchr, memchr_iter, memrchr};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use skiff_sys::pages::Pages;

use super::escape::{EXPANSION, escape};
use super::rotate::Rotation;
use super::{Channel, clock};

/// Longest line that stays one entry, its line feed included.
const LINE_LIMIT: usize = 16 * 1024;

/// Entries are gathered up to about this size for one write.
const BUFFER: usize = 512 * 1024;

const OPENING: &[u8] = b"{\"log\":\"";

/// Where and how to log.
#[derive(Debug, Clone)]
pub struct Options {
    pub path: PathBuf,
    /// Rotate before the file grows past this; 0 is never.
    pub max_size: u64,
    /// Files kept, the current one included.
    pub max_file: u32,
    pub compress: bool,
    pub attrs: BTreeMap<String, String>,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("open log file {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: Errno,
    },
    #[error("log file {0} is not a regular file")]
    NotRegular(PathBuf),
    #[error("no memory for the log's buffer")]
    Memory(#[source] std::io::Error),
}

/// An open log.
#[derive(Debug)]
pub struct JsonFile {
    path: PathBuf,
    max_size: u64,
    /// `None` after a rotation or reopening failed; tried again at each write.
    file: Option<OwnedFd>,
    /// Bytes in the file, as far as we know.
    size: u64,
    rotation: Rotation,
    attrs: Vec<u8>,
    /// Everything after an entry's text, for the batch that is being written.
    closing: Vec<u8>,
    out: Pages,
    filled: usize,
    /// Unfinished line of each channel.
    carry: [Vec<u8>; 2],
    /// Entries that could not be written since the last that could.
    lost: u64,
    lost_to: Option<Errno>,
}

impl JsonFile {
    /// Opens the log, making its file if there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or is not a regular file.
    pub fn open(options: Options) -> Result<JsonFile, LogError> {
        let attrs = attrs_member(&options.attrs);
        let (file, size) = open_file(&options.path)?;
        let out = Pages::new(BUFFER + 2 * attrs.len()).map_err(LogError::Memory)?;
        Ok(JsonFile {
            rotation: Rotation::new(&options.path, options.max_file, options.compress),
            path: options.path,
            max_size: options.max_size,
            file: Some(file),
            size,
            attrs,
            closing: Vec::new(),
            out,
            filled: 0,
            carry: [Vec::new(), Vec::new()],
            lost: 0,
            lost_to: None,
        })
    }

    /// Records output. It is in the file (or lost) when this returns, except for a line that is
    /// not finished.
    pub fn write(&mut self, channel: Channel, data: &[u8]) {
        self.begin_batch(channel);
        let mut rest = self.finish_carry(channel, data);
        // Line feeds are looked for in the whole batch at once, which is much quicker for short
        // lines than one search for each.
        let base = rest;
        let mut start = 0;
        for line_feed in memchr_iter(b'\n', base) {
            while line_feed - start >= LINE_LIMIT {
                self.entry(&base[start..start + LINE_LIMIT], false);
                start += LINE_LIMIT;
            }
            self.entry(&base[start..line_feed], true);
            start = line_feed + 1;
        }
        rest = &base[start..];
        while rest.len() >= LINE_LIMIT {
            self.entry(&rest[..LINE_LIMIT], false);
            rest = &rest[LINE_LIMIT..];
        }
        self.carry[channel.index()].extend_from_slice(rest);
        self.flush();
    }

    /// Records unfinished lines as they are: nothing more will come.
    pub fn finish(&mut self) {
        for channel in [Channel::Stdout, Channel::Stderr] {
            let carry = std::mem::take(&mut self.carry[channel.index()]);
            if !carry.is_empty() {
                self.begin_batch(channel);
                self.entry(&carry, false);
                self.flush();
            }
        }
        self.rotation.abandon();
    }

    /// Opens the file again by its name: it was truncated or replaced.
    pub fn reopen(&mut self) {
        self.file = None;
        self.ensure_open();
    }

    /// Gives memory back that is only of use while output streams in.
    pub fn relax(&mut self) {
        self.out.discard();
        for carry in &mut self.carry {
            carry.shrink_to_fit();
        }
        self.closing.shrink_to_fit();
    }

    /// Tells that a child process has ended; true if it was this log's.
    pub fn child_ended(&mut self, pid: i32, success: bool) -> bool {
        self.rotation.child_ended(pid, success)
    }

    fn begin_batch(&mut self, channel: Channel) {
        self.closing.clear();
        self.closing.extend_from_slice(b"\",\"stream\":\"");
        self.closing.extend_from_slice(channel.name().as_bytes());
        self.closing.extend_from_slice(b"\",");
        self.closing.extend_from_slice(&self.attrs);
        self.closing.extend_from_slice(b"\"time\":\"");
        clock::append(&mut self.closing, clock::now());
        self.closing.extend_from_slice(b"\"}\n");
    }

    /// Completes the unfinished line with the front of `data`; returns what is left of that.
    fn finish_carry<'a>(&mut self, channel: Channel, data: &'a [u8]) -> &'a [u8] {
        let mut carry = std::mem::take(&mut self.carry[channel.index()]);
        if carry.is_empty() {
            self.carry[channel.index()] = carry;
            return data;
        }
        let room = LINE_LIMIT - carry.len();
        let window = &data[..room.min(data.len())];
        let used = match memchr(b'\n', window) {
            Some(line_feed) => {
                carry.extend_from_slice(&window[..line_feed]);
                self.entry(&carry, true);
                carry.clear();
                line_feed + 1
            }
            None => {
                carry.extend_from_slice(window);
                if carry.len() == LINE_LIMIT {
                    self.entry(&carry, false);
                    carry.clear();
                }
                window.len()
            }
        };
        self.carry[channel.index()] = carry;
        &data[used..]
    }

    /// Encodes one entry into the buffer.
    fn entry(&mut self, text: &[u8], line_feed: bool) {
        let most = OPENING.len() + text.len() * EXPANSION + 2 + self.closing.len();
        if self.out.len() - self.filled < most {
            self.flush();
        }
        let start = self.filled;
        let mut end = put(&mut self.out, start, OPENING);
        end += escape(text, &mut self.out[end..]);
        if line_feed {
            end = put(&mut self.out, end, b"\\n");
        }
        end = put(&mut self.out, end, &self.closing);
        self.filled = end;
        if self.max_size > 0 {
            self.rotate_before(start);
        }
    }

    /// Rotates if the entry that begins at `start` of the buffer would make the file too large.
    fn rotate_before(&mut self, start: usize) {
        let before = self.size + start as u64;
        if before == 0 || self.size + self.filled as u64 <= self.max_size {
            return;
        }
        let end = self.filled;
        self.filled = start;
        self.flush();
        self.out.copy_within(start..end, 0);
        self.filled = end - start;
        if self.rotation.rotate(self.file.as_ref()) {
            self.file = None;
        }
        self.ensure_open();
    }

    fn ensure_open(&mut self) {
        if self.file.is_some() {
            // Truncated in place, perhaps.
            self.size = self.file.as_ref().and_then(file_size).unwrap_or(0);
        } else if let Ok((file, size)) = open_file(&self.path) {
            self.file = Some(file);
            self.size = size;
        }
    }

    /// Writes the buffer out.
    fn flush(&mut self) {
        if self.filled == 0 {
            return;
        }
        if self.file.is_none() {
            self.ensure_open();
        }
        if self.lost > 0 && !self.note_loss() {
            self.lose(0, self.lost_to);
            return;
        }
        let (written, error) = self.write_out(&self.out[..self.filled]);
        self.size += written as u64;
        if error.is_some() {
            self.lose(written, error);
        }
        self.filled = 0;
    }

    fn write_out(&self, bytes: &[u8]) -> (usize, Option<Errno>) {
        let Some(file) = &self.file else { return (0, Some(Errno::NOENT)) };
        let mut written = 0;
        while written < bytes.len() {
            match rustix::io::write(file, &bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(error) => return (written, Some(error)),
            }
        }
        (written, None)
    }

    /// The buffer could be written only up to `written`: keeps the file whole and counts the rest.
    fn lose(&mut self, written: usize, error: Option<Errno>) {
        let whole = memrchr(b'\n', &self.out[..written]).map_or(0, |at| at + 1);
        self.cut_back((written - whole) as u64);
        self.lost += memchr_iter(b'\n', &self.out[whole..self.filled]).count() as u64;
        self.lost_to = error;
        self.filled = 0;
    }

    /// Takes the last `torn` bytes of the file back.
    fn cut_back(&mut self, torn: u64) {
        let Some(file) = &self.file else { return };
        if torn == 0 {
            return;
        }
        // Not our own count: somebody may have truncated the file.
        if let Some(size) = file_size(file)
            && rustix::fs::ftruncate(file, size.saturating_sub(torn)).is_ok()
        {
            self.size = size.saturating_sub(torn);
        }
    }

    /// Writes the entry that tells of lost ones; false if that cannot be written either.
    fn note_loss(&mut self) -> bool {
        let cause = self.lost_to.map(|errno| errno.to_string()).unwrap_or_default();
        let mut note = Vec::new();
        note.extend_from_slice(OPENING);
        let text = format!("skiff: {} log entries were lost: {cause}", self.lost);
        let mut escaped = vec![0; text.len() * EXPANSION];
        let len = escape(text.as_bytes(), &mut escaped);
        note.extend_from_slice(&escaped[..len]);
        note.extend_from_slice(b"\\n\",\"stream\":\"stderr\",\"time\":\"");
        clock::append(&mut note, clock::now());
        note.extend_from_slice(b"\"}\n");
        let (written, error) = self.write_out(&note);
        self.size += written as u64;
        if error.is_some() {
            self.cut_back(written as u64);
            return false;
        }
        self.lost = 0;
        true
    }
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

fn file_size(file: &OwnedFd) -> Option<u64> {
    rustix::fs::fstat(file).ok().map(|stat| stat.st_size.cast_unsigned())
}

fn open_file(path: &PathBuf) -> Result<(OwnedFd, u64), LogError> {
    // Nonblocking so that a FIFO in the file's place cannot hold us up.
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::CLOEXEC
        | OFlags::NONBLOCK;
    let failed = |source| LogError::Open { path: path.clone(), source };
    let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o640)).map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(LogError::NotRegular(path.clone()));
    }
    Ok((file, stat.st_size.cast_unsigned()))
}

/// `"attrs":{…},`, or nothing.
fn attrs_member(attrs: &BTreeMap<String, String>) -> Vec<u8> {
    if attrs.is_empty() {
        return Vec::new();
    }
    let mut out = b"\"attrs\":{".to_vec();
    for (index, (key, value)) in attrs.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(&mut out, key);
        out.push(b':');
        string(&mut out, value);
    }
    out.extend_from_slice(b"},");
    out
}

/// As Go's encoder writes it, which knows more short escapes than the log's lines use.
fn string(out: &mut Vec<u8>, text: &str) {
    let json = serde_json::to_string(text).expect("a string has a JSON form");
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
