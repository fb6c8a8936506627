//! A layer that is unpacked can be made again from its files, byte for byte; one that is refused
//! leaves nothing.
#![no_main]

mod checksums;

use libfuzzer_sys::fuzz_target;
use skiff_model::image::{History, ImageConfig};
use skiff_store::{Pins, Store};

fuzz_target!(|bytes: &[u8]| {
    let bytes = checksums::mended(bytes);
    let root = std::env::temp_dir().join(format!("skiff-fuzz-import-{}", std::process::id()));
    {
        let store = Store::open(&root, Pins::default).expect("open the store");
        let (config, history) = (ImageConfig::default(), History::default());
        if store.import(&mut &bytes[..], config, history, &[]).is_err() {
            assert!(store.content().list().expect("list blobs").is_empty());
            assert!(store.snapshots().list().expect("list layers").is_empty());
        } else {
            assert!(store.verify().expect("verify").is_empty());
        }
        store.wait_for_trash();
    }
    std::fs::remove_dir_all(&root).expect("remove the store");
});
