//! Contents of regular files.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufRead;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, ftruncate, openat};

use super::{Applier, metadata};
use crate::tar::reader::Reader;
use crate::tar::root::{Dir, join};
use crate::tar::{Entry, Segment, TarError, read_error};

impl Applier<'_> {
    pub(super) fn file<R: BufRead>(
        &mut self,
        dir: &Dir,
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), TarError> {
        // Holes cost nothing, stored bytes do.
        self.options.budget = self
            .options
            .budget
            .checked_sub(reader.remaining())
            .ok_or(TarError::Budget(self.applied.size))?;
        self.applied.size = self.applied.size.saturating_add(entry.size);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        let created = entry.mode & 0o777 & !self.umask;
        let fd = self.exclusively(dir, name, entry, || {
            openat(&dir.fd, OsStr::from_bytes(name), flags, mode)
        })?;
        let file = File::from(fd);
        let whole = [Segment { offset: 0, length: entry.size }];
        let segments = entry.sparse.as_deref().unwrap_or(&whole);
        for segment in segments.iter().filter(|segment| segment.length > 0) {
            if let Some(recorder) = reader.recorder() {
                let real = join(&dir.real, name);
                recorder.file(&real, segment.offset, segment.length).map_err(TarError::Write)?;
                self.records += 1;
            }
            copy_segment(&file, *segment, entry, reader)?;
        }
        if entry.sparse.is_some() {
            ftruncate(&file, entry.size)
                .map_err(|error| TarError::entry("write", &entry.path, error))?;
        }
        self.applied.ignored_xattrs +=
            metadata::set_open(&file, entry, self.options.owner_of(entry)?, created)?;
        let atime = entry.atime.unwrap_or(entry.mtime);
        metadata::set_times(&file, atime, entry.mtime)
            .map_err(|error| TarError::entry("set times of", &entry.path, error))
    }
}

fn copy_segment<R: BufRead>(
    file: &File,
    segment: Segment,
    entry: &Entry,
    reader: &mut Reader<R>,
) -> Result<(), TarError> {
    let Segment { mut offset, mut length } = segment;
    let mut payload = reader.payload();
    while length > 0 {
        let chunk = payload.fill_buf().map_err(read_error)?;
        let n = chunk.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        file.write_all_at(&chunk[..n], offset)
            .map_err(|error| TarError::entry("write", &entry.path, error))?;
        payload.consume_stored(n);
        offset += n as u64;
        length -= n as u64;
    }
    Ok(())
}
