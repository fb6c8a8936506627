//! Images on a real store: their names, and what goes with them.

use std::sync::Arc;

use skiff_api::ImageDeleteItem;
use skiff_store::tar::writer::Writer;
use skiff_store::tar::{Entry, Kind as EntryKind};

use super::*;
use crate::error::Kind;
use crate::testing::{TempDir, core};
use crate::volume::VolumeTable;

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, content) in files {
        let path = path.as_bytes().to_vec();
        if let Some(path) = path.strip_suffix(b"/") {
            let (path, kind) = (path.to_vec(), EntryKind::Directory);
            writer.entry(&Entry { path, kind, mode: 0o755, ..Entry::default() }).unwrap();
        } else {
            writer
                .file(&Entry { path, mode: 0o644, ..Entry::default() }, content.as_bytes())
                .unwrap();
        }
    }
    writer.finish().unwrap()
}

fn images(directory: &TempDir) -> Images {
    Images(core(directory))
}

fn import(images: &Images, name: &str, content: &str) -> String {
    let request = ImportRequest {
        repository: name.to_owned(),
        changes: vec!["CMD [\"sh\"]".to_owned(), format!("LABEL of={content}")],
        source: "-".to_owned(),
        ..ImportRequest::default()
    };
    images.import(&mut &archive(&[("file", content)])[..], &request).unwrap()
}

fn words(items: &[ImageDeleteItem]) -> Vec<String> {
    let word = |item: &ImageDeleteItem| match (&*item.untagged, &*item.deleted) {
        ("", digest) => format!("deleted {}", &digest[..9]),
        (name, _) => format!("untagged {name}"),
    };
    items.iter().map(word).collect()
}

fn filters(list: &[(&str, &str)]) -> Filters {
    let mut filters = Filters::default();
    for (key, value) in list {
        filters.add(*key, *value);
    }
    filters
}

fn tags(images: &Images, list: &[(&str, &str)]) -> Vec<String> {
    let options = ListOptions { filters: filters(list), ..ListOptions::default() };
    let found = images.list(&options).unwrap();
    let mut tags: Vec<String> = found
        .into_iter()
        .flat_map(|image| match image.repo_tags.is_empty() {
            true => vec!["<none>".to_owned()],
            false => image.repo_tags.into_vec(),
        })
        .collect();
    tags.sort();
    tags
}

#[test]
fn an_imported_image_can_be_looked_at() {
    let directory = TempDir::new();
    let images = images(&directory);
    let id = import(&images, "mine", "one");
    for name in ["mine", "mine:latest", "docker.io/library/mine", &id, &id[7..], &id[7..19]] {
        assert_eq!(images.inspect(name, None).unwrap().id, id, "{name}");
    }
    let found = images.inspect("mine", Some("linux")).unwrap();
    assert_eq!(found.repo_tags.to_vec(), ["mine:latest"]);
    assert_eq!(found.comment.as_deref(), Some("Imported from -"));
    let config = found.config.unwrap();
    assert_eq!(config.cmd.to_vec(), ["sh"]);
    assert_eq!((found.size, found.root_fs.layers.len()), (3, 1));
    let history = images.history("mine", None).unwrap();
    assert_eq!((history.len(), history[0].size, &*history[0].id), (1, 3, &*id));
    assert_eq!(tags(&images, &[("label", "of=one")]), ["mine:latest"]);
    assert_eq!(tags(&images, &[("label", "of=two")]), [""; 0]);
}

#[test]
fn what_does_not_exist_has_dockers_words() {
    let directory = TempDir::new();
    let images = images(&directory);
    import(&images, "mine", "one");
    for (name, platform, kind, expect) in [
        ("nope", None, Kind::NotFound, "No such image: nope:latest"),
        ("nope:1", None, Kind::NotFound, "No such image: nope:1"),
        (
            "UPPER",
            None,
            Kind::InvalidArgument,
            "invalid reference format: repository name (library/UPPER) must be lowercase",
        ),
        ("../x", None, Kind::InvalidArgument, "invalid reference format"),
        ("mine", Some("a/b/c/d"), Kind::InvalidArgument, ""),
        (
            "mine",
            Some("linux/s390x"),
            Kind::NotFound,
            "image with reference mine was found but does not provide the specified platform (linux/s390x)",
        ),
    ] {
        let error = images.inspect(name, platform).unwrap_err();
        assert_eq!(error.kind(), kind, "{name} {error}");
        assert!(expect.is_empty() || error.to_string() == expect, "{name}: {error}");
    }
    assert_eq!(images.pull("x").unwrap_err().kind(), Kind::NotImplemented);
}

