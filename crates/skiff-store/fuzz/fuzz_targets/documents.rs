//! The documents of an image archive: loaded or refused without a trace, and what was loaded comes
//! out as it went in. Bytes of 0xff part the documents; `@n`, `%n` and `#n` in one are the digest,
//! its digits and the size of an earlier one, of which the first two are a layer and its gzip. One
//! that begins with `>` is a link: its path and, after a space, where it leads.
#![no_main]

use std::io::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use skiff_model::digest::Digest;
use skiff_model::image::{ArchiveEntry, ImageConfig, Index, Manifest};
use skiff_store::archive::{LoadedImage, SaveImage};
use skiff_store::hash::digest_of;
use skiff_store::tar::writer::Writer;
use skiff_store::tar::{Entry, Kind};
use skiff_store::{Pins, Store};

/// A layer and its gzip.
static LAYERS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let passwd = b"root:x:0:0::/:/bin/sh\n".to_vec();
    let plain = archive(&[("etc/passwd".to_owned(), passwd)], &[]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&plain).expect("write to memory");
    let gzip = gzip.finish().expect("write to memory");
    [plain, gzip]
});

fuzz_target!(|bytes: &[u8]| {
    let mut blobs: Vec<(Digest, Vec<u8>)> =
        LAYERS.iter().map(|layer| (digest_of(layer), layer.clone())).collect();
    let mut members = Vec::new();
    let mut links = Vec::new();
    for document in bytes.split(|byte| *byte == 0xff).take(8) {
        let document = resolved(document, &blobs);
        if let Some(link) = document.strip_prefix(b">") {
            let space = link.iter().position(|byte| *byte == b' ').unwrap_or(link.len());
            links.push((link[..space].to_vec(), link[space..].trim_ascii().to_vec()));
            continue;
        }
        reads_what_it_writes::<Manifest>(&document, |_| {});
        reads_what_it_writes::<Index>(&document, |_| {});
        reads_what_it_writes::<Vec<ArchiveEntry>>(&document, |_| {});
        // Numbers with a fraction may change in their last digit where nobody looks at them.
        reads_what_it_writes::<ImageConfig>(&document, |config| {
            config.extra.clear();
            config.config.extra.clear();
        });
        if document.starts_with(b"[") {
            members.push(("manifest.json".to_owned(), document.clone()));
        } else if document.windows(11).any(|key| key == b"\"manifests\"") {
            members.push(("index.json".to_owned(), document.clone()));
        }
        blobs.push((digest_of(&document), document));
    }
    let blobs =
        blobs.into_iter().map(|(digest, blob)| (format!("blobs/sha256/{}", digest.hex()), blob));
    members.extend(blobs);
    let first = Scratch::new("first");
    let Some(loaded) = first.load(&archive(&members, &links)) else { return };
    let mut saved = Vec::new();
    let images: Vec<SaveImage> =
        loaded.iter().map(|image| SaveImage { id: image.id, names: image.names.clone() }).collect();
    first.store.save(&images, &mut saved).expect("save what was loaded");
    let again = Scratch::new("second").load(&saved).expect("load what was saved");
    assert_eq!(ids(&again), ids(&loaded));
});

fn ids(images: &[LoadedImage]) -> Vec<Digest> {
    let mut ids: Vec<Digest> = images.iter().map(|image| image.id).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn reads_what_it_writes<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    clear: fn(&mut T),
) {
    let Ok(mut value) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&value).expect("write what was read");
    let mut again = serde_json::from_slice::<T>(&written).expect("read what was written");
    clear(&mut value);
    clear(&mut again);
    assert_eq!(again, value);
}

/// Puts in what the placeholders stand for.
fn resolved(document: &[u8], blobs: &[(Digest, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = document.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        let number = rest.peek().filter(|digit| digit.is_ascii_digit()).map(|digit| digit - b'0');
        match (byte, number.and_then(|number| blobs.get(usize::from(number)))) {
            (b'@', Some((digest, _))) => out.extend(digest.to_string().bytes()),
            (b'%', Some((digest, _))) => out.extend(digest.hex().bytes()),
            (b'#', Some((_, blob))) => out.extend(blob.len().to_string().bytes()),
            _ => {
                out.push(byte);
                continue;
            }
        }
        rest.next();
    }
    out
}

fn archive(members: &[(String, Vec<u8>)], links: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, contents) in members {
        let entry = Entry { path: path.clone().into(), mode: 0o644, ..Entry::default() };
        writer.file(&entry, contents).expect("write to memory");
    }
    for (path, link) in links {
        let (path, link, kind) = (path.clone(), link.clone(), Kind::Symlink);
        // What no archive can hold is no input.
        let _ = writer.entry(&Entry { path, link, kind, ..Entry::default() });
    }
    writer.finish().expect("write to memory")
}

/// A store that goes away.
struct Scratch {
    store: Store,
    root: PathBuf,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("skiff-fuzz-documents-{}-{name}", std::process::id());
        let root = std::env::temp_dir().join(name);
        Self { store: Store::open(&root, Pins::default).expect("open the store"), root }
    }

    fn load(&self, archive: &[u8]) -> Option<Vec<LoadedImage>> {
        let loaded = self.store.load(&mut &archive[..], None, &|_| {}).ok();
        if loaded.is_some() {
            assert!(self.store.verify().expect("verify").is_empty());
        } else {
            assert!(self.store.images().list().is_empty());
            assert!(self.store.content().list().expect("list blobs").is_empty());
            assert!(self.store.snapshots().list().expect("list layers").is_empty());
        }
        loaded
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.store.wait_for_trash();
        std::fs::remove_dir_all(&self.root).expect("remove the store");
    }
}
