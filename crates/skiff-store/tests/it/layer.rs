//! Applying layers: whiteouts, metadata, sparse files, and writing them again.

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use skiff_store::tar::apply::{Options, Whiteouts, apply};
use skiff_store::tar::diff::{self, write_tree};
use skiff_store::tar::reader::Reader;
use skiff_store::tar::root::Root;
use skiff_store::tar::{Entry, Kind, Segment, TarError, Time};

use crate::support::{Scratch, file, run, snapshot, special, tar};

const LAYER: Options = Options {
    whiteouts: Whiteouts::Overlay,
    keep_directories: false,
    owner: None,
    ids: None,
    budget: u64::MAX,
};

fn unpack(dir: &Path, bytes: &[u8], options: Options) -> Result<(), TarError> {
    std::fs::create_dir_all(dir).unwrap();
    apply(&Root::open_path(dir).unwrap(), bytes, options).map(drop)
}

fn is_whiteout(path: &Path) -> bool {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 4];
    rustix::fs::lgetxattr(path, "trusted.overlay.opaque", &mut value) == Ok(1) && value[0] == b'y'
}

fn everything() -> Vec<u8> {
    let time = Time { seconds: 1_234_567_890, nanoseconds: 123_456_789 };
    let xattrs = vec![
        (b"security.capability".to_vec(), {
            // cap_net_raw+ep, revision 2.
            let mut value = vec![1, 0, 0, 2, 0, 0x20, 0, 0];
            value.extend([0; 12]);
            value
        }),
        (b"user.note".to_vec(), b"a\0b".to_vec()),
    ];
    tar(&[
        (Entry { mode: 0o1777, mtime: time, ..special("tmp/", Kind::Directory) }, b""),
        (Entry { uid: 1000, gid: 70_000_000, mtime: time, ..file("tmp/owned", 0o6755) }, b"x"),
        (Entry { xattrs, mtime: time, ..file("ping", 0o755) }, b"binary"),
        (Entry { link: b"ping".to_vec(), ..special("ping2", Kind::Hardlink) }, b""),
        (
            Entry {
                link: b"/etc/\xff".to_vec(),
                uid: 5,
                mtime: time,
                ..special("ln", Kind::Symlink)
            },
            b"",
        ),
        (Entry { device: (1, 3), mode: 0o666, ..special("null", Kind::Char) }, b""),
        (Entry { device: (259, 1_000_000), mode: 0o600, ..special("disk", Kind::Block) }, b""),
        (
            Entry {
                mode: 0o620,
                mtime: Time { seconds: -5, nanoseconds: 9 },
                ..special("pipe", Kind::Fifo)
            },
            b"",
        ),
        (file(&format!("{}/deep", "d".repeat(200)), 0o600), b"long"),
        (file("größe", 0o644), b"utf-8"),
    ])
}

#[test]
fn metadata_is_kept_exactly_and_written_again_the_same() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.join("a"), scratch.join("b"));
    unpack(&a, &everything(), LAYER).unwrap();
    let ping = std::fs::metadata(a.join("ping")).unwrap();
    assert_eq!((ping.nlink(), ping.mtime(), ping.mtime_nsec()), (2, 1_234_567_890, 123_456_789));
    let owned = std::fs::metadata(a.join("tmp/owned")).unwrap();
    assert_eq!((owned.uid(), owned.gid(), owned.mode() & 0o7777), (1000, 70_000_000, 0o6755));
    assert_eq!(std::fs::metadata(a.join("tmp")).unwrap().mtime_nsec(), 123_456_789);
    let null = std::fs::metadata(a.join("null")).unwrap();
    assert_eq!((null.rdev(), null.permissions().mode() & 0o777), (0x103, 0o666));
    // With the root's own entry, so that its time is kept too.
    let whole = diff::Options { include_root: true, ..diff::Options::default() };
    let again = write_tree(Root::open_path(&a).unwrap(), b"", whole, Vec::new()).unwrap();
    unpack(&b, &again, LAYER).unwrap();
    assert_eq!(snapshot(&a), snapshot(&b));
    let third = write_tree(Root::open_path(&b).unwrap(), b"", whole, Vec::new()).unwrap();
    assert!(again == third, "the same tree gives the same bytes");
}

