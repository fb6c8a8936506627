//! Names, removal and collection, also while others load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use skiff_model::image::{History, ImageConfig};
use skiff_model::reference::Reference;
use skiff_store::archive::SaveImage;
use skiff_store::{Pins, Store, StoreError, Untagged};

use crate::support::{TestStore, file, tar};

fn name(text: &str) -> Reference {
    Reference::parse_normalized(text).unwrap().with_default_tag()
}

fn import(store: &Store, contents: &[u8], names: &[Reference]) -> skiff_model::digest::Digest {
    let layer = tar(&[(file("f", 0o600), contents)]);
    store.import(&mut &layer[..], ImageConfig::default(), History::default(), names).unwrap()
}

/// A store, and what it is told that containers use.
fn pinned() -> (TestStore, Arc<Mutex<Pins>>) {
    let pins = Arc::new(Mutex::new(Pins::default()));
    let asked = pins.clone();
    (TestStore::with_pins(move || asked.lock().unwrap().clone()), pins)
}

#[test]
fn names_resolve_in_dockers_order_and_prefixes_must_be_unique() {
    let test = TestStore::new();
    let images = test.store.images();
    let ids: Vec<_> = (0..40_u8).map(|n| import(&test.store, &[n], &[])).collect();
    images.tag(&ids[0], &name("app")).unwrap();
    images.tag(&ids[0], &name("app:two")).unwrap();
    assert_eq!(images.resolve("app").unwrap().image.id, ids[0]);
    assert_eq!(images.resolve("docker.io/library/app:two").unwrap().image.id, ids[0]);
    assert_eq!(images.resolve(&ids[1].to_string()).unwrap().image.id, ids[1]);
    assert_eq!(images.resolve(&ids[1].short()).unwrap().image.id, ids[1]);
    assert_eq!(images.resolve("nope").unwrap_err().to_string(), "No such image: nope:latest");
    // With forty images some share their first digit.
    let first = |id: &skiff_model::digest::Digest| id.hex()[..1].to_owned();
    let shared = ids.iter().find(|id| ids.iter().filter(|o| first(o) == first(id)).count() > 1);
    let error = images.resolve(&first(shared.unwrap())).unwrap_err();
    assert!(matches!(error, StoreError::Ambiguous(_)), "{error}");
    assert_eq!(images.untag(&name("app")).unwrap(), Untagged::Named(ids[0]));
    assert_eq!(images.untag(&name("app:two")).unwrap(), Untagged::Nameless(ids[0]));
    assert!(images.untag(&name("app")).is_err());
    // Everything is there again after a restart.
    let again = Store::open(&test.root(), Pins::default).unwrap();
    assert_eq!(again.images().list().len(), 40);
    again.wait_for_trash();
}

#[test]
fn a_removed_image_goes_unless_something_holds_it() {
    let (test, pins) = pinned();
    let store = &test.store;
    let a = import(store, b"a", &[name("a")]);
    let chain = store.images().get(&a).unwrap().image.chain_ids()[0];
    let b = store
        .reconfigure(
            &a,
            ImageConfig { author: "b".into(), ..ImageConfig::default() },
            History::default(),
            &[name("b")],
        )
        .unwrap();
    assert_eq!(store.usage().unwrap().images[0].shared_size, 1);
    assert_eq!(store.images().remove(&a).unwrap(), [name("a")]);
    let gone = store.collect().unwrap();
    assert_eq!((gone.blobs, gone.layers), (vec![a], vec![]));
    store.images().remove(&b).unwrap();
    *pins.lock().unwrap() = Pins { images: vec![b], layers: vec![chain] };
    assert_eq!(store.collect().unwrap(), skiff_store::Collected::default());
    let lease = store.lease();
    lease.layer(&chain);
    *pins.lock().unwrap() = Pins::default();
    assert_eq!(store.collect().unwrap().layers, []);
    drop(lease);
    assert_eq!(store.collect().unwrap().layers, [chain]);
    assert!(!store.snapshots().exists(&chain));
}

/// While a load has given its layer a name and not yet recorded its image, others find the layer,
/// and may record the image, make a container of it and remove the image again.
#[test]
fn a_load_that_fails_takes_nothing_back_that_a_container_uses() {
    let source = TestStore::new();
    let id = import(&source.store, b"a", &[name("a")]);
    let image = source.store.images().get(&id).unwrap().image;
    let mut archive = Vec::new();
    source.store.save(&[SaveImage { id, names: vec![name("a")] }], &mut archive).unwrap();
    let (test, pins) = pinned();
    // In the way of the image table's new version.
    std::fs::create_dir(test.root().join("images.new")).unwrap();
    let used = Pins { images: vec![id], layers: image.chain_ids() };
    for (pinned, left) in [(used, 1), (Pins::default(), 0)] {
        *pins.lock().unwrap() = pinned;
        test.load(&archive).unwrap_err();
        assert!(test.store.images().list().is_empty());
        assert_eq!(test.store.snapshots().list().unwrap().len(), left);
        assert_eq!(test.store.content().list().unwrap().len(), left);
        test.store.collect().unwrap();
        assert_eq!(test.store.snapshots().list().unwrap().len(), left);
        *pins.lock().unwrap() = Pins::default();
        test.store.collect().unwrap();
    }
}

