//! The files of an image archive, taken in as they stream by.
//!
//! Nothing says in advance which file is a layer: `manifest.json` and `index.json` may come last.
//! What looks like a tar, compressed or not, is unpacked aside at once (a compressed one is also
//! kept as a blob); the rest is kept as a blob. Whatever the documents then do not name is dropped
//! without a trace.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};

use skiff_model::digest::Digest;

use crate::Store;
use crate::compression::{Compression, decoder, detect, peek};
use crate::content::{Ingest, Sealed};
use crate::error::{Result, StoreError};
use crate::lease::Lease;
use crate::pump::pump;
use crate::snapshots::Unpacked;
use crate::tar::header::Header;
use crate::tar::reader::Reader;
use crate::tar::root::clean;
use crate::tar::{BLOCK, Entry, Kind, read_error};

use super::load::Progress;

/// An archive has few files: layers, configs, manifests.
const MEMBERS_MAX: usize = 1 << 16;

/// One file of the archive.
pub(super) enum Member {
    /// A file that is kept as it is. If it is compressed, what unpacking it gave.
    Blob { sealed: Option<Sealed>, digest: Digest, size: u64, layer: Option<Result<Unpacked>> },
    /// An uncompressed layer; its tar can be made again.
    Tar { unpacked: Option<Unpacked>, diff_id: Digest, size: u64 },
    /// A blob that the store has already.
    Known(Digest),
    /// A layer that the store has already, by its diff id and one of its chain ids.
    KnownLayer { diff_id: Digest, chain_id: Digest },
}

impl Member {
    /// The digest of its bytes.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Member::Blob { digest, .. } | Member::Known(digest) => *digest,
            Member::Tar { diff_id, .. } | Member::KnownLayer { diff_id, .. } => *diff_id,
        }
    }

    /// How many bytes it has.
    pub(super) fn size(&self, store: &Store) -> Result<u64> {
        match self {
            Member::Blob { size, .. } | Member::Tar { size, .. } => Ok(*size),
            Member::Known(digest) => store.content().size(digest),
            Member::KnownLayer { chain_id, .. } => Ok(store.snapshots().layer(chain_id)?.tar_size),
        }
    }
}

/// All files of an archive, by their cleaned path.
#[derive(Default)]
pub(super) struct Members {
    files: HashMap<Vec<u8>, Member>,
    links: HashMap<Vec<u8>, Vec<u8>>,
}

impl Members {
    /// The path that `name` leads to, through the archive's own links.
    pub(super) fn locate(&self, name: &str) -> Option<Vec<u8>> {
        let mut path = clean(name.as_bytes())?;
        for _ in 0..8 {
            if self.files.contains_key(&path) {
                return Some(path);
            }
            path = self.links.get(&path)?.clone();
        }
        None
    }

    pub(super) fn get(&self, path: &[u8]) -> Option<&Member> {
        self.files.get(path)
    }

    pub(super) fn get_mut(&mut self, path: &[u8]) -> Option<&mut Member> {
        self.files.get_mut(path)
    }

    /// The path of a blob of an OCI layout.
    pub(super) fn blob_path(digest: &Digest) -> String {
        format!("blobs/sha256/{}", digest.hex())
    }
}

/// Reads the whole archive.
pub(super) fn take_in(
    store: &Store,
    lease: &Lease,
    source: impl BufRead,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Members> {
    let mut members = Members::default();
    let mut reader = Reader::new(source);
    while let Some(entry) = reader.next_entry()? {
        if members.files.len() + members.links.len() >= MEMBERS_MAX {
            let what = "number of files in image archive".to_owned();
            return Err(StoreError::TooLarge { what, limit: MEMBERS_MAX as u64 });
        }
        let Some(path) = clean(&entry.path) else {
            return Err(crate::tar::TarError::Name(crate::tar::lossy(&entry.path)).into());
        };
        match entry.kind {
            Kind::File => {
                let taking = Taking { store, lease, progress, path: &path, size: entry.size };
                let member = taking.file(reader.payload())?;
                members.files.insert(path, member);
            }
            Kind::Symlink | Kind::Hardlink => {
                if let Some(target) = link_target(&path, &entry) {
                    members.links.insert(path, target);
                }
            }
            _ => {}
        }
    }
    reader.finish()?;
    Ok(members)
}

fn link_target(path: &[u8], entry: &Entry) -> Option<Vec<u8>> {
    if entry.kind == Kind::Hardlink || entry.link.starts_with(b"/") {
        return clean(&entry.link);
    }
    let (parent, _) = crate::tar::root::split(path);
    clean(&crate::tar::root::join(parent, &entry.link))
}

/// One file being taken in.
struct Taking<'a> {
    store: &'a Store,
    lease: &'a Lease,
    progress: &'a (dyn Fn(Progress<'_>) + Sync),
    path: &'a [u8],
    size: u64,
}

