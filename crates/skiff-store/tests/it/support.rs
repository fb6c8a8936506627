//! Throw-away directories and archives made by hand.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use skiff_store::tar::writer::Writer;
use skiff_store::tar::{Entry, Kind};
use skiff_store::{Pins, Store};

/// A directory that is gone when the test ends.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("skiff-store-test-{}-{unique}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A store that is emptied of its background work before its directory goes.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) scratch: Scratch,
}

impl TestStore {
    pub(crate) fn new() -> Self {
        Self::with_pins(Pins::default)
    }

    pub(crate) fn with_pins(pins: impl Fn() -> Pins + Send + Sync + 'static) -> Self {
        let scratch = Scratch::new();
        Self { store: Store::open(&scratch.join("root"), pins).unwrap(), scratch }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.scratch.join("root")
    }

    pub(crate) fn load(
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

pub(crate) fn file(path: &str, mode: u32) -> Entry {
    Entry { path: path.into(), mode, ..Entry::default() }
}

pub(crate) fn special(path: &str, kind: Kind) -> Entry {
    Entry { path: path.into(), mode: 0o644, kind, ..Entry::default() }
}

/// A tar of entries with contents.
pub(crate) fn tar(entries: &[(Entry, &[u8])]) -> Vec<u8> {
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
pub(crate) fn snapshot(dir: &Path) -> Vec<String> {
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
    String::from_utf8_lossy(&listing.stdout).lines().map(str::to_owned).collect()
}

/// Runs a program; its output if it succeeds.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Names of everything in a store that is not final: should be none after any operation.
pub(crate) fn leftovers(root: &Path) -> Vec<String> {
    let names = |dir: PathBuf| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let unfinished = names(root.join("snapshots")).filter(|name| name.starts_with('.'));
    unfinished.chain(names(root.join("content/ingest"))).chain(names(root.join("trash"))).collect()
}
