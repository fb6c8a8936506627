//! Any stream is inflated or refused, and what is inflated was compressed. The first byte says
//! whether the rest is such a stream or to be made one, in parts, of which the end is cut off.
#![no_main]

use std::io::{Read, Write};

use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use skiff_store::compression::{Compression, decoder, detect, peek};

fuzz_target!(|bytes: &[u8]| {
    let [mode, cut, rest @ ..] = bytes else { return };
    if *mode == 0 {
        let plain = detect(rest) == Ok(Compression::None);
        let inflated = inflate(rest);
        assert!(!plain || inflated.as_deref() == Some(rest));
        return;
    }
    let mut stream = Vec::new();
    let mut whole = Vec::new();
    for part in rest.split(|byte| *byte == *mode) {
        match mode % 2 == 0 {
            true => stream.extend(zstd::encode_all(part, i32::from(mode % 8)).expect("compress")),
            false => {
                let level = flate2::Compression::new(u32::from(mode % 10));
                let mut gzip = GzEncoder::new(Vec::new(), level);
                gzip.write_all(part).expect("write to memory");
                stream.extend(gzip.finish().expect("compress"));
            }
        }
        whole.extend(part);
    }
    let kept = stream.len().saturating_sub(usize::from(*cut));
    match inflate(&stream[..kept]) {
        // Parts of the stream are streams themselves; too little to be one is its own contents.
        Some(inflated) if *cut == 0 => assert_eq!(inflated, whole),
        Some(inflated) => assert!(whole.starts_with(&inflated) || inflated == stream[..kept]),
        None => assert!(*cut > 0),
    }
});

/// The contents, up to where they are too long to look at.
fn inflate(stream: &[u8]) -> Option<Vec<u8>> {
    let (head, source) = peek(stream, 8).expect("read from memory");
    let mut inflated = Vec::new();
    let decoder = decoder(detect(&head).ok()?, source).ok()?;
    decoder.take(16 << 20).read_to_end(&mut inflated).ok()?;
    Some(inflated)
}
