//! Any bytes are entries or an error; payloads are as long as their entries say.
#![no_main]

mod checksums;

use std::io::BufRead;

use libfuzzer_sys::fuzz_target;
use skiff_store::tar::reader::Reader;

fuzz_target!(|bytes: &[u8]| {
    let bytes = checksums::mended(bytes);
    let mut reader = Reader::new(&bytes[..]);
    while let Ok(Some(entry)) = reader.next_entry() {
        assert!(entry.path.len() <= 4096 && entry.link.len() <= 4096);
        let stored = reader.remaining();
        if let Some(segments) = &entry.sparse {
            assert_eq!(segments.iter().map(|segment| segment.length).sum::<u64>(), stored);
        }
        let mut read = 0;
        let mut payload = reader.payload();
        while let Ok(chunk) = payload.fill_buf() {
            let n = chunk.len();
            if n == 0 {
                assert_eq!(read, stored);
                break;
            }
            read += n as u64;
            payload.consume(n);
        }
    }
});
