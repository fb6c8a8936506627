//! An image archive is loaded whole or not at all.
#![no_main]

mod checksums;

use libfuzzer_sys::fuzz_target;
use skiff_store::{Pins, Store};

fuzz_target!(|bytes: &[u8]| {
    let bytes = checksums::mended(bytes);
    let root = std::env::temp_dir().join(format!("skiff-fuzz-load-{}", std::process::id()));
    {
        let store = Store::open(&root, Pins::default).expect("open the store");
        if store.load(&mut &bytes[..], None, &|_| {}).is_err() {
            assert!(store.images().list().is_empty());
            assert!(store.content().list().expect("list blobs").is_empty());
            assert!(store.snapshots().list().expect("list layers").is_empty());
        } else {
            assert!(store.verify().expect("verify").is_empty());
        }
        store.wait_for_trash();
    }
    std::fs::remove_dir_all(&root).expect("remove the store");
});