#[test]
fn what_we_write_gnu_tar_reads() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.join("a"), scratch.join("b"));
    unpack(&a, &everything(), LAYER).unwrap();
    let archive = scratch.join("x.tar");
    let options = diff::Options { whole_seconds: false, ..diff::Options::default() };
    let bytes = write_tree(Root::open_path(&a).unwrap(), b"", options, Vec::new()).unwrap();
    std::fs::write(&archive, bytes).unwrap();
    std::fs::create_dir(&b).unwrap();
    let (archive, target) = (archive.to_str().unwrap(), b.to_str().unwrap());
    run("tar", &["--xattrs", "--xattrs-include=*", "-pxf", archive, "-C", target]);
    assert_eq!(snapshot(&a)[1..], snapshot(&b)[1..]);
}

#[test]
fn what_gnu_tar_writes_we_read() {
    let scratch = Scratch::new();
    let a = scratch.join("a");
    unpack(&a, &everything(), LAYER).unwrap();
    let sparse = std::fs::File::create(a.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 3 << 20).unwrap();
    sparse.set_len(9 << 20).unwrap();
    for (format, version) in
        [("gnu", "1.0"), ("posix", "0.0"), ("posix", "0.1"), ("posix", "1.0"), ("oldgnu", "1.0")]
    {
        // GNU formats have neither attributes nor fractions of seconds.
        let posix = format == "posix";
        let archive = scratch.join(&format!("{format}{version}.tar"));
        let b = scratch.join(&format!("b-{format}{version}"));
        let mut arguments = vec!["-S".to_owned(), format!("--sparse-version={version}")];
        arguments.push(format!("--format={format}"));
        if posix {
            arguments.extend(["--xattrs".into(), "--xattrs-include=*".into()]);
        }
        let paths = [a.to_str().unwrap(), archive.to_str().unwrap()];
        arguments.extend(["-C", paths[0], "-cf", paths[1], "."].map(str::to_owned));
        run("tar", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        unpack(&b, &std::fs::read(&archive).unwrap(), LAYER).unwrap();
        let without_times = |lines: Vec<String>| -> Vec<String> {
            let plain = |line: &String| line.contains("  ") && !line.starts_with('.');
            lines.into_iter().filter(plain).collect()
        };
        let (left, right) = (snapshot(&a), snapshot(&b));
        if posix {
            assert_eq!(left, right, "{format} {version}");
        } else {
            assert_eq!(without_times(left), without_times(right), "{format} {version}");
        }
        let blocks = std::fs::metadata(b.join("sparse")).unwrap().blocks();
        assert!(blocks < 1000, "{format} {version} is sparse: {blocks}");
    }
}

#[test]
fn sparse_files_stay_sparse_through_a_layer() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.join("a"), scratch.join("b"));
    std::fs::create_dir(&a).unwrap();
    let sparse = std::fs::File::create(a.join("hole")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, &[7; 5000], 1 << 30).unwrap();
    let bytes = write_tree(Root::open_path(&a).unwrap(), b"", diff::Options::default(), Vec::new())
        .unwrap();
    assert!(bytes.len() < 64 << 10);
    unpack(&b, &bytes, LAYER).unwrap();
    let metadata = std::fs::metadata(b.join("hole")).unwrap();
    assert_eq!(metadata.len(), 1 << 40);
    assert!(metadata.blocks() < 1000);
    let opened = std::fs::File::open(b.join("hole")).unwrap();
    let mut read = [0; 5002];
    std::os::unix::fs::FileExt::read_exact_at(&opened, &mut read, (1 << 30) - 1).unwrap();
    assert_eq!((read[0], read[1], read[5000], read[5001]), (0, 7, 7, 0));
}

