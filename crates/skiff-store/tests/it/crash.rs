//! A process that dies at any system call, and a file system that fills up.
//!
//! The victim is this test program itself, run again under strace, which kills it at the n-th call
//! that changes the file system, for every n up to where it gets through.

use std::path::Path;
use std::process::{Command, Stdio};

use skiff_model::image::{History, ImageConfig};
use skiff_model::reference::Reference;
use skiff_store::archive::SaveImage;
use skiff_store::{Pins, Store};

use crate::support::{Scratch, TestStore, file, leftovers, tar};

const ROOT: &str = "SKIFF_STORE_CRASH_ROOT";
const ARCHIVE: &str = "SKIFF_STORE_CRASH_ARCHIVE";

/// Calls at which a crash can leave something else behind than at the one before.
const CALLS: &str = "openat,openat2,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,\
                     rmdir,write,pwrite64,syncfs,fsync,fdatasync,linkat,symlinkat,mknodat";

fn layer(contents: &[u8]) -> Vec<u8> {
    tar(&[(file("d/a", 0o600), contents), (file("b", 0o644), b"b"), (file("b", 0o600), b"again")])
}

fn import(store: &Store, contents: &[u8], name: &str) -> skiff_store::Result<()> {
    let name = Reference::parse_normalized(name).unwrap().with_default_tag();
    let (config, history) = (ImageConfig::default(), History::default());
    store.import(&mut &layer(contents)[..], config, history, &[name]).map(drop)
}

fn archive_of(contents: &[u8]) -> Vec<u8> {
    let source = TestStore::new();
    import(&source.store, contents, "loaded").unwrap();
    let named = source.store.images().list().remove(0);
    let mut archive = Vec::new();
    let save = SaveImage { id: named.image.id, names: named.tags };
    source.store.save(&[save], &mut archive).unwrap();
    archive
}

/// What dies: not a test of its own, but it passes as one.
#[test]
fn a_victim_loads_imports_and_removes() {
    let (Some(root), Some(archive)) = (std::env::var_os(ROOT), std::env::var_os(ARCHIVE)) else {
        return;
    };
    let store = Store::open(Path::new(&root), Pins::default).unwrap();
    store.load(&mut std::fs::File::open(archive).unwrap(), None, &|_| {}).unwrap();
    import(&store, b"imported", "imported").unwrap();
    let loaded = store.images().resolve("loaded").unwrap();
    store.images().remove(&loaded.image.id).unwrap();
    store.collect_image(&loaded.image).unwrap();
    store.wait_for_trash();
}

/// Runs the victim until its `n`-th such call; whether it got through.
fn survives(n: u32, root: &Path, archive: &Path) -> bool {
    let victim = std::env::current_exe().unwrap();
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={CALLS}"), "-e"])
        .arg(format!("inject={CALLS}:signal=SIGKILL:when={n}"))
        .arg(victim)
        .args(["--exact", "crash::a_victim_loads_imports_and_removes", "--test-threads=1"])
        .env(ROOT, root)
        .env(ARCHIVE, archive)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    status.success()
}

/// Everything that has a name is whole, and nothing is there that has none.
fn check_whole(root: &Path, when: &str) {
    let store = Store::open(root, Pins::default).unwrap();
    store.collect().unwrap();
    store.wait_for_trash();
    assert_eq!(leftovers(root), [""; 0], "{when}");
    assert!(store.verify().unwrap().is_empty(), "{when}");
    let images = store.images().list();
    for named in &images {
        let config = store.config(&named.image.id).unwrap();
        store.snapshots().chain(&config.rootfs.diff_ids).unwrap();
    }
    let named = |digest| images.iter().any(|named| named.image.blobs().any(|blob| blob == digest));
    assert!(store.content().list().unwrap().into_iter().all(named), "{when}");
    assert_eq!(store.snapshots().list().unwrap().len(), images.len(), "{when}");
    // And it goes on working.
    import(&store, b"afterwards", "afterwards").unwrap();
    store.wait_for_trash();
}

#[test]
fn a_process_killed_at_any_call_leaves_a_whole_store() {
    let scratch = Scratch::new();
    let archive = scratch.join("archive");
    std::fs::write(&archive, archive_of(b"loaded")).unwrap();
    let mut n = 1;
    loop {
        let root = scratch.join(&n.to_string());
        let through = survives(n, &root, &archive);
        check_whole(&root, &format!("killed at call {n}"));
        if through {
            break;
        }
        n += 1;
    }
    assert!(n > 20, "strace killed nothing ({n})");
}

/// A file system of its own that takes so much.
struct Small {
    scratch: Scratch,
}

impl Small {
    fn new(options: &str) -> Self {
        let scratch = Scratch::new();
        let options = std::ffi::CString::new(options).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", scratch.path(), "tmpfs", flags, &*options).unwrap();
        Self { scratch }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let detach = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(self.scratch.path(), detach).unwrap();
    }
}

/// Loads and imports must fail for want of space, leave nothing, and work once `filler` is gone.
fn check_full(small: &Small, filler: &Path, contents: &[u8]) {
    let root = small.scratch.join("root");
    let store = Store::open(&root, Pins::default).unwrap();
    let archive = archive_of(contents);
    let load = |store: &Store| store.load(&mut &archive[..], None, &|_| {}).map(drop);
    for result in [load(&store), import(&store, contents, "imported")] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("no space left on device"), "{error}");
        store.wait_for_trash();
        assert_eq!(leftovers(&root), [""; 0]);
        assert!(store.images().list().is_empty());
        assert!(store.content().list().unwrap().is_empty());
        assert!(store.snapshots().list().unwrap().is_empty());
    }
    if filler.is_dir() { std::fs::remove_dir_all(filler) } else { std::fs::remove_file(filler) }
        .unwrap();
    load(&store).unwrap();
    import(&store, &[contents, b"other"].concat(), "imported").unwrap();
    assert_eq!(store.images().list().len(), 2);
    assert!(store.verify().unwrap().is_empty());
    store.wait_for_trash();
}

#[test]
fn what_would_fill_the_disk_is_refused_in_dockers_words() {
    let small = Small::new("size=64m");
    let filler = small.scratch.join("filler");
    std::fs::write(&filler, vec![1; 46 << 20]).unwrap();
    check_full(&small, &filler, &vec![7; 4 << 20]);
}

#[test]
fn a_disk_without_inodes_is_full_too() {
    let small = Small::new("size=64m,nr_inodes=60");
    let filler = small.scratch.join("filler");
    std::fs::create_dir(&filler).unwrap();
    // Room for the store's own directories and the beginning of a layer.
    for n in 0..44 {
        std::fs::write(filler.join(n.to_string()), "").unwrap();
    }
    check_full(&small, &filler, b"small");
}
