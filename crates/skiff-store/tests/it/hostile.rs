//! Archives made to escape, to confuse or to exhaust (security-reliability.md, rows 26 to 35).

use std::io::Write;
use std::path::Path;

use skiff_model::digest::Digest;
use skiff_model::image::{
    Descriptor, History, ImageConfig, Index, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST,
};
use skiff_store::hash::digest_of;
use skiff_store::tar::apply::{Options, Whiteouts, apply};
use skiff_store::tar::root::Root;
use skiff_store::tar::writer::Writer;
use skiff_store::tar::{Entry, Kind, TarError};

use crate::support::{Scratch, TestStore, file, leftovers, snapshot, special, tar};

fn decoys(dir: &Path) {
    std::fs::create_dir_all(dir.join("secret/dir")).unwrap();
    std::fs::write(dir.join("secret/file"), "untouched").unwrap();
    std::fs::write(dir.join("x"), "untouched").unwrap();
    std::fs::create_dir(dir.join("a")).unwrap();
    std::fs::write(dir.join("a/b"), "untouched").unwrap();
    std::os::unix::fs::symlink("secret", dir.join("link")).unwrap();
}

const NAMES: [&str; 7] =
    ["a", "a/b", "../x", "/x", "a/../../x", "a/b/../../../secret/file", "./a/"];

/// Every kind of entry under a name, with links that try to lead out.
fn entries(name: &str, decoy: &Path) -> Vec<(Entry, &'static [u8])> {
    let absolute = decoy.join("secret").into_os_string().into_encoded_bytes();
    let (parent, base) = name.rsplit_once('/').map_or(("", name), |(p, b)| (p, b));
    let sibling = |prefix: &str| match parent {
        "" if !name.starts_with('/') => format!("{prefix}{base}"),
        parent => format!("{parent}/{prefix}{base}"),
    };
    let link = |kind, target: &[u8]| Entry { link: target.to_vec(), ..special(name, kind) };
    vec![
        (file(name, 0o4777), b"hostile"),
        (Entry { mode: 0o777, ..special(name, Kind::Directory) }, b""),
        (link(Kind::Symlink, b".."), b""),
        (link(Kind::Symlink, b"../../secret"), b""),
        (link(Kind::Symlink, &absolute), b""),
        (link(Kind::Symlink, b"/"), b""),
        (link(Kind::Hardlink, b"../x"), b""),
        (link(Kind::Hardlink, b"a"), b""),
        (link(Kind::Hardlink, b"a/file"), b""),
        (link(Kind::Hardlink, &absolute), b""),
        (special(name, Kind::Fifo), b""),
        (Entry { device: (1, 3), ..special(name, Kind::Char) }, b""),
        (file(&sibling(".wh."), 0o600), b""),
        (file(&format!("{name}/.wh..wh..opq"), 0o600), b""),
        (file(&format!("{name}/file"), 0o666), b"hostile"),
        (Entry { mode: 0o700, ..special(&format!("{name}/dir"), Kind::Directory) }, b""),
    ]
}

#[test]
fn no_pair_of_entries_reaches_outside() {
    let scratch = Scratch::new();
    let outside = scratch.join("outside");
    std::fs::create_dir(&outside).unwrap();
    decoys(&outside);
    let before = snapshot(&outside);
    let root = outside.join("secret/dir/root");
    let all: Vec<(Entry, &[u8])> = NAMES.iter().flat_map(|name| entries(name, &outside)).collect();
    let mut applied = 0;
    for (index, first) in all.iter().enumerate() {
        for second in &all {
            std::fs::create_dir(&root).unwrap();
            let bytes = tar(&[first.clone(), second.clone()]);
            let whiteouts = if index % 2 == 0 { Whiteouts::Overlay } else { Whiteouts::Plain };
            let options = Options { whiteouts, ..Options::default() };
            let result = apply(&Root::open_path(&root).unwrap(), &bytes[..], options);
            applied += u32::from(result.is_ok());
            std::fs::remove_dir_all(&root).unwrap();
            if outside.join("secret/dir").read_dir().unwrap().count() != 0 {
                panic!("{first:?} then {second:?} left something");
            }
        }
        // Times of the decoy directory itself change with the root made in it.
        let without = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().filter(|line| !line.starts_with("./secret/dir ")).collect()
        };
        assert_eq!(without(snapshot(&outside)), without(before.clone()), "{first:?}");
    }
    assert!(applied > 500, "many pairs are harmless: {applied}");
}

