//! Layer tars: reading, applying to a directory, and writing from one.
//!
//! The reader ([`reader`]) takes untrusted bytes: every length is bounded before memory is taken,
//! and what is malformed is an error, never skipped, so that no other reader of the same archive
//! sees other files than we do. [`apply`] never leaves the directory it is given, whatever the
//! names and links in the archive say. [`diff`] is its inverse for an overlay's upper directory or
//! a plain tree. [`recipe`] lets a tar be made again, bit for bit, from its unpacked files.

pub mod apply;
pub mod changes;
pub mod diff;
pub mod header;
pub mod pax;
pub mod reader;
pub mod recipe;
pub mod root;
pub mod sparse;
pub mod walk;
pub mod writer;

use std::io;

use crate::error::words;

/// What stops an archive from being read or applied. The first two have the words clients of
/// Docker know.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("archive/tar: invalid tar header")]
    Header,
    #[error("unexpected EOF")]
    UnexpectedEof,
    #[error("read archive: {}", words(.0))]
    Read(#[source] io::Error),
    #[error("write archive: {}", words(.0))]
    Write(#[source] io::Error),
    #[error("invalid entry name {0:?}")]
    Name(String),
    #[error("invalid link target {target:?} of entry {name:?}")]
    Link { name: String, target: String },
    #[error("entry {name:?}: {what} is larger than {limit}")]
    TooLarge { name: String, what: &'static str, limit: u64 },
    #[error("cannot overwrite directory {0:?} with non-directory")]
    DirectoryInTheWay(String),
    #[error("cannot overwrite non-directory {0:?} with directory")]
    NonDirectoryInTheWay(String),
    #[error("{action} {name:?}: {}", words(source))]
    Entry {
        action: &'static str,
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("no space left on device: the archive unpacks to more than {0} bytes")]
    Budget(u64),
    #[error("{0:?} was changed while it was read")]
    Changed(String),
    #[error("{0:?} uses an overlay feature that cannot be turned into a layer")]
    Overlay(String),
}

impl TarError {
    pub(crate) fn entry(action: &'static str, name: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Entry { action, name: lossy(name), source: source.into() }
    }
}

/// Sorts an error of a stream into "ended too early" and others.
pub(crate) fn read_error(error: io::Error) -> TarError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => TarError::UnexpectedEof,
        _ => TarError::Read(error),
    }
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The size of every block of an archive.
pub const BLOCK: usize = 512;
/// The longest path or link target of an entry (`PATH_MAX` of Linux).
pub const PATH_MAX: usize = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Hardlink,
    Symlink,
    Char,
    Block,
    Directory,
    Fifo,
    /// A type this engine does not unpack (multi-volume and the like).
    Other(u8),
}

/// A point in time as a file has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// A run of data in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// One entry's metadata, with all extensions applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As written in the archive; not yet safe to use.
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub kind: Kind,
    /// Permission bits with set-id and sticky, no file type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The file's size when unpacked; of a sparse file with its holes.
    pub size: u64,
    pub mtime: Time,
    pub atime: Option<Time>,
    pub device: (u32, u32),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the payload goes, for sparse files.
    pub sparse: Option<Vec<Segment>>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            path: Vec::new(),
            link: Vec::new(),
            kind: Kind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Time::default(),
            atime: None,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}