#[test]
fn whiteouts_become_overlays_and_come_back() {
    let scratch = Scratch::new();
    let a = scratch.join("a");
    let bytes = tar(&[
        (special("d/", Kind::Directory), b""),
        (file("d/.wh..wh..opq", 0o600), b""),
        (file("d/.wh.gone", 0o600), b""),
        (file(".wh.top", 0o600), b""),
        (file(".wh..wh.plnk/1.2", 0o600), b"aufs"),
        (file(".wh..wh.aufs", 0o600), b""),
        (file("d/kept", 0o600), b"k"),
    ]);
    unpack(&a, &bytes, LAYER).unwrap();
    assert!(is_opaque(&a.join("d")));
    assert!(is_whiteout(&a.join("d/gone")) && is_whiteout(&a.join("top")));
    assert!(!a.join(".wh..wh.plnk").exists() && !a.join(".wh..wh.aufs").exists());
    let options = diff::Options { layer: true, ..diff::Options::default() };
    let again = write_tree(Root::open_path(&a).unwrap(), b"", options, Vec::new()).unwrap();
    let mut reader = Reader::new(&again[..]);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(String::from_utf8(entry.path).unwrap());
    }
    assert_eq!(names, ["d/", "d/.wh..wh..opq", "d/.wh.gone", "d/kept", ".wh.top"]);
}

#[test]
fn a_whiteout_and_its_replacement_may_come_in_any_order() {
    let check = |entries: &[(Entry, &[u8])]| {
        let scratch = Scratch::new();
        let a = scratch.join("a");
        unpack(&a, &tar(entries), LAYER).unwrap();
        let metadata = std::fs::symlink_metadata(a.join("x")).unwrap();
        (metadata.is_dir(), is_opaque(&a.join("x")))
    };
    let (whiteout, plain, dir) =
        (file(".wh.x", 0o600), file("x", 0o600), special("x/", Kind::Directory));
    assert_eq!(check(&[(whiteout.clone(), b""), (plain.clone(), b"1")]), (false, false));
    assert_eq!(check(&[(plain, b"1"), (whiteout.clone(), b"")]), (false, false));
    assert_eq!(check(&[(whiteout.clone(), b""), (dir.clone(), b"")]), (true, true));
    assert_eq!(check(&[(dir, b""), (whiteout, b"")]), (true, true));
}

#[test]
fn overlay_attributes_of_an_image_are_dropped() {
    let scratch = Scratch::new();
    let a = scratch.join("a");
    let xattrs = vec![
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()),
        (b"user.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"user.kept".to_vec(), b"1".to_vec()),
    ];
    let bytes = tar(&[(Entry { xattrs, ..special("d/", Kind::Directory) }, b"")]);
    unpack(&a, &bytes, LAYER).unwrap();
    let mut list = [0; 256];
    let length = rustix::fs::llistxattr(a.join("d"), &mut list).unwrap();
    assert_eq!(&list[..length], b"user.kept\0");
}

#[test]
fn directories_are_kept_when_asked() {
    let scratch = Scratch::new();
    let a = scratch.join("a");
    let keep = Options { keep_directories: true, ..Options::default() };
    unpack(
        &a,
        &tar(&[(special("d/", Kind::Directory), b""), (file("f", 0o600), b"")]),
        keep.clone(),
    )
    .unwrap();
    let over_dir = unpack(&a, &tar(&[(file("d", 0o600), b"")]), keep.clone()).unwrap_err();
    assert!(matches!(over_dir, TarError::DirectoryInTheWay(_)), "{over_dir}");
    let over_file =
        unpack(&a, &tar(&[(special("f/", Kind::Directory), b"")]), keep.clone()).unwrap_err();
    assert!(matches!(over_file, TarError::NonDirectoryInTheWay(_)), "{over_file}");
}

#[test]
fn sparse_segments_of_an_entry_are_written_where_they_belong() {
    let scratch = Scratch::new();
    let a = scratch.join("a");
    let segments = vec![
        Segment { offset: 10, length: 3 },
        Segment { offset: 100, length: 2 },
        Segment { offset: 200, length: 0 },
    ];
    let mut writer = skiff_store::tar::writer::Writer::new(Vec::new());
    let entry = Entry { size: 200, sparse: Some(segments), ..file("s", 0o600) };
    writer.entry(&entry).unwrap();
    writer.payload(b"abcde").unwrap();
    unpack(&a, &writer.finish().unwrap(), LAYER).unwrap();
    let bytes = std::fs::read(a.join("s")).unwrap();
    assert_eq!((bytes.len(), &bytes[10..13], &bytes[100..102]), (200, &b"abc"[..], &b"de"[..]));
}
