//! Reading a directory tree as a tar archive, without holding more than a block of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::commands::tar::{BLOCK, Header};

/// A tree on its way into an archive.
pub(super) struct Packer {
    /// Paths still to come with their names in the archive, the next one last.
    todo: Vec<(PathBuf, String)>,
    /// Bytes ready to be read.
    ready: Vec<u8>,
    position: usize,
    /// The file whose contents follow, and how much of it.
    file: Option<(File, u64)>,
    /// How many bytes fill the last block of those contents.
    padding: usize,
    ended: bool,
}

impl Packer {
    /// An archive of `path` under the name `name`.
    pub(super) fn new(path: PathBuf, name: String) -> Self {
        Self {
            todo: vec![(path, name)],
            ready: Vec::new(),
            position: 0,
            file: None,
            padding: 0,
            ended: false,
        }
    }

    /// Makes the next header (or the end) ready.
    fn advance(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.position = 0;
        let Some((path, name)) = self.todo.pop() else {
            self.ready.resize(2 * BLOCK, 0);
            self.ended = true;
            return Ok(());
        };
        let metadata = fs::symlink_metadata(&path).map_err(|error| named(&path, &error))?;
        let kind = metadata.file_type();
        let mut header = Header {
            name,
            mode: metadata.mode(),
            uid: u64::from(metadata.uid()),
            gid: u64::from(metadata.gid()),
            mtime: metadata.mtime(),
            ..Header::default()
        };
        if kind.is_dir() {
            self.push_children(&path, &header.name)?;
            header.kind = b'5';
            header.name.push('/');
        } else if kind.is_symlink() {
            header.kind = b'2';
            let target = fs::read_link(&path).map_err(|error| named(&path, &error))?;
            header.link = target.to_string_lossy().into_owned();
        } else if kind.is_file() {
            header.kind = b'0';
            header.size = metadata.len();
            let file = File::open(&path).map_err(|error| named(&path, &error))?;
            self.file = Some((file, metadata.len()));
            let length = metadata.len();
            self.padding = (length.next_multiple_of(BLOCK as u64) - length) as usize;
        } else if kind.is_fifo() {
            header.kind = b'6';
        } else if kind.is_socket() {
            // A socket means nothing without the process behind it.
            return Ok(());
        } else {
            header.kind = if kind.is_char_device() { b'3' } else { b'4' };
            let device = metadata.rdev();
            header.device = (rustix::fs::major(device), rustix::fs::minor(device));
        }
        self.ready = header.encode();
        Ok(())
    }

    fn push_children(&mut self, path: &Path, name: &str) -> io::Result<()> {
        let mut children = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| named(path, &error))? {
            let entry = entry?;
            let child = entry.file_name().to_string_lossy().into_owned();
            children.push((entry.path(), format!("{name}/{child}")));
        }
        children.sort();
        self.todo.extend(children.into_iter().rev());
        Ok(())
    }

    /// Reads file contents; a file that shrank meanwhile is filled up, as its size is announced.
    fn read_file(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some((file, left)) = &mut self.file else { return Ok(0) };
        let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(out.len());
        let mut count = file.read(&mut out[..wanted])?;
        if count == 0 && wanted > 0 {
            out[..wanted].fill(0);
            count = wanted;
        }
        *left -= count as u64;
        Ok(count)
    }
}

impl Read for Packer {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.position < self.ready.len() {
                let count = (self.ready.len() - self.position).min(out.len());
                out[..count].copy_from_slice(&self.ready[self.position..self.position + count]);
                self.position += count;
                return Ok(count);
            }
            match &self.file {
                Some((_, left)) if *left > 0 => return self.read_file(out),
                Some(_) => self.finish_file(),
                None if self.ended => return Ok(0),
                None => self.advance()?,
            }
        }
    }
}

impl Packer {
    /// Pads the contents to a whole block.
    fn finish_file(&mut self) {
        self.file = None;
        self.ready.clear();
        self.ready.resize(self.padding, 0);
        self.position = 0;
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("{}: {}", path.display(), crate::failure::describe_io(error)),
    )
}
