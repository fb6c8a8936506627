//! A container's durable record, `containers/<id>/config.json`, and the directories around it.
//!
//! The record is replaced whole: written beside the old one, then renamed over it, so a reader
//! after a crash finds one or the other. It reaches the disk (fsync) when the API promised
//! something new (create, rename, update); what can be learnt again from a monitor or an exit
//! record (started, ended) is only written. Containers that are removed when they end are never
//! synced: after a power cut they would be removed anyway.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skiff_api::{Config, HostConfig, MountPoint, NetworkingConfig};

use crate::error::{Error, Result};

/// Name of the record's file in a container's directory.
pub const FILE: &str = "config.json";

/// Everything about a container that outlives the daemon.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Of this format.
    pub version: u32,
    pub id: String,
    /// Without a slash.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub created: i64,
    /// The image's id, as `sha256:…`; empty for a damaged record.
    pub image_id: String,
    /// `linux/amd64`.
    pub platform: String,
    /// The image's layers as chain ids of snapshots, the lowest first.
    pub layers: Vec<String>,
    /// The request's configuration merged with the image's.
    pub config: Config,
    pub host_config: HostConfig,
    pub networking: NetworkingConfig,
    pub mounts: Vec<ResolvedMount>,
    pub life: Life,
}

impl Record {
    /// Ids of the images it needs: its own, and those it has mounted.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        let mounted = self.mounts.iter().filter_map(|mount| mount.image.as_ref());
        std::iter::once(self.image_id.as_str()).chain(mounted.map(|image| image.id.as_str()))
    }
}

/// A mount whose source is known: a bind, or a volume or image with its path on the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResolvedMount {
    pub point: MountPoint,
    /// Path on the host; a volume's directory for a volume, of an image where it is mounted while
    /// the container runs. Empty for a tmpfs.
    pub source: PathBuf,
    /// Made for this container alone: removed by `rm -v` and `--rm`.
    pub anonymous: bool,
    /// Fill an empty volume with what the image has at the destination.
    pub copy_up: bool,
    /// Path below the volume or image that is mounted.
    pub subpath: String,
    /// The image, of an image mount.
    pub image: Option<MountedImage>,
    /// Make the source of a bind when it is missing.
    pub create_source: bool,
    /// Bind what is mounted below the source, too.
    pub non_recursive: bool,
    /// Read-only with everything below (`force`), as far as possible, or only itself.
    pub read_only: ReadOnly,
    /// Mount options of a tmpfs.
    pub tmpfs_options: Vec<String>,
}

/// An image whose files a container has mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountedImage {
    pub id: String,
    /// As [`Record::layers`].
    pub layers: Vec<String>,
}

/// How far a read-only mount reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadOnly {
    #[default]
    No,
    /// Recursively if the kernel can.
    Recursive,
    /// Recursively, or it is an error.
    ForceRecursive,
    /// Without what is mounted below.
    Shallow,
}

/// What happened to a container so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    pub phase: Phase,
    /// Nanoseconds since the epoch; 0 is never.
    pub started_at: i64,
    pub finished_at: i64,
    pub exit_code: i32,
    pub oom_killed: bool,
    /// Why the last start or removal failed.
    pub error: String,
    pub restart_count: i64,
    /// Somebody stopped or killed it: `unless-stopped` does not start it again.
    pub stopped_by_user: bool,
}

/// The settled states, as recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Created,
    Running,
    Paused,
    Restarting,
    Exited,
    Removing,
    Dead,
}

/// Where a container's files are.
#[derive(Debug, Clone)]
pub struct Paths {
    /// `<data-root>/containers/<id>`.
    pub dir: PathBuf,
    /// `<exec-root>/containers/<id>`.
    pub run_dir: PathBuf,
}

impl Paths {
    pub fn new(data_root: &Path, exec_root: &Path, id: &str) -> Paths {
        Paths {
            dir: data_root.join("containers").join(id),
            run_dir: exec_root.join("containers").join(id),
        }
    }

    /// `<exec-root>/bundles/<id>`, of a container that another runtime runs. Not below `run_dir`,
    /// which is removed with all it has: a root file system is mounted here.
    pub fn bundle(&self) -> PathBuf {
        let id = self.run_dir.file_name().unwrap_or_default();
        let exec_root = self.run_dir.ancestors().nth(2).unwrap_or(&self.run_dir);
        exec_root.join("bundles").join(id)
    }