#[test]
fn triples_through_a_swapped_directory_stay_inside() {
    let scratch = Scratch::new();
    let outside = scratch.join("outside");
    std::fs::create_dir(&outside).unwrap();
    decoys(&outside);
    let root = outside.join("root");
    let all = entries("a", &outside);
    for first in &all {
        for second in &all {
            for third in &all {
                std::fs::create_dir(&root).unwrap();
                let bytes = tar(&[first.clone(), second.clone(), third.clone()]);
                let options = Options { whiteouts: Whiteouts::Overlay, ..Options::default() };
                let _ = apply(&Root::open_path(&root).unwrap(), &bytes[..], options);
                std::fs::remove_dir_all(&root).unwrap();
            }
        }
    }
    assert_eq!(std::fs::read(outside.join("secret/file")).unwrap(), b"untouched");
    assert_eq!(std::fs::read(outside.join("x")).unwrap(), b"untouched");
    assert_eq!(std::fs::read(outside.join("a/b")).unwrap(), b"untouched");
    assert_eq!(std::fs::read_dir(outside.join("secret")).unwrap().count(), 2);
}

fn layer_error(entries: &[(Entry, &[u8])]) -> TarError {
    let scratch = Scratch::new();
    let options = Options { whiteouts: Whiteouts::Overlay, ..Options::default() };
    let bytes = tar(entries);
    apply(&Root::open_path(scratch.path()).unwrap(), &bytes[..], options).unwrap_err()
}

#[test]
fn names_that_lead_out_are_refused_by_name() {
    for name in ["..", "../x", "a/../../x", ".wh.", "d/.wh..", "d/.wh...", ".wh.x/y"] {
        let error = layer_error(&[(file(name, 0o600), b"")]);
        assert_eq!(error.to_string(), format!("invalid entry name {name:?}"));
    }
    let link = Entry { link: b"../x".to_vec(), ..special("l", Kind::Hardlink) };
    assert!(matches!(layer_error(&[(link, b"")]), TarError::Link { .. }));
}

#[test]
fn a_budget_bounds_what_is_written() {
    let scratch = Scratch::new();
    let bytes = tar(&[(file("a", 0o600), &[0; 600]), (file("b", 0o600), &[0; 600])]);
    let options = Options { budget: 1000, ..Options::default() };
    let error = apply(&Root::open_path(scratch.path()).unwrap(), &bytes[..], options).unwrap_err();
    assert!(matches!(error, TarError::Budget(_)), "{error}");
}

fn raw_header(name: &str, flag: u8, size: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..124 + size.len()].copy_from_slice(size.as_bytes());
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn read_all(bytes: &[u8]) -> Result<Vec<(String, u64)>, String> {
    let mut reader = skiff_store::tar::reader::Reader::new(bytes);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(|error| error.to_string())? {
        entries.push((String::from_utf8_lossy(&entry.path).into_owned(), entry.size));
    }
    Ok(entries)
}

#[test]
fn malformed_archives_have_dockers_words() {
    let invalid = Err("archive/tar: invalid tar header".to_owned());
    let eof = Err("unexpected EOF".to_owned());
    let pax = |records: &[u8]| {
        let mut bytes = raw_header("x", b'x', &format!("{:011o}", records.len()));
        bytes.extend(padded(records));
        bytes
    };
    let plain = raw_header("f", b'0', "00000000000");
    let check = |parts: &[&[u8]], expect: &Result<Vec<(String, u64)>, String>| {
        assert_eq!(&read_all(&parts.concat()), expect);
    };
    check(&[b"garbage that is no tar at all".repeat(20).as_slice()], &invalid);
    check(&[&plain[..100]], &eof);
    check(&[&raw_header("f", b'0', "00000000012"), b"short"], &eof);
    check(&[&raw_header("f", b'0', "-1")], &invalid);
    check(&[&raw_header("f", b'0', "9")], &invalid);
    check(&[&pax(b"6 a=b\n")], &eof);
    check(&[&pax(b"7 a=b\n"), &plain], &invalid);
    check(&[&pax(b"6 a=b\n"), &pax(b"6 a=b\n"), &plain], &invalid);
    check(&[&raw_header("g", b'g', "00000000014"), &padded(b"12 size=123\n"), &plain], &invalid);
    check(&[&raw_header("x", b'x', "77777777777")], &invalid);
    check(&[&raw_header("L", b'L', "00000100000")], &invalid);
    let long = raw_header("L", b'L', "00000000002");
    check(&[&long, &padded(b"a\0"), &long, &padded(b"b\0"), &plain], &invalid);
    check(&[&long, &padded(b"a\0"), &pax(b"6 a=b\n"), &plain], &invalid);
    check(&[&[0; 512], &plain], &invalid);
    check(&[&[0; 1024], &plain], &Ok(vec![]));
    check(&[], &Ok(vec![]));
}