#[test]
fn the_last_name_takes_the_image_with_it() {
    let directory = TempDir::new();
    let images = images(&directory);
    let id = import(&images, "a", "one");
    images.tag("a", "b", "2").unwrap();
    let none = RemoveOptions::default();
    assert_eq!(words(&images.remove("a", none).unwrap()), ["untagged a:latest"]);
    let gone = words(&images.remove("b:2", none).unwrap());
    assert_eq!(gone[..2], ["untagged b:2".to_owned(), format!("deleted {}", &id[..9])]);
    assert_eq!(gone.len(), 3, "the layer goes, too: {gone:?}");
    assert_eq!(images.0.store.snapshots().list().unwrap(), []);
    assert_eq!(images.0.store.content().list().unwrap(), []);
}

#[test]
fn a_name_that_could_be_the_images_id_is_a_name() {
    let directory = TempDir::new();
    let images = images(&directory);
    let id = import(&images, "other", "one");
    let name = &id["sha256:".len()..][..1];
    images.tag("other", name, "").unwrap();
    let none = RemoveOptions::default();
    assert_eq!(words(&images.remove(name, none).unwrap()), [format!("untagged {name}:latest")]);
    assert_eq!(tags(&images, &[]), ["other:latest"]);
}

#[test]
fn an_id_with_names_in_two_repositories_must_be_forced() {
    let directory = TempDir::new();
    let images = images(&directory);
    let id = import(&images, "a", "one");
    images.tag("a", "b", "").unwrap();
    let error = images.remove(&id, RemoveOptions::default()).unwrap_err();
    let short = &id[7..19];
    assert_eq!(
        error.to_string(),
        format!(
            "conflict: unable to delete {short} (must be forced) - image is referenced in multiple \
             repositories"
        )
    );
    let forced = RemoveOptions { force: true, ..RemoveOptions::default() };
    let gone = words(&images.remove(short, forced).unwrap());
    assert_eq!(gone[..2], ["untagged a:latest", "untagged b:latest"]);
    assert_eq!(tags(&images, &[]), [""; 0]);
}

#[test]
fn pruning_takes_what_has_no_name() {
    let directory = TempDir::new();
    let images = images(&directory);
    import(&images, "a", "one");
    import(&images, "", "untagged");
    import(&images, "b", "two");
    assert_eq!(tags(&images, &[("dangling", "true")]), ["<none>"]);
    let report = images.prune(&Filters::default()).unwrap();
    assert_eq!(report.images_deleted.len(), 2, "image and layer");
    assert!(report.space_reclaimed >= 8);
    assert_eq!(tags(&images, &[]), ["a:latest", "b:latest"]);
    images.prune(&filters(&[("dangling", "false"), ("label", "of=one")])).unwrap();
    assert_eq!(tags(&images, &[]), ["b:latest"]);
    assert!(images.prune(&filters(&[("nope", "1")])).is_err());
}

#[test]
fn a_saved_archive_loads_again() {
    let directory = TempDir::new();
    let images = images(&directory);
    let id = import(&images, "a:1", "one");
    images.tag("a:1", "a", "2").unwrap();
    let mut bytes = Vec::new();
    let plan = images.plan_save(&["a".to_owned()], None).unwrap();
    images.save(&plan, &mut bytes).unwrap();
    drop(plan);
    images.remove("a:1", RemoveOptions::default()).unwrap();
    images.remove("a:2", RemoveOptions::default()).unwrap();

    let mut said = Vec::new();
    images.load(&mut &bytes[..], true, None, &mut |message| said.push(message.stream)).unwrap();
    assert_eq!(said, ["Loaded image: a:1\n", "Loaded image: a:2\n"]);
    assert_eq!(images.inspect("a:2", None).unwrap().id, id);

    // By id there is no name to keep.
    let mut bytes = Vec::new();
    let plan = images.plan_save(std::slice::from_ref(&id), None).unwrap();
    images.save(&plan, &mut bytes).unwrap();
    let mut said = Vec::new();
    images.load(&mut &bytes[..], false, None, &mut |message| said.push(message)).unwrap();
    assert_eq!(said.last().unwrap().stream, format!("Loaded image ID: {id}\n"));
}

