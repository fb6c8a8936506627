//! Unpacks an archive into a directory.
//!
//! Every entry is made relative to an open directory that was looked up inside the root (see
//! [`super::root`]), with `O_EXCL` and `O_NOFOLLOW`; what is in the way is removed first, never
//! written through. Metadata is set while the file is open. Times of directories come last, since
//! every file made in one changes them.
//!
//! In a layer, `.wh.name` becomes overlay's whiteout (a 0:0 character device) and `.wh..wh..opq`
//! its opaque attribute. Within one layer both speak of the layers below only, so their order
//! among the entries does not matter.

mod entry;
mod metadata;
mod write;

use std::collections::HashMap;
use std::io::BufRead;
use std::rc::Rc;
use std::sync::Arc;

use skiff_model::id_map::IdMap;

pub(crate) use entry::{OPAQUE, is_whiteout};

use super::reader::Reader;
use super::recipe::{Recorder, Shadowed};
use super::root::{Dir, Root};
use super::{Entry, TarError, Time};

/// Open directories are kept up to this number.
const CACHED_DIRS: usize = 192;

/// What `.wh.` names mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whiteouts {
    /// Nothing: they are plain files (`docker cp`, `import`).
    #[default]
    Plain,
    /// They are turned into overlay's form (layers).
    Overlay,
}

/// How to unpack.
#[derive(Debug, Clone)]
pub struct Options {
    pub whiteouts: Whiteouts,
    /// Refuse to replace a directory by something else and the reverse.
    pub keep_directories: bool,
    /// Owner of everything, instead of what the archive says.
    pub owner: Option<(u32, u32)>,
    /// What the owners are where it is unpacked, if not themselves.
    pub ids: Option<Arc<IdMap>>,
    /// The most bytes of file contents to write.
    pub budget: u64,
}

impl Options {
    /// Whom an entry belongs to.
    fn owner_of(&self, entry: &Entry) -> Result<(u32, u32), TarError> {
        let (uid, gid) = self.owner.unwrap_or((entry.uid, entry.gid));
        let Some(ids) = &self.ids else { return Ok((uid, gid)) };
        let mapped = |found: Option<u32>, id: u32| {
            found.ok_or_else(|| {
                let why = format!("Container ID {id} cannot be mapped to a host ID");
                TarError::entry("change the owner of", &entry.path, std::io::Error::other(why))
            })
        };
        Ok((mapped(ids.uid(uid), uid)?, mapped(ids.gid(gid), gid)?))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            whiteouts: Whiteouts::Plain,
            keep_directories: false,
            owner: None,
            ids: None,
            budget: u64::MAX,
        }
    }
}

/// What was unpacked.
#[derive(Debug, Default)]
pub struct Applied {
    /// Sum of the sizes of regular files: what Docker calls a layer's size.
    pub size: u64,
    /// How many entries there were.
    pub entries: u64,
    /// Extended attributes that the file system does not take, and so are lost.
    pub ignored_xattrs: u64,
    /// Files replaced by later entries; only where a directory for them was given.
    pub shadowed: Vec<Shadowed>,
}

/// Unpacks the whole of `source` and reads it to its end.
pub fn apply<R: BufRead>(root: &Root, source: R, options: Options) -> Result<Applied, TarError> {
    let mut reader = Reader::new(source);
    let applied = Applier::new(root, options, None)?.run(&mut reader)?;
    reader.finish()?;
    Ok(applied)
}

/// As [`apply`], and writes a recipe; contents that entries replace are moved to `shadow`.
pub fn apply_recording<R: BufRead>(
    root: &Root,
    source: R,
    options: Options,
    recorder: Recorder,
    shadow: &Root,
) -> Result<(Applied, Recorder), TarError> {
    let mut reader = Reader::recording(source, recorder);
    let applied = Applier::new(root, options, Some(shadow))?.run(&mut reader)?;
    let recorder = reader.finish()?.expect("the reader was made with a recorder");
    Ok((applied, recorder))
}

struct Applier<'a> {
    root: &'a Root,
    options: Options,
    shadow: Option<&'a Root>,
    /// Permission bits the kernel would take off new files.
    umask: u32,
    dirs: HashMap<Vec<u8>, Rc<Dir>>,
    /// Times to set at the end, by real path.
    dir_times: Vec<(Vec<u8>, Time, Time)>,
    /// File records in the recipe so far.
    records: u64,
    applied: Applied,
}

impl<'a> Applier<'a> {
    fn new(root: &'a Root, options: Options, shadow: Option<&'a Root>) -> Result<Self, TarError> {
        Ok(Self {
            root,
            options,
            shadow,
            umask: metadata::umask(),
            dirs: HashMap::new(),
            dir_times: Vec::new(),
            records: 0,
            applied: Applied::default(),
        })
    }

    fn run<R: BufRead>(mut self, reader: &mut Reader<R>) -> Result<Applied, TarError> {
        while let Some(entry) = reader.next_entry()? {
            self.applied.entries += 1;
            self.entry(&entry, reader)?;
        }
        self.set_directory_times()?;
        Ok(self.applied)
    }

    /// The directory `path`, made if it is missing.
    fn dir(&mut self, path: &[u8], entry: &Entry) -> Result<Rc<Dir>, TarError> {
        if let Some(dir) = self.dirs.get(path) {
            return Ok(dir.clone());
        }
        let dir = self
            .root
            .ensure_dir(path)
            .map_err(|error| TarError::entry("make the directory of", &entry.path, error))?;
        Ok(self.remember(path, dir))
    }

    fn remember(&mut self, path: &[u8], dir: Dir) -> Rc<Dir> {
        if self.dirs.len() >= CACHED_DIRS {
            self.dirs.clear();
        }
        let dir = Rc::new(dir);
        self.dirs.insert(path.to_vec(), dir.clone());
        dir
    }

    fn set_directory_times(&mut self) -> Result<(), TarError> {
        // Later entries of the same directory win, so in order.
        for (path, atime, mtime) in std::mem::take(&mut self.dir_times) {
            let dir = match self.root.dir(&path) {
                Ok(dir) => dir,
                // Replaced by a later entry.
                Err(_) => continue,
            };
            metadata::set_times(&dir.fd, atime, mtime)
                .map_err(|error| TarError::entry("set times of", &path, error))?;
        }
        Ok(())
    }
}