#[test]
fn a_pax_size_always_wins() {
    // The smuggled header would be an entry to a reader that believes the plain size.
    let smuggled = raw_header("smuggled", b'0', "00000000000");
    let mut bytes = raw_header("x", b'x', "00000000014");
    bytes.extend(padded(b"12 size=512\n"));
    bytes.extend(raw_header("outer", b'0', "00000000000"));
    bytes.extend(&smuggled);
    bytes.extend([0; 1024]);
    assert_eq!(read_all(&bytes), Ok(vec![("outer".into(), 512)]));
}

#[test]
fn bombs_end_soon_and_leave_nothing() {
    let store = TestStore::new();
    let mut zeros = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..512 {
        zeros.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let zeros = zeros.finish().unwrap();
    assert!(store.load(&zeros).is_err());
    // A layer of an archive that inflates to nothing but zeros.
    let archive = tar(&[(file("blobs/sha256/zeros", 0o600), &zeros)]);
    assert!(store.load(&archive).is_err());
    assert_eq!(leftovers(&store.root()), [""; 0]);
}

#[test]
fn truncated_archives_leave_nothing() {
    let store = TestStore::new();
    let layer = tar(&[(file("f", 0o600), &[7; 9000])]);
    let archive = tar(&[(file("a/layer.tar", 0o600), &layer), (file("c.json", 0o600), b"{}")]);
    for length in [1, 100, 511, 512, 600, 1024, 5000, layer.len(), layer.len() + 512] {
        assert!(store.load(&archive[..length]).is_err(), "{length}");
        assert_eq!(leftovers(&store.root()), [""; 0]);
    }
    let error = store.load(&archive).unwrap_err();
    assert_eq!(error.to_string(), "unrecognized image format");
    assert!(store.store.content().list().unwrap().is_empty());
    assert!(store.store.snapshots().list().unwrap().is_empty());
}

#[test]
fn wrong_digests_and_missing_parts_are_refused() {
    let store = TestStore::new();
    let layer = tar(&[(file("f", 0o600), b"x")]);
    let wrong = "ab".repeat(32);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{wrong}"]}}}}"#
    );
    let manifest = |config: &str, layers: &str, tags: &str| {
        format!(r#"[{{"Config":{config:?},"RepoTags":[{tags}],"Layers":[{layers}]}}]"#)
    };
    let check = |parts: &[(&str, &[u8])], expect: &str| {
        let parts: Vec<(Entry, &[u8])> = parts.iter().map(|(n, b)| (file(n, 0o600), *b)).collect();
        let error = store.load(&tar(&parts)).unwrap_err().to_string();
        assert!(error.contains(expect), "{error:?} should have {expect:?}");
        assert_eq!(leftovers(&store.root()), [""; 0]);
        assert!(store.store.images().list().is_empty());
        assert!(store.store.content().list().unwrap().is_empty());
        assert!(store.store.snapshots().list().unwrap().is_empty());
    };
    let good = manifest("c.json", "\"l.tar\"", "\"a:b\"");
    check(
        &[("l.tar", &layer), ("c.json", config.as_bytes()), ("manifest.json", good.as_bytes())],
        "invalid diffID for layer 0",
    );
    check(
        &[("c.json", config.as_bytes()), ("manifest.json", good.as_bytes())],
        "layer \"l.tar\" not found",
    );
    let escaping = manifest("../../../etc/passwd", "", "");
    check(
        &[("manifest.json", escaping.as_bytes())],
        "image config \"../../../etc/passwd\" not found",
    );
    let bad_tag = manifest("c.json", "", "\"UPPER:x\"");
    check(
        &[("c.json", config.as_bytes()), ("manifest.json", bad_tag.as_bytes())],
        "must be lowercase",
    );
    let none = manifest("c.json", "", "");
    check(
        &[("c.json", config.as_bytes()), ("manifest.json", none.as_bytes())],
        "layers length mismatch",
    );
    check(&[("manifest.json", b"[{")], "invalid manifest.json");
    check(&[(&format!("blobs/sha256/{wrong}"), b"other")], "wrong digest");
    check(&[(&format!("blobs/sha256/{wrong}"), &layer)], "wrong digest");
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{wrong}","size":3}}]}}"#
    );
    check(&[("index.json", index.as_bytes())], "not found");
    let mixed = br#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#;
    check(&[("index.json", mixed)], "not an image index");
}

