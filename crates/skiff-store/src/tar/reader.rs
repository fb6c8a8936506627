//! Reads an archive entry by entry from a stream.
//!
//! Payloads are handed out as the source's own buffer, so nothing is copied between inflating and
//! writing. Everything else that is read (headers, extensions, padding) goes through one function,
//! which is where a [`Recorder`] listens. Extension headers may not be combined in ways that no
//! writer uses: `x` with `L` or `K`, or the same one twice.

use std::io::{self, BufRead, Read};

use super::header::{Format, Header, kind};
use super::pax::{self, Pax};
use super::recipe::Recorder;
use super::sparse::{self, MapParser};
use super::{BLOCK, Entry, Kind, PATH_MAX, Segment, TarError, Time, read_error};

/// The most that may follow an archive's end: writers pad to their block size, bombs go on.
const TRAILER_MAX: usize = 16 << 20;

/// The stream's state: where in the archive the source stands.
pub struct Reader<R> {
    source: R,
    /// Bytes of the current payload not yet read.
    remaining: u64,
    /// Bytes after the payload up to the next block.
    padding: usize,
    finished: bool,
    recorder: Option<Recorder>,
}

/// Extensions seen before the entry they belong to.
#[derive(Default)]
struct Pending {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from the start of an archive.
    pub fn new(source: R) -> Self {
        Self { source, remaining: 0, padding: 0, finished: false, recorder: None }
    }

