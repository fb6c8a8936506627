//! What goes in comes out.

use skiff_model::image::{History, ImageConfig};
use skiff_model::reference::Reference;
use skiff_store::archive::SaveImage;
use skiff_store::hash::digest_of;
use skiff_store::tar::{Entry, Kind, Time};

use crate::support::{TestStore, file, leftovers, special, tar};

fn name(text: &str) -> Reference {
    Reference::parse_normalized(text).unwrap().with_default_tag()
}

#[test]
fn an_imported_tar_is_saved_and_loaded_bit_for_bit() {
    let a = TestStore::new();
    let layer = tar(&[
        (special("bin/", Kind::Directory), b""),
        (Entry { mtime: Time { seconds: 7, nanoseconds: 8 }, ..file("bin/sh", 0o4755) }, b"#!x"),
        (Entry { link: b"bin/sh".to_vec(), ..special("sh2", Kind::Hardlink) }, b""),
        (Entry { link: b"/bin/sh".to_vec(), ..special("link", Kind::Symlink) }, b""),
        (file("twice", 0o644), b"first"),
        (file("twice", 0o600), b"second"),
    ]);
    let names = [name("a/b:c")];
    let id = a
        .store
        .import(&mut &layer[..], ImageConfig::default(), History::default(), &names)
        .unwrap();
    let mut archive = Vec::new();
    a.store.save(&[SaveImage { id, names: names.to_vec() }], &mut archive).unwrap();
    let b = TestStore::new();
    let loaded = b.load(&archive).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!((loaded[0].id, &loaded[0].names[..]), (id, &names[..]));
    let mut again = Vec::new();
    let chain = b.store.images().get(&id).unwrap().image.chain_ids();
    b.store.write_tar(&chain[0], &mut again).unwrap();
    assert!(again == layer);
    assert!(b.store.verify().unwrap().is_empty());
    let fs = b.store.snapshots().fs_path(&chain[0]);
    assert_eq!(std::fs::read(fs.join("twice")).unwrap(), b"second");
}

/// A docker-archive whose one layer file is used at several places.
fn archive(layer: &[u8], uses: usize, author: &str) -> Vec<u8> {
    let mut plain = Vec::new();
    let source =
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(layer), &mut plain);
    let diff_id = digest_of(if source.is_ok() { &plain } else { layer });
    let ids = vec![format!("\"{diff_id}\""); uses].join(",");
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","author":"{author}","rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#
    );
    let layers = vec!["\"l.tar\""; uses].join(",");
    let manifest =
        format!(r#"[{{"Config":"c.json","RepoTags":["{author}:x"],"Layers":[{layers}]}}]"#);
    tar(&[
        (file("l.tar", 0o600), layer),
        (file("c.json", 0o600), config.as_bytes()),
        (file("manifest.json", 0o600), manifest.as_bytes()),
    ])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut out, bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn one_layer_may_be_used_several_times() {
    let layer = tar(&[(file("f", 0o600), b"same")]);
    for bytes in [layer.clone(), gzip(&layer)] {
        let test = TestStore::new();
        let loaded = test.load(&archive(&bytes, 3, "a")).unwrap();
        let image = test.store.images().get(&loaded[0].id).unwrap().image;
        assert_eq!(test.store.snapshots().chain(&image.diff_ids).unwrap().len(), 3);
        assert!(test.store.verify().unwrap().is_empty());
        // A second load finds everything, and one with another chain what it needs.
        assert_eq!(test.load(&archive(&bytes, 3, "a")).unwrap(), loaded);
        test.load(&archive(&bytes, 4, "b")).unwrap();
        assert!(test.store.verify().unwrap().is_empty());
        assert_eq!(leftovers(&test.root()), [""; 0]);
    }
}

#[test]
fn a_layer_outlives_the_image_whose_blob_it_came_from() {
    let layer = tar(&[(file("f", 0o600), b"same")]);
    let test = TestStore::new();
    let first = test.load(&archive(&gzip(&layer), 1, "a")).unwrap()[0].id;
    // The same layer uncompressed: no blob of its own, and the snapshot has no recipe.
    let second = test.load(&archive(&layer, 1, "b")).unwrap()[0].id;
    test.store.images().remove(&first).unwrap();
    test.store.collect().unwrap();
    let mut archive = Vec::new();
    test.store.save(&[SaveImage { id: second, names: vec![] }], &mut archive).unwrap();
    let other = TestStore::new();
    assert_eq!(other.load(&archive).unwrap()[0].id, second);
    assert!(other.store.verify().unwrap().is_empty());
    test.store.images().remove(&second).unwrap();
    assert_eq!(test.store.collect().unwrap().blobs.len(), 2);
    assert!(test.store.content().list().unwrap().is_empty());
}

#[test]
fn a_commit_makes_a_layer_of_the_upper_directory() {
    let test = TestStore::new();
    let base = tar(&[(file("kept", 0o600), b"k"), (file("gone", 0o600), b"g")]);
    let parent =
        test.store.import(&mut &base[..], ImageConfig::default(), History::default(), &[]).unwrap();
    let upper = test.scratch.join("upper");
    std::fs::create_dir(&upper).unwrap();
    std::fs::write(upper.join("new"), "n").unwrap();
    let whiteout = rustix::fs::FileType::CharacterDevice;
    let none = rustix::fs::Mode::empty();
    rustix::fs::mknodat(rustix::fs::CWD, upper.join("gone"), whiteout, none, 0).unwrap();
    let opened = std::fs::File::open(&upper).unwrap();
    let history = History { created_by: "sh".into(), ..History::default() };
    let id = test
        .store
        .commit(Some(&parent), &opened, ImageConfig::default(), history, &[name("c:d")])
        .unwrap();
    let named = test.store.images().get(&id).unwrap();
    assert_eq!((named.image.parent, named.image.diff_ids.len()), (Some(parent), 2));
    assert_eq!(test.store.config(&id).unwrap().history.len(), 2);
    let lowers = test.store.snapshots().chain(&named.image.diff_ids).unwrap();
    let view = test.store.snapshots().mount_detached(&lowers, None).unwrap();
    let names = skiff_store::tar::walk::names(&view).unwrap();
    assert_eq!(names, [b"kept".to_vec(), b"new".to_vec()]);
    assert!(test.store.verify().unwrap().is_empty());
}

#[test]
fn trees_deeper_than_any_path_are_removed() {
    let test = TestStore::new();
    // Each link leads to the end of what is there, so the tree grows past PATH_MAX.
    let mut entries = Vec::new();
    let long = "d/".repeat(900);
    for n in 0..3 {
        let base = if n == 0 { String::new() } else { format!("l{n}/") };
        entries.push((special(&format!("{base}{long}"), Kind::Directory), &b""[..]));
        let link = format!("{base}{}", long.trim_end_matches('/')).into_bytes();
        let next = n + 1;
        entries.push((Entry { link, ..special(&format!("l{next}"), Kind::Symlink) }, b""));
    }
    let layer = tar(&entries);
    // Unpacked or refused, nothing stays of it.
    let result =
        test.store.import(&mut &layer[..], ImageConfig::default(), History::default(), &[]);
    if let Ok(id) = result {
        test.store.images().remove(&id).unwrap();
        test.store.collect().unwrap();
        test.store.wait_for_trash();
    }
    assert_eq!(leftovers(&test.root()), [""; 0]);
    assert!(test.store.snapshots().list().unwrap().is_empty());
}