    pub fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    pub fn hosts(&self) -> PathBuf {
        self.dir.join("hosts")
    }

    pub fn hostname(&self) -> PathBuf {
        self.dir.join("hostname")
    }

    pub fn resolv_conf(&self) -> PathBuf {
        self.dir.join("resolv.conf")
    }

    /// Shared memory, of a container that lets others have it.
    pub fn shm(&self) -> PathBuf {
        self.dir.join("shm")
    }

    /// Where the image is mounted that the mount of this number shows.
    pub fn image(&self, number: usize) -> PathBuf {
        self.images().join(number.to_string())
    }

    pub fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    /// Docker's name for it, which log collectors look for.
    pub fn log(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}-json.log"))
    }
}

/// Whether a write has to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Written,
    Synced,
}

/// Replaces the record in `dir`.
pub fn save(dir: &Path, record: &Record, durability: Durability) -> Result<()> {
    let text = serde_json::to_vec(record)
        .map_err(|error| Error::failed(format!("encode the record of {}", record.id), error))?;
    let path = dir.join(FILE);
    replace(dir, &path, &text, durability)
        .map_err(|error| Error::failed(format!("write {}", path.display()), error))
}

fn replace(dir: &Path, path: &Path, text: &[u8], durability: Durability) -> io::Result<()> {
    let fresh = dir.join(".config.json.new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(text)?;
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&fresh, path)?;
    if durability == Durability::Synced {
        fs::File::open(dir)?.sync_all()?;
        // The directory's own name, which is new after a create.
        if let Some(parent) = dir.parent() {
            fs::File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

/// Largest record that is read, in bytes.
const MAX_RECORD: u64 = 16 << 20;

/// Reads the record in `dir`.
pub fn load(dir: &Path) -> Result<Record> {
    let path = dir.join(FILE);
    let what = || format!("read {}", path.display());
    let size = fs::metadata(&path).map_err(|error| Error::failed(what(), error))?.len();
    if size > MAX_RECORD {
        return Err(Error::internal(format!("{}: {size} bytes are too many", what())));
    }
    let text = fs::read(&path).map_err(|error| Error::failed(what(), error))?;
    serde_json::from_slice(&text).map_err(|error| Error::failed(what(), error))
}

/// Stands for a record that cannot be read: the container is shown as dead and can be removed.
pub fn damaged(id: &str, why: &Error) -> Record {
    Record {
        id: id.to_owned(),
        name: format!("damaged_{}", &id[..id.len().min(12)]),
        life: Life { phase: Phase::Dead, error: why.to_string(), ..Life::default() },
        ..Record::default()
    }
}

/// Makes a directory that only root can enter; one that exists is fine.
pub fn ensure_dir(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) => Err(Error::failed(format!("make directory {}", path.display()), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn sample() -> Record {
        Record { id: "ab".repeat(32), name: "web".to_owned(), created: 5, ..Record::default() }
    }

    #[test]
    fn a_saved_record_is_read_back_whole() {
        let dir = TempDir::new();
        let mut record = sample();
        record.config.entrypoint = skiff_api::List::empty();
        record.host_config.auto_remove = true;
        for durability in [Durability::Written, Durability::Synced] {
            save(dir.path(), &record, durability).unwrap();
            let read = load(dir.path()).unwrap();
            assert_eq!(read, record);
            assert!(!read.config.entrypoint.is_null());
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_record_cut_anywhere_is_an_error_and_never_a_panic() {
        let dir = TempDir::new();
        save(dir.path(), &sample(), Durability::Written).unwrap();
        let text = fs::read(dir.path().join(FILE)).unwrap();
        for end in 0..text.len() {
            fs::write(dir.path().join(FILE), &text[..end]).unwrap();
            assert!(load(dir.path()).is_err(), "cut at {end}");
        }
        fs::write(dir.path().join(FILE), vec![0; text.len()]).unwrap();
        assert!(load(dir.path()).is_err());
    }

    #[test]
    fn fields_of_a_newer_version_are_ignored() {
        let dir = TempDir::new();
        fs::write(dir.path().join(FILE), r#"{"version":9,"id":"x","future":{"a":1}}"#).unwrap();
        assert_eq!(load(dir.path()).unwrap().id, "x");
    }
}