impl Taking<'_> {
    fn file(&self, payload: impl BufRead) -> Result<Member> {
        let expected = self.path.strip_prefix(b"blobs/sha256/").and_then(|hex| {
            std::str::from_utf8(hex).ok().and_then(|hex| Digest::from_hex(hex).ok())
        });
        if let Some(known) = expected.and_then(|digest| self.known(&digest)) {
            return Ok(known);
        }
        let (head, payload) = peek(payload, BLOCK).map_err(|e| StoreError::Tar(read_error(e)))?;
        let member = match detect(&head) {
            Ok(Compression::None) if self.is_tar(&head) => self.tar(payload)?,
            Ok(Compression::None) | Err(_) => self.blob(payload, expected.as_ref())?,
            Ok(compression) => self.compressed(payload, compression, expected.as_ref())?,
        };
        match (&member, expected) {
            (Member::Tar { diff_id, .. }, Some(expected)) if *diff_id != expected => {
                Err(StoreError::WrongDigest { expected, actual: *diff_id })
            }
            _ => Ok(member),
        }
    }

    /// Leases before looking, so that what is found stays.
    fn known(&self, digest: &Digest) -> Option<Member> {
        self.lease.blob(digest);
        if self.store.content().exists(digest) {
            return Some(Member::Known(*digest));
        }
        let chain_id = self.store.layer_with(digest)?;
        self.lease.layer(&chain_id);
        let exists = self.store.snapshots().exists(&chain_id);
        exists.then_some(Member::KnownLayer { diff_id: *digest, chain_id })
    }

    fn is_tar(&self, head: &[u8]) -> bool {
        let block: Option<&[u8; BLOCK]> = head.first_chunk();
        let whole = self.size.is_multiple_of(BLOCK as u64);
        whole && block.is_some_and(|block| *block == [0; BLOCK] || Header::parse(block).is_ok())
    }

    fn tar(&self, payload: impl BufRead) -> Result<Member> {
        let source = self.reporting(payload);
        let preparing = self.store.snapshots().prepare()?;
        let unpacked = preparing.unpack(source, true, self.store.free_space())?;
        let (diff_id, size) = (unpacked.diff_id(), unpacked.layer.tar_size);
        Ok(Member::Tar { unpacked: Some(unpacked), diff_id, size })
    }

    fn blob(&self, mut payload: impl BufRead, expected: Option<&Digest>) -> Result<Member> {
        let mut ingest = self.ingest()?;
        copy(&mut payload, &mut ingest)?;
        sealed(ingest, expected, None)
    }

    fn compressed(
        &self,
        payload: impl BufRead,
        compression: Compression,
        expected: Option<&Digest>,
    ) -> Result<Member> {
        let mut ingest = self.ingest()?;
        let mut tee = Tee { source: self.reporting(payload), copy: &mut ingest, failed: None };
        let inflated = decoder(compression, &mut tee).map_err(StoreError::Stream)?;
        let (snapshots, budget) = (self.store.snapshots(), self.store.free_space());
        let layer = pump(inflated, |source| snapshots.prepare()?.unpack(source, false, budget));
        // What was not read for unpacking still belongs to the blob.
        io::copy(&mut tee, &mut io::sink()).map_err(|e| StoreError::Tar(read_error(e)))?;
        if let Some(error) = tee.failed.take() {
            return Err(ingest.error(error));
        }
        sealed(ingest, expected, Some(layer))
    }

    fn ingest(&self) -> Result<Ingest> {
        if self.size > self.store.free_space() {
            return Err(crate::tar::TarError::Budget(self.size).into());
        }
        self.store.content().ingest()
    }

    fn reporting<R: BufRead>(&self, source: R) -> Reporting<'_, R> {
        let total = self.size;
        Reporting { source, path: self.path, progress: self.progress, current: 0, told: 0, total }
    }
}

