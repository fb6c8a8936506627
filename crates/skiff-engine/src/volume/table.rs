//! The directory of volumes, and what is known of each. Knows nothing of containers but holds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{self, VolumeRecord};
use crate::{Error, Result};

const RECORD: &str = "volume.json";
const DATA: &str = "_data";
/// Directories with these prefixes are being made or deleted; names never begin with a point.
const NEW: &str = ".new-";
const GONE: &str = ".gone-";

/// All volumes of a data root.
pub(crate) struct VolumeTable {
    root: PathBuf,
    volumes: Arc<Mutex<Volumes>>,
    /// Makes the names of directories that are being made or deleted unique.
    sequence: AtomicU64,
}

type Volumes = BTreeMap<String, Entry>;

struct Entry {
    record: Arc<VolumeRecord>,
    /// How many [`Held`] there are.
    holds: usize,
}

/// A volume that cannot be removed until this is dropped.
pub(crate) struct Held {
    pub(crate) name: String,
    /// Its `_data` on the host.
    pub(crate) data: PathBuf,
    /// It was made by this request.
    pub(crate) is_new: bool,
    pub(crate) record: Arc<VolumeRecord>,
    volumes: Arc<Mutex<Volumes>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.volumes).get_mut(&self.name) {
            entry.holds -= 1;
        }
    }
}

