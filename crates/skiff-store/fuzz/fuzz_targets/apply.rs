//! Nothing that is applied to a directory shows up next to it.
#![no_main]

mod checksums;

use libfuzzer_sys::fuzz_target;
use skiff_store::tar::apply::{Options, Whiteouts, apply};
use skiff_store::tar::root::Root;

fuzz_target!(|bytes: &[u8]| {
    let bytes = checksums::mended(bytes);
    let outer = std::env::temp_dir().join(format!("skiff-fuzz-apply-{}", std::process::id()));
    let inner = outer.join("root");
    std::fs::create_dir_all(&inner).expect("make the directory");
    let options = Options { whiteouts: Whiteouts::Overlay, budget: 1 << 20, ..Options::default() };
    let _ = apply(&Root::open_path(&inner).expect("open it"), &bytes[..], options);
    let count = std::fs::read_dir(&outer).expect("read it").count();
    std::fs::remove_dir_all(&outer).expect("remove it");
    assert_eq!(count, 1);
});
