//! `docker diff` on trees made by hand, and views that no mount table shows.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, XattrFlags, mknodat, setxattr, statat};
use skiff_store::tar::changes::{ChangeKind, changes};
use skiff_store::tar::root::Root;

use crate::support::{Scratch, TestStore};

fn whiteout(path: &Path) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

fn list(upper: &Path, lowers: &[&Path]) -> Vec<(String, ChangeKind)> {
    let lowers: Vec<Root> = lowers.iter().map(|lower| Root::open_path(lower).unwrap()).collect();
    let changes = changes(&Root::open_path(upper).unwrap(), &lowers).unwrap();
    changes.into_iter().map(|c| (String::from_utf8(c.path).unwrap(), c.kind)).collect()
}

#[test]
fn opaque_directories_and_whiteouts_in_lower_layers_count() {
    let scratch = Scratch::new();
    let dir = |path: &str| {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(scratch.join(path)).unwrap();
    };
    for path in ["low/d", "low/gone", "mid", "up/d", "up/gone"] {
        dir(path);
    }
    for path in ["low/d/both", "low/d/only", "low/gone/x", "up/d/both", "up/d/new", "up/gone/y"] {
        std::fs::write(scratch.join(path), path).unwrap();
    }
    whiteout(&scratch.join("mid/gone"));
    whiteout(&scratch.join("up/never"));
    setxattr(scratch.join("up/d"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    use ChangeKind::{Added, Deleted, Modified};
    let expect = [
        ("/d", Modified),
        ("/d/both", Modified),
        ("/d/new", Added),
        ("/d/only", Deleted),
        ("/gone", Added),
        ("/gone/y", Added),
    ];
    let got = list(&scratch.join("up"), &[&scratch.join("mid"), &scratch.join("low")]);
    let got: Vec<(&str, ChangeKind)> = got.iter().map(|(p, k)| (p.as_str(), *k)).collect();
    assert_eq!(got, expect);
}

#[test]
fn a_detached_view_merges_and_is_in_no_mount_table() {
    let store = TestStore::new();
    let scratch = Scratch::new();
    let paths: Vec<_> = ["top", "low"].iter().map(|name| scratch.join(name)).collect();
    for path in &paths {
        std::fs::create_dir(path).unwrap();
    }
    std::fs::write(paths[1].join("hidden"), "").unwrap();
    std::fs::write(paths[1].join("seen"), "").unwrap();
    whiteout(&paths[0].join("hidden"));
    let own = scratch.path().to_str().unwrap();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(own);
    let sees = |view: &std::os::fd::OwnedFd, name: &str| {
        statat(view, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    };
    let snapshots = store.store.snapshots();
    for lowers in [&paths[..], &paths[1..]] {
        let view = snapshots.mount_detached(lowers, None).unwrap();
        assert!(sees(&view, "seen"));
        assert_eq!(sees(&view, "hidden"), lowers.len() == 1);
    }
    let (upper, work) = (scratch.join("upper"), scratch.join("work"));
    std::fs::create_dir(&upper).unwrap();
    std::fs::create_dir(&work).unwrap();
    let view = snapshots.mount_detached(&paths, Some((&upper, &work))).unwrap();
    rustix::fs::mkdirat(&view, "made", Mode::RWXU).unwrap();
    assert!(upper.join("made").is_dir());
    assert!(!mounts());
    let empty = snapshots.mount_detached(&[], None).unwrap();
    assert!(!sees(&empty, "seen"));
}