    /// As [`Reader::new`], and writes down how to make the archive again.
    pub fn recording(source: R, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..Self::new(source) }
    }

    /// The source, standing wherever reading stopped.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.source
    }

    /// The recorder, to tell it where a payload was stored.
    pub fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    /// Reads on to the end of the source (writers pad archives) and gives back the recorder.
    pub fn finish(mut self) -> Result<Option<Recorder>, TarError> {
        self.skip_payload()?;
        let mut trailer = 0;
        while let n @ 1.. = self.fill()?.len() {
            self.raw(n)?;
            trailer += n;
            if trailer > TRAILER_MAX {
                return Err(TarError::Header);
            }
        }
        Ok(self.recorder)
    }

    /// Moves to the next entry, past what is left of the current one; `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut pending = Pending::default();
        let mut any = false;
        loop {
            self.skip_payload()?;
            let Some(block) = self.header_block()? else {
                return if any { Err(TarError::UnexpectedEof) } else { Ok(None) };
            };
            let header = Header::parse(&block)?;
            match header.type_flag() {
                b'x' => {
                    let extended = self.extension(&header, pax::LIMIT)?;
                    if pending.pax.is_some() || pending.has_long() {
                        return Err(TarError::Header);
                    }
                    pending.pax = Some(Pax::parse(&extended)?);
                }
                b'g' if any => return Err(TarError::Header),
                b'g' => {
                    pax::check_global(&self.extension(&header, pax::LIMIT)?)?;
                    continue;
                }
                b'L' => self.long(&header, pending.pax.is_some(), &mut pending.long_name)?,
                b'K' => self.long(&header, pending.pax.is_some(), &mut pending.long_link)?,
                _ => return self.entry(&header, pending).map(Some),
            }
            any = true;
        }
    }

    /// The rest of the current payload, to be read to its end or dropped.
    pub fn payload(&mut self) -> Payload<'_, R> {
        Payload(self)
    }

    /// Stored bytes of the current payload that are not yet read.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    fn fill(&mut self) -> Result<&[u8], TarError> {
        loop {
            match self.source.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_error(error)),
            }
        }
        self.source.fill_buf().map_err(read_error)
    }

    /// Consumes `n` buffered bytes that are not a payload stored elsewhere.
    fn raw(&mut self, n: usize) -> Result<(), TarError> {
        if let Some(recorder) = &mut self.recorder {
            let buffer = self.source.fill_buf().map_err(read_error)?;
            recorder.raw(&buffer[..n]).map_err(TarError::Write)?;
        }
        self.source.consume(n);
        Ok(())
    }

    /// Fills `out`; gives how much was there before the end of the source.
    fn read_raw(&mut self, out: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < out.len() {
            let buffer = self.fill()?;
            let n = buffer.len().min(out.len() - filled);
            if n == 0 {
                break;
            }
            out[filled..filled + n].copy_from_slice(&buffer[..n]);
            self.raw(n)?;
            filled += n;
        }
        Ok(filled)
    }

    fn read_block(&mut self) -> Result<[u8; BLOCK], TarError> {
        let mut block = [0; BLOCK];
        match self.read_raw(&mut block)? {
            BLOCK => Ok(block),
            _ => Err(TarError::UnexpectedEof),
        }
    }

    /// The next block that is a header; `None` at the end of the archive.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        if self.finished {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        match self.read_raw(&mut block)? {
            0 => self.finished = true,
            BLOCK if block != [0; BLOCK] => return Ok(Some(block)),
            BLOCK => {
                // Two empty blocks end an archive; one and the end of the stream will do.
                let n = self.read_raw(&mut block)?;
                if n != 0 && (n != BLOCK || block != [0; BLOCK]) {
                    return Err(TarError::Header);
                }
                self.finished = true;
            }
            _ => return Err(TarError::UnexpectedEof),
        }
        Ok(None)
    }

    fn skip_payload(&mut self) -> Result<(), TarError> {
        let mut left = self.remaining + self.padding as u64;
        while left > 0 {
            let n = self.fill()?.len();
            if n == 0 {
                // An archive may end in the padding of its last entry.
                if left <= self.padding as u64 {
                    break;
                }
                return Err(TarError::UnexpectedEof);
            }
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(n);
            self.raw(n)?;
            left -= n as u64;
        }
        self.remaining = 0;
        self.padding = 0;
        Ok(())
    }

    fn set_payload(&mut self, size: u64) {
        self.remaining = size;
        self.padding = padding(size);
    }

    /// Reads the payload of an extension header.
    fn extension(&mut self, header: &Header<'_>, limit: u64) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > limit {
            return Err(TarError::Header);
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| TarError::Header)?];
        if self.read_raw(&mut bytes)? < bytes.len() {
            return Err(TarError::UnexpectedEof);
        }
        self.padding = padding(size);
        Ok(bytes)
    }

    fn long(
        &mut self,
        header: &Header<'_>,
        mixed: bool,
        slot: &mut Option<Vec<u8>>,
    ) -> Result<(), TarError> {
        let mut name = self.extension(header, PATH_MAX as u64 + 1)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        if mixed || slot.replace(name).is_some() {
            return Err(TarError::Header);
        }
        Ok(())
    }

    /// Puts header and extensions together and stands before the payload.
    fn entry(&mut self, header: &Header<'_>, pending: Pending) -> Result<Entry, TarError> {
        let pax = pending.pax.unwrap_or_default();
        let path = pax.path.or(pending.long_name).unwrap_or_else(|| header.path());
        let link = pax.link.or(pending.long_link).unwrap_or_else(|| header.link().to_vec());
        let id = |id: i64| u32::try_from(id).map_err(|_| TarError::Header);
        let mut entry = Entry {
            kind: kind(header.type_flag(), &path),
            mode: header.mode()?,
            uid: pax.uid.map_or_else(|| id(header.uid()?), Ok)?,
            gid: pax.gid.map_or_else(|| id(header.gid()?), Ok)?,
            // Always the extension's: with the header's, what follows would be read as entries.
            size: pax.size.map_or_else(|| header.size(), Ok)?,
            mtime: pax.mtime.map_or_else(
                || header.mtime().map(|seconds| Time { seconds, nanoseconds: 0 }),
                Ok,
            )?,
            atime: pax.atime,
            device: (0, 0),
            xattrs: pax.xattrs,
            sparse: None,
            path,
            link,
        };
        if matches!(entry.kind, Kind::Char | Kind::Block) {
            entry.device = header.device()?;
        }
        if !matches!(entry.kind, Kind::File | Kind::Other(_)) {
            // These have no payload, whatever their size says.
            entry.size = 0;
        }
        self.set_payload(entry.size);
        if header.type_flag() == b'S' {
            self.gnu_sparse(header, &mut entry)?;
        } else if entry.kind == Kind::File {
            self.pax_sparse(pax.sparse, &mut entry)?;
        }
        let too_long = entry.path.len() > PATH_MAX || entry.link.len() > PATH_MAX;
        if too_long || entry.path.contains(&0) || entry.link.contains(&0) {
            return Err(TarError::Header);
        }
        Ok(entry)
    }

    fn gnu_sparse(&mut self, header: &Header<'_>, entry: &mut Entry) -> Result<(), TarError> {
        if header.format() != Format::Gnu {
            return Err(TarError::Header);
        }
        let block = header.block();
        let mut segments = Vec::new();
        sparse::gnu_pairs(&block[386..482], 4, &mut segments)?;
        let real_size = super::header::number(&block[483..495])?;
        let real_size = u64::try_from(real_size).map_err(|_| TarError::Header)?;
        let mut extended = block[482] != 0;
        while extended {
            let more = self.read_block()?;
            sparse::gnu_pairs(&more[..504], 21, &mut segments)?;
            extended = more[504] != 0;
        }
        self.set_sparse(segments, real_size, entry)
    }

    fn pax_sparse(&mut self, pax: pax::PaxSparse, entry: &mut Entry) -> Result<(), TarError> {
        let segments = match (pax.major, pax.minor, pax.segments) {
            (Some(1), Some(0), _) => self.map_in_payload()?,
            (None, None, None) => return Ok(()),
            (Some(0), Some(0 | 1), Some(segments)) | (None, None, Some(segments)) => segments,
            _ => return Err(TarError::Header),
        };
        if let Some(name) = pax.name {
            entry.path = name;
        }
        self.set_sparse(segments, pax.real_size.ok_or(TarError::Header)?, entry)
    }

    fn map_in_payload(&mut self) -> Result<Vec<Segment>, TarError> {
        let mut parser = MapParser::default();
        loop {
            if self.remaining < BLOCK as u64 {
                return Err(TarError::Header);
            }
            self.remaining -= BLOCK as u64;
            if let Some(segments) = parser.push(&self.read_block()?)? {
                return Ok(segments);
            }
        }
    }

    fn set_sparse(
        &mut self,
        segments: Vec<Segment>,
        real_size: u64,
        entry: &mut Entry,
    ) -> Result<(), TarError> {
        sparse::check(&segments, real_size, self.remaining)?;
        entry.size = real_size;
        entry.sparse = Some(segments);
        Ok(())
    }
}

