//! Damaged bytes: whatever they are, an error or entries, never a panic and never an escape.

use proptest::prelude::*;
use skiff_store::tar::apply::{Options, Whiteouts, apply};
use skiff_store::tar::reader::Reader;
use skiff_store::tar::root::Root;
use skiff_store::tar::{Entry, Kind, Segment, Time};

use crate::support::{Scratch, TestStore, file, leftovers, special, tar};

fn seed() -> Vec<u8> {
    let mut writer = skiff_store::tar::writer::Writer::new(Vec::new());
    let xattrs = vec![(b"user.a".to_vec(), b"value".to_vec())];
    let mtime = Time { seconds: 1, nanoseconds: 5 };
    writer.entry(&special("d/", Kind::Directory)).unwrap();
    writer.file(&Entry { xattrs, mtime, ..file("d/f", 0o600) }, b"contents").unwrap();
    let segments = vec![Segment { offset: 600, length: 3 }, Segment { offset: 900, length: 0 }];
    writer.entry(&Entry { size: 900, sparse: Some(segments), ..file("s", 0o600) }).unwrap();
    writer.payload(b"abc").unwrap();
    let long = format!("{}/{}", "l".repeat(150), "n".repeat(120));
    writer.file(&file(&long, 0o600), b"x").unwrap();
    writer.entry(&Entry { link: b"d/f".to_vec(), ..special("h", Kind::Hardlink) }).unwrap();
    writer.file(&file("d/.wh.x", 0o600), b"").unwrap();
    writer.finish().unwrap()
}

/// Puts the right checksum into every header block, so that what is behind it is reached.
fn fix_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_archive_is_read_or_refused(
        changes in prop::collection::vec((0..8192_usize, any::<u8>()), 1..12),
        cut in prop::option::of(0..8192_usize),
        fix in any::<bool>(),
    ) {
        let mut bytes = seed();
        for (position, value) in changes {
            let position = position % bytes.len();
            bytes[position] = value;
        }
        if fix {
            fix_checksums(&mut bytes);
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        let mut reader = Reader::new(&bytes[..]);
        while let Ok(Some(entry)) = reader.next_entry() {
            prop_assert!(entry.path.len() <= 4096);
        }
        let scratch = Scratch::new();
        let inner = scratch.join("root");
        std::fs::create_dir(&inner).unwrap();
        let options = Options { whiteouts: Whiteouts::Overlay, budget: 1 << 20, ..Options::default() };
        let _ = apply(&Root::open_path(&inner).unwrap(), &bytes[..], options);
        prop_assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_image_archive_is_loaded_or_refused_and_leaves_nothing(
        changes in prop::collection::vec((0..16384_usize, any::<u8>()), 1..6),
        fix in any::<bool>(),
    ) {
        let layer = seed();
        let mut bytes = tar(&[
            (file("l.tar", 0o600), &layer),
            (file("c.json", 0o600), br#"{"rootfs":{"type":"layers","diff_ids":[]}}"#),
            (file("manifest.json", 0o600), br#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":[]}]"#),
        ]);
        for (position, value) in changes {
            let position = position % bytes.len();
            bytes[position] = value;
        }
        if fix {
            fix_checksums(&mut bytes);
        }
        let store = TestStore::new();
        if store.load(&bytes).is_err() {
            prop_assert!(store.store.images().list().is_empty());
        }
        prop_assert_eq!(leftovers(&store.root()), Vec::<String>::new());
    }
}
