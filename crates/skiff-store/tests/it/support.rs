//! Throw-away directories and archives made by hand.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use skiff_store::Store;
use skiff_store::tar::writer::Writer;
use skiff_store::tar::{Entry, Kind};

/// A directory that is gone when the test ends.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("skiff-store-test-{}-{unique}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A store that is emptied of its background work before its directory goes.
pub struct TestStore {
    pub store: Store,
    pub scratch: Scratch,
}

impl TestStore {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        Self { store: Store::open(&scratch.join("root")).unwrap(), scratch }
    }

    pub fn root(&self) -> PathBuf {
        self.scratch.join("root")
    }

    pub fn load(
        &self,
        bytes: &[u8],
    ) -> skiff_store::Result<Vec<skiff_store::archive::LoadedImage>> {
        self.store.load(&mut &bytes[..], None, &|_| {})
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        self.store.wait_for_trash();
    }
}

pub fn file(path: &str, mode: u32) -> Entry {
    Entry { path: path.into(), mode, ..Entry::default() }
}

pub fn special(path: &str, kind: Kind) -> Entry {
    Entry { path: path.into(), mode: 0o644, kind, ..Entry::default() }
}

/// A tar of entries with contents.
pub fn tar(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, contents) in entries {
        match entry.kind {
            Kind::File => writer.file(entry, contents).unwrap(),
            _ => writer.entry(entry).unwrap(),
        }
    }
    writer.finish().unwrap()
}

/// Every file below a directory, with what makes it what it is.
pub fn snapshot(dir: &Path) -> Vec<String> {
    let listing = std::process::Command::new("bash")
        .arg("-c")
        .arg(
            "cd \"$0\" && find . -printf '%p %y %m %U:%G %s %T@ %l\\n' | sort; \
             find . -type f -print0 | sort -z | xargs -0 -r sha256sum; \
             getfattr -R -d -m - -h . 2>/dev/null",
        )
        .arg(dir)
        .output()
        .unwrap();
    String::from_utf8(listing.stdout).unwrap().lines().map(str::to_owned).collect()
}