/// An OCI layout's `index.json`, manifest and config of an image of one layer; what is said of the
/// config and the layer is the caller's.
fn layout(layer: &[u8], config: &Descriptor, said: &Descriptor) -> Vec<(String, Vec<u8>)> {
    let diff_id = digest_of(layer);
    let document = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#);
    let manifest = Manifest::new(config.clone(), vec![said.clone()]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let digest = digest_of(&manifest);
    let index = Index::new(vec![Descriptor::new(OCI_MANIFEST, digest, manifest.len() as u64)]);
    let blob = |digest: Digest| format!("blobs/sha256/{}", digest.hex());
    vec![
        (blob(diff_id), layer.to_vec()),
        (blob(digest_of(document.as_bytes())), document.into_bytes()),
        (blob(digest), manifest),
        ("index.json".into(), serde_json::to_vec(&index).unwrap()),
    ]
}

/// It was taken for the blob, so an archive could put other layers under the id of an image that
/// is there.
#[test]
fn a_link_to_something_else_is_not_the_blob() {
    let test = TestStore::new();
    let good = tar(&[(file("f", 0o600), b"good")]);
    let (config, history) = (ImageConfig::default(), History::default());
    let id = test.store.import(&mut &good[..], config, history, &[]).unwrap();
    let image = test.store.images().get(&id).unwrap().image;
    let evil = tar(&[(file("f", 0o600), b"evil")]);
    let said = Descriptor::new(OCI_LAYER, digest_of(&evil), evil.len() as u64);
    let mut parts = layout(&evil, &Descriptor::new(OCI_CONFIG, id, 0), &said);
    let size = parts[1].1.len() as u64;
    parts = layout(&evil, &Descriptor::new(OCI_CONFIG, id, size), &said);
    let link = format!("/{}", parts[1].0);
    let link = Entry {
        link: link.into(),
        ..special(&format!("blobs/sha256/{}", id.hex()), Kind::Symlink)
    };
    let mut entries: Vec<(Entry, &[u8])> =
        parts.iter().map(|(name, bytes)| (file(name, 0o600), &bytes[..])).collect();
    entries.push((link, b""));
    let error = test.load(&tar(&entries)).unwrap_err().to_string();
    assert!(error.contains("wrong digest"), "{error}");
    assert_eq!(test.store.images().get(&id).unwrap().image, image);
    assert!(test.store.verify().unwrap().is_empty());
}

/// An uncompressed layer's was not looked at, and the image could not be saved. (documents)
#[test]
fn a_manifest_that_gives_a_wrong_size_is_refused() {
    let layer = tar(&[(file("f", 0o600), b"x")]);
    let config = Descriptor::new(OCI_CONFIG, digest_of(b""), 0);
    let (digest, size) = (digest_of(&layer), layer.len() as u64);
    let document = layout(&layer, &config, &config).remove(1).1;
    let config = Descriptor::new(OCI_CONFIG, digest_of(&document), document.len() as u64);
    for (size, is_good) in [(size, true), (size - 512, false), (size + 512, false)] {
        let parts = layout(&layer, &config, &Descriptor::new(OCI_LAYER, digest, size));
        let entries: Vec<(Entry, &[u8])> =
            parts.iter().map(|(name, bytes)| (file(name, 0o600), &bytes[..])).collect();
        let test = TestStore::new();
        // Once with the layer in the archive, once with it there already.
        for _ in 0..2 {
            let loaded = test.load(&tar(&entries));
            assert_eq!(loaded.is_ok(), is_good, "{loaded:?}");
            test.store
                .import(&mut &layer[..], ImageConfig::default(), History::default(), &[])
                .unwrap();
        }
    }
}

#[test]
fn a_link_may_not_cycle() {
    let store = TestStore::new();
    let link = |name: &str, to: &str| Entry { link: to.into(), ..special(name, Kind::Symlink) };
    let archive = tar(&[(link("manifest.json", "a"), b""), (link("a", "manifest.json"), b"")]);
    assert_eq!(store.load(&archive).unwrap_err().to_string(), "unrecognized image format");
}

#[test]
fn unknown_compressions_are_named() {
    let store = TestStore::new();
    let error = store.load(b"\xfd7zXZ\0 and so on").unwrap_err();
    assert_eq!(error.to_string(), "unsupported compression xz: use gzip, zstd or none");
}

#[test]
fn writer_refuses_a_payload_of_another_size() {
    let mut writer = Writer::new(Vec::new());
    writer.entry(&Entry { size: 3, ..file("f", 0o600) }).unwrap();
    assert!(writer.payload(b"four").is_err());
    assert!(writer.finish().is_err());
}