#[test]
fn a_container_that_is_made_while_its_image_is_removed_keeps_its_layers() {
    let (test, pins) = pinned();
    let store = &test.store;
    for round in 0..100_u8 {
        let id = import(store, &[round], &[]);
        let image = store.images().get(&id).unwrap().image;
        let top = image.chain_ids()[0];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let lease = store.lease();
                image.blobs().for_each(|blob| lease.blob(&blob));
                lease.layer(&top);
                if store.images().get(&id).is_some() {
                    *pins.lock().unwrap() = Pins { images: vec![id], layers: vec![top] };
                    drop(lease);
                    std::thread::yield_now();
                    assert!(store.snapshots().exists(&top) && store.content().exists(&id));
                }
            });
            scope.spawn(|| {
                store.images().remove(&id).unwrap();
                store.collect_image(&image).unwrap();
            });
        });
        let used = std::mem::take(&mut *pins.lock().unwrap());
        assert!(used.layers.is_empty() || store.snapshots().exists(&top));
        store.collect().unwrap();
        assert!(!store.snapshots().exists(&top));
    }
}

#[test]
fn what_an_interrupted_process_left_is_swept() {
    let test = TestStore::new();
    let id = import(&test.store, b"a", &[]);
    let root = test.root();
    std::fs::write(root.join("content/ingest/half"), "half").unwrap();
    std::fs::create_dir_all(root.join("snapshots/.new-x/fs/d")).unwrap();
    std::fs::create_dir_all(root.join("snapshots").join("ab".repeat(32)).join("fs")).unwrap();
    std::fs::create_dir_all(root.join("trash/old/d")).unwrap();
    let again = Store::open(&root, Pins::default).unwrap();
    again.wait_for_trash();
    assert_eq!(crate::support::leftovers(&root), [""; 0]);
    assert_eq!(std::fs::read_dir(root.join("snapshots")).unwrap().count(), 1);
    assert!(again.verify().unwrap().is_empty() && again.images().get(&id).is_some());
}

#[test]
fn deleting_and_loading_at_once_never_loses_a_referenced_blob() {
    let source = TestStore::new();
    let base = import(&source.store, &[9; 3000], &[]);
    let names: Vec<Reference> = (0..3).map(|n| name(&format!("image{n}"))).collect();
    let archives: Vec<Vec<u8>> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            // All share the base layer, each has a config of its own.
            let author = format!("author {index}");
            let config = ImageConfig { author, ..ImageConfig::default() };
            let names = [name.clone()];
            let id = source.store.reconfigure(&base, config, History::default(), &names).unwrap();
            let mut archive = Vec::new();
            let save = SaveImage { id, names: names.to_vec() };
            source.store.save(&[save], &mut archive).unwrap();
            archive
        })
        .collect();
    let test = TestStore::new();
    let store = &test.store;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loaders: Vec<_> = archives
            .iter()
            .map(|archive| {
                scope.spawn(|| {
                    for _ in 0..40 {
                        let loaded = store.load(&mut &archive[..], None, &|_| {}).unwrap();
                        let id = loaded[0].id;
                        // Named and therefore whole, whatever the others do.
                        let config = store.config(&id).unwrap();
                        let paths = store.snapshots().chain(&config.rootfs.diff_ids).unwrap();
                        assert_eq!(std::fs::read(paths[0].join("f")).unwrap(), [9; 3000]);
                        assert!(store.content().exists(&id));
                        store.images().remove(&id).unwrap();
                    }
                })
            })
            .collect();
        let collector = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                store.collect().unwrap();
            }
        });
        let results: Vec<_> = loaders.into_iter().map(|loader| loader.join()).collect();
        stop.store(true, Ordering::Relaxed);
        collector.join().unwrap();
        results.into_iter().for_each(|result| result.unwrap());
    });
    store.collect().unwrap();
    store.wait_for_trash();
    assert!(store.content().list().unwrap().is_empty());
    assert!(store.snapshots().list().unwrap().is_empty());
    assert_eq!(crate::support::leftovers(&test.root()), [""; 0]);
}