#[test]
fn a_load_that_moves_a_name_says_so() {
    let directory = TempDir::new();
    let images = images(&directory);
    import(&images, "a", "old");
    let mut bytes = Vec::new();
    images.save(&images.plan_save(&["a".to_owned()], None).unwrap(), &mut bytes).unwrap();
    let new = import(&images, "a", "new");
    let mut said = String::new();
    images.load(&mut &bytes[..], true, None, &mut |message| said += &message.stream).unwrap();
    let expect = format!(
        "The image a:latest already exists, renaming the old one with ID {new} to empty string\n\
         Loaded image: a:latest\n"
    );
    assert_eq!(said, expect);
}

#[test]
fn saving_what_is_not_there_fails_before_the_first_byte() {
    let directory = TempDir::new();
    let images = images(&directory);
    for (name, expect) in
        [("nope", "No such image: nope:latest"), ("nope:1", "reference does not exist")]
    {
        let error = images.plan_save(&[name.to_owned()], None).unwrap_err();
        assert_eq!((error.kind(), &*error.to_string()), (Kind::NotFound, expect));
    }
}

#[test]
fn garbage_is_refused_and_leaves_nothing() {
    let directory = TempDir::new();
    let images = images(&directory);
    let request = ImportRequest { repository: "a".to_owned(), ..ImportRequest::default() };
    for bytes in [&b"garbage that is no archive"[..], &[0xff; 2000], &archive(&[("../x", "y")])] {
        assert!(images.import(&mut &*bytes, &request).is_err());
        assert!(images.load(&mut &*bytes, false, None, &mut |_| {}).is_err());
    }
    assert_eq!(tags(&images, &[]), [""; 0]);
    assert_eq!(images.0.store.content().list().unwrap(), []);
}

#[test]
fn the_built_in_image_is_made_when_it_is_asked_for() {
    let directory = TempDir::new();
    let images = images(&directory);
    let found = images.inspect("skiff/hello", None).unwrap();
    assert_eq!(found.repo_tags.to_vec(), [HELLO]);
    assert_eq!(found.config.unwrap().cmd.to_vec(), ["/hello"]);
    images.remove("skiff/hello", RemoveOptions::default()).unwrap();
    assert_eq!(tags(&images, &[]), [""; 0]);
}

const HELLO: &str = hello::HELLO_IMAGE;

#[test]
fn volumes_are_made_listed_and_removed() {
    let directory = TempDir::new();
    let core: Arc<crate::Core> = core(&directory);
    let volumes = crate::volume::Volumes(core.clone());
    let request = |name: &str| skiff_api::VolumeCreateRequest {
        name: name.to_owned(),
        labels: [("a", "b".to_owned())].into_iter().collect(),
        ..Default::default()
    };
    let made = volumes.create(request("data")).unwrap();
    assert_eq!(volumes.create(request("data")).unwrap(), made);
    assert!(made.mountpoint.ends_with("/data/volumes/data/_data"), "{}", made.mountpoint);
    let anonymous = volumes.create(skiff_api::VolumeCreateRequest::default()).unwrap();
    assert_eq!(anonymous.name.len(), 64);
    let listed = volumes.list(&filters(&[("label", "a=b")])).unwrap();
    assert_eq!(listed.volumes.len(), 1);
    let report = volumes.prune(&Filters::default()).unwrap();
    assert_eq!(report.volumes_deleted.to_vec(), [anonymous.name]);
    volumes.remove("data", false).unwrap();
    let error = volumes.remove("data", false).unwrap_err();
    assert_eq!((error.kind(), &*error.to_string()), (Kind::NotFound, "get data: no such volume"));
    volumes.remove("data", true).unwrap();
    drop(VolumeTable::open(&directory.path().join("data")).unwrap());
}
