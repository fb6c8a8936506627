//! What goes in comes out.

use skiff_model::image::{History, ImageConfig};
use skiff_model::reference::Reference;
use skiff_store::archive::SaveImage;
use skiff_store::tar::{Entry, Kind, Time};

use crate::support::{TestStore, file, special, tar};

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
    b.store.snapshots().write_tar(&chain[0], &mut again).unwrap();
    assert!(again == layer);
    assert!(b.store.verify().unwrap().is_empty());
    let fs = b.store.snapshots().fs_path(&chain[0]);
    assert_eq!(std::fs::read(fs.join("twice")).unwrap(), b"second");
}
