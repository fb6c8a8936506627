//! Blobs by their digest: `content/sha256/<hex>`.
//!
//! A blob is written to `content/ingest/<name>`, hashed on the way, and renamed to its digest only
//! when digest and size are what was expected, so whatever has its name here is whole. What an
//! interrupted process left in `ingest` is swept when the store is opened.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use skiff_model::digest::Digest;

use crate::durable::{ensure_dir, sync_dir};
use crate::error::{Result, StoreError};
use crate::hash::Hasher;
use crate::names::Names;

/// The largest document (manifest, index, config) that is read into memory.
pub const DOCUMENT_MAX: u64 = 4 << 20;

/// The blobs.
pub struct Content {
    blobs: PathBuf,
    ingest: PathBuf,
    names: Names,
}

impl Content {
    /// Opens `dir` (`<data-root>/content`) and sweeps half-written blobs.
    pub(crate) fn open(dir: &Path, names: Names) -> Result<Self> {
        let (blobs, ingest) = (dir.join("sha256"), dir.join("ingest"));
        ensure_dir(&blobs)?;
        ensure_dir(&ingest)?;
        let left =
            std::fs::read_dir(&ingest).map_err(|error| StoreError::io("read", &ingest, error))?;
        for entry in left.flatten() {
            let _ = std::fs::remove_file(entry.path());
        }
        Ok(Self { blobs, ingest, names })
    }

    /// Where a blob is, if it exists.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Whether a blob exists.
    pub fn exists(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// A blob's size.
    pub fn size(&self, digest: &Digest) -> Result<u64> {
        let path = self.path(digest);
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) => Err(missing(digest, &path, error)),
        }
    }

    /// Opens a blob for reading.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(|error| missing(digest, &path, error))
    }

    /// Reads a document into memory; its digest is checked again.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        file.take(DOCUMENT_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| StoreError::io("read", &self.path(digest), error))?;
        if bytes.len() as u64 > DOCUMENT_MAX {
            return Err(StoreError::TooLarge { what: format!("{digest}"), limit: DOCUMENT_MAX });
        }
        let actual = crate::hash::digest_of(&bytes);
        if actual != *digest {
            return Err(StoreError::WrongDigest { expected: *digest, actual });
        }
        Ok(bytes)
    }

    /// Reads a JSON document.
    pub fn document<T: serde::de::DeserializeOwned>(&self, digest: &Digest) -> Result<T> {
        serde_json::from_slice(&self.read(digest)?)
            .map_err(|error| StoreError::invalid(format!("document {digest}"), error))
    }

    /// All blobs, in no order.
    pub fn list(&self) -> Result<Vec<Digest>> {
        let entries = std::fs::read_dir(&self.blobs)
            .map_err(|error| StoreError::io("read", &self.blobs, error))?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        Ok(names.filter_map(|name| Digest::from_hex(&name).ok()).collect())
    }

    /// Starts writing a blob.
    pub fn ingest(&self) -> Result<Ingest> {
        let path = self.ingest.join(self.names.next());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| StoreError::io("create", &path, error))?;
        Ok(Ingest { file, temporary: Temporary { path }, hasher: Hasher::default() })
    }

    /// Stores a small document, durably.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = crate::hash::digest_of(bytes);
        if self.exists(&digest) {
            return Ok(digest);
        }
        let mut ingest = self.ingest()?;
        ingest.write_all(bytes).map_err(|error| ingest.error(error))?;
        self.commit(ingest, Some(&digest))
    }

    /// Ends a blob: checks it, makes it durable and visible.
    pub fn commit(&self, ingest: Ingest, expected: Option<&Digest>) -> Result<Digest> {
        let sealed = ingest.seal(expected)?;
        let synced = File::open(&sealed.temporary.path).and_then(|file| file.sync_data());
        synced.map_err(|error| StoreError::io("sync", &sealed.temporary.path, error))?;
        let digest = self.publish(sealed)?;
        self.sync_names()?;
        Ok(digest)
    }

    /// Makes a checked blob visible. The caller has synced its bytes (`syncfs` for many at once)
    /// and calls [`Content::sync_names`] after the last.
    pub(crate) fn publish(&self, mut sealed: Sealed) -> Result<Digest> {
        let path = self.path(&sealed.digest);
        std::fs::rename(&sealed.temporary.path, &path)
            .map_err(|error| StoreError::io("publish", &path, error))?;
        // Nothing is left to remove, and an empty path removes nothing.
        sealed.temporary.path = PathBuf::new();
        Ok(sealed.digest)
    }

    pub(crate) fn sync_names(&self) -> Result<()> {
        sync_dir(&self.blobs)
    }
}

fn missing(digest: &Digest, path: &Path, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::NoBlob(*digest),
        _ => StoreError::io("open", path, error),
    }
}

/// A file that is removed unless it is renamed away.
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A blob being written; dropped, it leaves nothing.
pub struct Ingest {
    file: File,
    temporary: Temporary,
    hasher: Hasher,
}

impl Ingest {
    /// Ends writing and checks the digest.
    pub(crate) fn seal(self, expected: Option<&Digest>) -> Result<Sealed> {
        let (digest, size) = self.hasher.finish();
        match expected {
            Some(expected) if *expected != digest => {
                Err(StoreError::WrongDigest { expected: *expected, actual: digest })
            }
            _ => Ok(Sealed { temporary: self.temporary, digest, size }),
        }
    }

    pub(crate) fn error(&self, error: io::Error) -> StoreError {
        StoreError::io("write", &self.temporary.path, error)
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A blob that is whole and checked, but not yet visible; dropped, it leaves nothing.
pub(crate) struct Sealed {
    temporary: Temporary,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Sealed {
    /// Opens it for reading.
    pub(crate) fn open(&self) -> Result<File> {
        let path = &self.temporary.path;
        File::open(path).map_err(|error| StoreError::io("open", path, error))
    }
}