fn lock(volumes: &Mutex<Volumes>) -> MutexGuard<'_, Volumes> {
    volumes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VolumeTable {
    /// Reads the volumes of a data root, and deletes what was half made or half deleted.
    pub(crate) fn open(data_root: &Path) -> Result<VolumeTable> {
        let root = data_root.join("volumes");
        let what = || format!("read {}", root.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o701)
            .create(&root)
            .map_err(|error| Error::failed(format!("make {}", root.display()), error))?;
        let mut volumes = BTreeMap::new();
        for entry in fs::read_dir(&root).map_err(|error| Error::failed(what(), error))? {
            let entry = entry.map_err(|error| Error::failed(what(), error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(NEW) || name.starts_with(GONE) {
                // Tried again at the next start.
                let _ = fs::remove_dir_all(entry.path());
            } else if entry.path().join(DATA).is_dir() {
                let record = Arc::new(record::load(&entry.path().join(RECORD)));
                volumes.insert(name, Entry { record, holds: 0 });
            }
        }
        let volumes = Arc::new(Mutex::new(volumes));
        Ok(VolumeTable { root, volumes, sequence: AtomicU64::new(0) })
    }

    /// Host path of a volume's data.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.root.join(name).join(DATA)
    }

    /// What is known of a volume.
    pub(super) fn get(&self, name: &str) -> Option<Arc<VolumeRecord>> {
        lock(&self.volumes).get(name).map(|entry| entry.record.clone())
    }

    /// All volumes by name.
    pub(super) fn all(&self) -> Vec<(String, Arc<VolumeRecord>)> {
        lock(&self.volumes)
            .iter()
            .map(|(name, entry)| (name.clone(), entry.record.clone()))
            .collect()
    }

    /// Holds a volume, which is made of `record` if it does not exist.
    pub(super) fn hold(&self, name: &str, record: VolumeRecord) -> Result<Held> {
        let mut volumes = lock(&self.volumes);
        let is_new = !volumes.contains_key(name);
        if is_new {
            // Under the lock: of two requests for one name one makes it, the other finds it.
            self.make(name, &record)
                .map_err(|error| Error::failed(format!("create volume {name}"), error))?;
            volumes.insert(name.to_owned(), Entry { record: Arc::new(record), holds: 0 });
        }
        let entry = volumes.get_mut(name).expect("it was there or was just inserted");
        entry.holds += 1;
        Ok(Held {
            name: name.to_owned(),
            data: self.data(name),
            is_new,
            record: entry.record.clone(),
            volumes: self.volumes.clone(),
        })
    }

    fn make(&self, name: &str, record: &VolumeRecord) -> io::Result<()> {
        let fresh = self.unique(NEW);
        let made = (|| {
            fs::DirBuilder::new().mode(0o701).create(&fresh)?;
            let data = fresh.join(DATA);
            fs::create_dir(&data)?;
            // Whatever the umask is.
            fs::set_permissions(&data, fs::Permissions::from_mode(0o755))?;
            let mut file = fs::File::create(fresh.join(RECORD))?;
            file.write_all(&serde_json::to_vec(record)?)?;
            if !record.is_anonymous() {
                // Anonymous ones end with their containers, and creating those must be fast.
                file.sync_all()?;
            }
            fs::rename(&fresh, self.root.join(name))
        })();
        if made.is_err() {
            let _ = fs::remove_dir_all(&fresh);
        }
        made
    }

    fn unique(&self, prefix: &str) -> PathBuf {
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        self.root.join(format!("{prefix}{}-{number}", std::process::id()))
    }

    /// Removes a volume unless it is held or `is_used` says so; both are looked at in one step with
    /// the removal, so a container that is being created never loses its volume. `None` when there
    /// is no such volume, false when it is in use.
    pub(super) fn remove(
        &self,
        name: &str,
        is_used: impl FnOnce() -> bool,
        unmount: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Option<bool>> {
        let gone = self.unique(GONE);
        {
            let mut volumes = lock(&self.volumes);
            let Some(entry) = volumes.get(name) else { return Ok(None) };
            if entry.holds > 0 || is_used() {
                return Ok(Some(false));
            }
            unmount(&self.data(name))?;
            fs::rename(self.root.join(name), &gone)
                .map_err(|error| Error::failed(format!("remove volume {name}"), error))?;
            volumes.remove(name);
        }
        fs::remove_dir_all(&gone)
            .map_err(|error| Error::failed(format!("delete the data of volume {name}"), error))?;
        Ok(Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn remove(table: &VolumeTable, name: &str, used: bool) -> Option<bool> {
        table.remove(name, || used, |_| Ok(())).unwrap()
    }

    #[test]
    fn volumes_are_found_again_and_keep_their_data() {
        let directory = TempDir::new();
        let labels = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        let record = VolumeRecord { created: 7, labels, options: None };
        let table = VolumeTable::open(directory.path()).unwrap();
        let held = table.hold("vol", record.clone()).unwrap();
        assert!(held.is_new);
        fs::write(held.data.join("file"), "x").unwrap();
        fs::create_dir(directory.path().join("volumes/.new-1-1")).unwrap();
        drop(table);
        let table = VolumeTable::open(directory.path()).unwrap();
        assert_eq!(*table.get("vol").unwrap(), record);
        assert_eq!(table.all().len(), 1);
        assert_eq!(fs::read_dir(directory.path().join("volumes")).unwrap().count(), 1);
        assert!(!table.hold("vol", VolumeRecord::default()).unwrap().is_new);
    }

    #[test]
    fn held_and_used_volumes_stay() {
        let directory = TempDir::new();
        let table = VolumeTable::open(directory.path()).unwrap();
        let held = table.hold("vol", VolumeRecord::default()).unwrap();
        assert_eq!(remove(&table, "vol", false), Some(false));
        drop(held);
        assert_eq!(remove(&table, "vol", true), Some(false));
        assert_eq!(remove(&table, "vol", false), Some(true));
        assert_eq!(remove(&table, "vol", false), None);
        assert_eq!(fs::read_dir(directory.path().join("volumes")).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_record_does_not_hide_the_data() {
        for content in [Some(&b""[..]), Some(b"{\"created\":"), Some(&[0; 64]), None] {
            let directory = TempDir::new();
            let path = directory.path().join("volumes/vol");
            fs::create_dir_all(path.join(DATA)).unwrap();
            if let Some(content) = content {
                fs::write(path.join(RECORD), content).unwrap();
            }
            let table = VolumeTable::open(directory.path()).unwrap();
            let record = table.get("vol").expect("still there");
            assert!(record.created > 0 && record.labels.is_none());
        }
    }
}
