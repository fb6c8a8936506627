//! Rotation of a log: `log` becomes `log.1`, that `log.2` and so on, the oldest goes; if asked,
//! rotated files are compressed to `log.N.gz` by a child process, off the container's path.
//!
//! Invariant: a name is only ever replaced by rename, so a reader that has a file open keeps it
//! whole. At most one child compresses at a time; a file rotated meanwhile stays plain.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal};
use skiff_sys::fork::fork_job;

#[derive(Debug)]
pub(crate) struct Rotation {
    path: PathBuf,
    max_file: u32,
    compress: bool,
    running: Option<Compression>,
}

/// A child that writes the compressed form of `log.<index>` to a temporary file.
#[derive(Debug)]
struct Compression {
    pid: i32,
    /// Grows with every rotation that happens meanwhile.
    index: u32,
}

impl Rotation {
    pub(crate) fn new(path: &Path, max_file: u32, compress: bool) -> Rotation {
        Rotation { path: path.to_owned(), max_file: max_file.max(1), compress, running: None }
    }

    /// Moves every file one number up. True if the current name is free now; with a single file
    /// that is `current` itself, emptied.
    pub(crate) fn rotate(&mut self, current: Option<&OwnedFd>) -> bool {
        if self.max_file == 1 {
            if let Some(file) = current {
                // A failure leaves the file growing, which is better than losing output.
                let _ = rustix::fs::ftruncate(file, 0);
            }
            return false;
        }
        let oldest = self.max_file - 1;
        for compressed in [false, true] {
            let _ = std::fs::remove_file(self.name(oldest, compressed));
        }
        for index in (1..oldest).rev() {
            for compressed in [false, true] {
                let to = self.name(index + 1, compressed);
                let _ = std::fs::rename(self.name(index, compressed), to);
            }
        }
        if let Some(running) = &mut self.running {
            running.index += 1;
        }
        if std::fs::rename(&self.path, self.name(1, false)).is_err() {
            return false;
        }
        if self.compress && self.running.is_none() {
            self.running = self.start_compression();
        }
        true
    }

    /// Puts the compressed file in its plain one's place.
    pub(crate) fn child_ended(&mut self, pid: i32, success: bool) -> bool {
        let Some(running) = self.running.take_if(|running| running.pid == pid) else {
            return false;
        };
        let temporary = self.temporary();
        let plain = self.name(running.index, false);
        // The plain file may have been the oldest in the meantime.
        let wanted = success && running.index < self.max_file && plain.exists();
        if wanted && std::fs::rename(&temporary, self.name(running.index, true)).is_ok() {
            let _ = std::fs::remove_file(plain);
        } else {
            let _ = std::fs::remove_file(temporary);
        }
        true
    }

    /// Stops compressing: the container has ended, and its next monitor may rotate the same files.
    pub(crate) fn abandon(&mut self) {
        let Some(running) = self.running.take() else { return };
        if let Some(pid) = Pid::from_raw(running.pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        }
        let _ = std::fs::remove_file(self.temporary());
    }

    fn start_compression(&self) -> Option<Compression> {
        let from = std::fs::File::open(self.name(1, false)).ok()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o640);
        let to = rustix::fs::open(self.temporary(), flags | OFlags::CLOEXEC, mode).ok()?;
        let pid = fork_job(&[from.as_fd(), to.as_fd()], || {
            let _ = rustix::process::nice(19);
            u8::from(compress(from.as_fd(), to.as_fd()).is_err())
        })
        .ok()?;
        Some(Compression { pid, index: 1 })
    }

    fn name(&self, index: u32, compressed: bool) -> PathBuf {
        let gz = if compressed { ".gz" } else { "" };
        self.with_suffix(&format!(".{index}{gz}"))
    }

    fn temporary(&self) -> PathBuf {
        self.with_suffix(".gz.tmp")
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        name.into()
    }
}

/// Reads one descriptor and writes its gzip form to the other. Both stay open: in the child their
/// owners live in memory shared with the parent's past.
fn compress(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> std::io::Result<()> {
    let mut reader = Descriptor(from);
    let mut encoder = flate2::write::GzEncoder::new(Descriptor(to), flate2::Compression::new(3));
    let mut buffer = vec![0; 128 * 1024];
    loop {
        let count = reader.read(&mut buffer)?;
        if count == 0 {
            encoder.finish()?;
            return Ok(());
        }
        encoder.write_all(&buffer[..count])?;
    }
}

struct Descriptor<'a>(BorrowedFd<'a>);

impl Read for Descriptor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(rustix::io::read(self.0, buffer)?)
    }
}

impl Write for Descriptor<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(rustix::io::write(self.0, bytes)?)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
