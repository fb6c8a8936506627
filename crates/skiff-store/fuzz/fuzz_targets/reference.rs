//! What parses as a reference is the same after it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff_model::platform::Platform;
use skiff_model::reference::Reference;

fuzz_target!(|text: &str| {
    if let Ok(reference) = Reference::parse_normalized(text) {
        assert!(reference.path().len() <= 255);
        assert_eq!(Reference::parse_normalized(&reference.to_string()).as_ref(), Ok(&reference));
    }
    if let Ok(platform) = text.parse::<Platform>() {
        assert!(platform.matches(&platform.normalized()));
    }
});