fn sealed(
    ingest: Ingest,
    expected: Option<&Digest>,
    layer: Option<Result<Unpacked>>,
) -> Result<Member> {
    let sealed = ingest.seal(expected)?;
    let (digest, size) = (sealed.digest, sealed.size);
    Ok(Member::Blob { sealed: Some(sealed), digest, size, layer })
}

/// Copies with the source's errors told apart from the destination's.
fn copy(source: &mut impl BufRead, ingest: &mut Ingest) -> Result<()> {
    loop {
        let chunk = source.fill_buf().map_err(|e| StoreError::Tar(read_error(e)))?;
        let n = chunk.len();
        if n == 0 {
            return Ok(());
        }
        ingest.write_all(chunk).map_err(|error| ingest.error(error))?;
        source.consume(n);
    }
}

/// Writes down what is read through it.
struct Tee<'a, R> {
    source: R,
    copy: &'a mut Ingest,
    failed: Option<io::Error>,
}

impl<R: BufRead> BufRead for Tee<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        if self.failed.is_none()
            && let Ok(buffer) = self.source.fill_buf()
            && let Err(error) = self.copy.write_all(&buffer[..n])
        {
            self.failed = Some(error);
        }
        self.source.consume(n);
    }
}

impl<R: BufRead> Read for Tee<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let n = buffer.len().min(out.len());
        out[..n].copy_from_slice(&buffer[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// Tells how far it has got, every half megabyte.
struct Reporting<'a, R> {
    source: R,
    path: &'a [u8],
    progress: &'a (dyn Fn(Progress<'_>) + Sync),
    current: u64,
    told: u64,
    total: u64,
}

impl<R: BufRead> BufRead for Reporting<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        const STEP: u64 = 512 << 10;
        self.source.consume(n);
        self.current += n as u64;
        if self.current - self.told >= STEP || (self.current == self.total && n > 0) {
            self.told = self.current;
            let layer = String::from_utf8_lossy(self.path);
            (self.progress)(Progress { layer: &layer, current: self.current, total: self.total });
        }
    }
}

impl<R: BufRead> Read for Reporting<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let n = buffer.len().min(out.len());
        out[..n].copy_from_slice(&buffer[..n]);
        self.consume(n);
        Ok(n)
    }
}

/// A member read into memory.
pub(super) fn document(store: &Store, member: &Member, name: &str) -> Result<Vec<u8>> {
    use crate::content::DOCUMENT_MAX;
    let too_large = || StoreError::TooLarge { what: name.to_owned(), limit: DOCUMENT_MAX };
    match member {
        Member::Known(digest) => store.content().read(digest),
        Member::Blob { size, .. } if *size > DOCUMENT_MAX => Err(too_large()),
        Member::Blob { sealed: Some(sealed), .. } => {
            let mut bytes = Vec::new();
            let read = sealed.open()?.take(DOCUMENT_MAX).read_to_end(&mut bytes);
            read.map_err(StoreError::Stream)?;
            Ok(bytes)
        }
        _ => Err(StoreError::invalid(name, "not a document")),
    }
}

/// Unpacks a stream that may be compressed.
pub(super) fn unpack_stream(store: &Store, source: impl BufRead, recipe: bool) -> Result<Unpacked> {
    let (head, source) = peek(source, BLOCK).map_err(StoreError::Stream)?;
    let inflated = decoder(detect(&head)?, source).map_err(StoreError::Stream)?;
    let budget = store.free_space();
    pump(inflated, |source| store.snapshots().prepare()?.unpack(source, recipe, budget))
}