impl Pending {
    fn has_long(&self) -> bool {
        self.long_name.is_some() || self.long_link.is_some()
    }
}

fn padding(size: u64) -> usize {
    // The remainder is below 512.
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// The current entry's stored bytes.
pub struct Payload<'a, R>(&'a mut Reader<R>);

impl<R: BufRead> Payload<'_, R> {
    /// Consumes bytes that were stored as a file, so that a recorder need not keep them.
    pub fn consume_stored(&mut self, n: usize) {
        self.0.source.consume(n);
        self.0.remaining -= n as u64;
    }
}

impl<R: BufRead> Read for Payload<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let n = buffer.len().min(out.len());
        out[..n].copy_from_slice(&buffer[..n]);
        self.consume(n);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Payload<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.0.remaining == 0 {
            return Ok(&[]);
        }
        let remaining = usize::try_from(self.0.remaining).unwrap_or(usize::MAX);
        let buffer = self.0.source.fill_buf()?;
        if buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF"));
        }
        Ok(&buffer[..buffer.len().min(remaining)])
    }

    fn consume(&mut self, n: usize) {
        if n > 0 {
            if let Some(recorder) = &mut self.0.recorder
                && let Ok(buffer) = self.0.source.fill_buf()
            {
                recorder.raw_or_defer(&buffer[..n]);
            }
            self.0.source.consume(n);
            self.0.remaining -= n as u64;
        }
    }
}
