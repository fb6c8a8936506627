//! A container's files from outside: diff, sizes, export, commit, copying, volumes.

use std::io::Read;
use std::path::Path;

use serde_json::json;
use skiff_engine::Kind;
use skiff_engine::archive::PutOptions;
use skiff_engine::image::CommitRequest;
use skiff_store::tar::reader::Reader;
use skiff_store::tar::writer::Writer;
use skiff_store::tar::{Entry, Kind as EntryKind};

use crate::harness::Rig;

/// Changes of every kind, then a pause for those who look while it runs.
const CHANGES: &str = "echo new > /etc/new; echo more >> /etc/group; rm /data/from-image; \
                       mkdir /made; ln -s /etc/new /made/link; echo ready; sleep 100";

async fn changed(rig: &Rig, name: &str, runs: bool) -> String {
    let id = rig.run(name, CHANGES, json!({})).await;
    rig.until("the changes are made", |rig| {
        let log = rig.path("data/containers").join(&id).join(format!("{id}-json.log"));
        std::fs::read_to_string(log).is_ok_and(|log| log.contains("ready"))
    })
    .await;
    if !runs {
        rig.stop(name, 0).await;
    }
    id
}

fn entries(archive: &[u8]) -> Vec<(String, EntryKind, String)> {
    let mut reader = Reader::new(archive);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let mut content = String::new();
        if entry.kind == EntryKind::File && entry.size < 1000 {
            reader.payload().read_to_string(&mut content).unwrap();
        }
        entries.push((String::from_utf8(entry.path).unwrap(), entry.kind, content));
    }
    entries
}

fn content<'a>(entries: &'a [(String, EntryKind, String)], path: &str) -> Option<&'a str> {
    let matches = |found: &str| found.trim_start_matches("./").trim_end_matches('/') == path;
    entries.iter().find(|(found, ..)| matches(found)).map(|(.., content)| content.as_str())
}

fn archive_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, content) in files {
        let path = path.as_bytes().to_vec();
        writer.file(&Entry { path, mode: 0o640, ..Entry::default() }, content.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_and_sizes_are_those_of_the_writable_layer() {
    let rig = Rig::new().await;
    for (name, runs) in [("running", true), ("stopped", false)] {
        changed(&rig, name, runs).await;
        let found = rig.containers().changes(name).unwrap();
        let found: Vec<(u8, &str)> =
            found.iter().map(|item| (item.kind, item.path.as_str())).collect();
        let expect = [
            (0, "/data"),
            (2, "/data/from-image"),
            (0, "/etc"),
            (0, "/etc/group"),
            (1, "/etc/new"),
            (1, "/made"),
            (1, "/made/link"),
        ];
        assert_eq!(found, expect, "{name}");
        let size = rig.containers().size(name).unwrap();
        let image = rig.engine.images().inspect("box", None).unwrap().size;
        assert!(size.rw > 4 && size.rw < 1000, "{size:?}");
        assert_eq!(size.root_fs, image + size.rw);
        rig.remove(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_the_merged_tree() {
    let rig = Rig::new().await;
    for (name, runs) in [("running", true), ("stopped", false)] {
        changed(&rig, name, runs).await;
        let mut archive = Vec::new();
        rig.containers().export(name).unwrap().write(&mut archive).unwrap();
        let entries = entries(&archive);
        assert_eq!(content(&entries, "etc/new"), Some("new\n"), "{name}");
        assert!(content(&entries, "etc/passwd").unwrap().starts_with("root:"));
        assert_eq!(content(&entries, "data/from-image"), None);
        assert!(content(&entries, "bin/busybox").is_some());
        assert!(content(&entries, "made/link").is_some());
        rig.remove(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_an_image_with_the_changes() {
    let rig = Rig::new().await;
    let id = changed(&rig, "one", true).await;
    let request = CommitRequest {
        container: "one".to_owned(),
        repository: "mine".to_owned(),
        comment: "why".to_owned(),
        pause: true,
        changes: vec!["ENV A=b".to_owned(), "CMD cat /etc/new".to_owned()],
        ..CommitRequest::default()
    };
    let image = rig.engine.images().commit(request).await.unwrap();
    assert_eq!(rig.status("one"), "running");
    let found = rig.engine.images().inspect("mine", None).unwrap();
    let parent = rig.engine.images().inspect("box", None).unwrap();
    assert_eq!((found.id.as_str(), found.parent), (image.as_str(), Some(parent.id.clone())));
    assert_eq!(found.root_fs.layers.len(), 2);
    assert_eq!(found.config.unwrap().cmd.to_vec(), ["/bin/sh", "-c", "cat /etc/new"]);
    let history = rig.engine.images().history("mine", None).unwrap();
    let ids: Vec<&str> = history.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, [image.as_str(), parent.id.as_str()]);
    assert_eq!(history[0].comment, "why");
    rig.remove(&id).await;
    let run = json!({"Image": "mine", "Cmd": null});
    let (output, _) = rig.output("", run).await;
    assert_eq!(output, "new\n");
    // The parent has a child, so neither force nor its name's end removes it.
    let force = skiff_engine::image::RemoveOptions { force: true, no_prune: false };
    let error = rig.engine.images().remove(&parent.id, force).unwrap_err();
    assert!(error.to_string().ends_with("(cannot be forced) - image has dependent child images"));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_in_use_stay() {
    let rig = Rig::new().await;
    let id = rig.run("one", "sleep 100", json!({})).await;
    let short = &id[..12];
    let images = rig.engine.images();
    let image = images.inspect("box", None).unwrap().id;
    let hash = &image[7..19];
    let options = skiff_engine::image::RemoveOptions::default();
    let force = skiff_engine::image::RemoveOptions { force: true, no_prune: false };
    let text = |error: skiff_engine::Error| (error.kind(), error.to_string());
    let conflict = |words: String| (Kind::Conflict, format!("conflict: unable to {words}"));
    assert_eq!(
        text(images.remove("box", options).unwrap_err()),
        conflict(format!(
            "remove repository reference \"box\" (must force) - container {short} is using its \
             referenced image {hash}"
        ))
    );
    for options in [options, force] {
        assert_eq!(
            text(images.remove(&image, options).unwrap_err()),
            conflict(format!(
                "delete {hash} (cannot be forced) - image is being used by running container {short}"
            ))
        );
    }
    rig.stop("one", 0).await;
    assert_eq!(
        text(images.remove(hash, options).unwrap_err()),
        conflict(format!(
            "delete {hash} (must be forced) - image is being used by stopped container {short}"
        ))
    );
    // Forced, the name and the image go; what the container needs stays until it goes.
    images.remove("box", force).unwrap();
    assert!(images.inspect(&image, None).is_err());
    rig.start("one").await;
    rig.remove("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_copied_in_and_out() {
    let rig = Rig::new().await;
    let more = json!({"HostConfig": {"Binds": ["vol:/vol"]}});
    let put = PutOptions::default();
    rig.create("one", "sleep 100", more).await;
    let containers = rig.containers();
    for state in ["created", "running", "exited"] {
        match state {
            "running" => rig.start("one").await,
            "exited" => rig.stop("one", 0).await,
            _ => {}
        }
        assert_eq!(rig.status("one"), state);
        let archive = archive_of(&[("in", state), ("sub/deep", "x")]);
        containers.archive_put("one", "/tmp", &mut &archive[..], put).unwrap();
        let stat = containers.archive_stat("one", "/tmp/in").unwrap();
        assert_eq!((&*stat.name, stat.size, stat.mode), ("in", state.len() as i64, 0o640));
        let mut out = Vec::new();
        containers.archive_get("one", "/tmp/in").unwrap().write(&mut out).unwrap();
        assert_eq!(entries(&out), [("in".to_owned(), EntryKind::File, state.to_owned())]);
        let mut out = Vec::new();
        let get = containers.archive_get("one", "/tmp/sub").unwrap();
        assert_eq!((&*get.stat().name, get.stat().mode), ("sub", 1 << 31 | 0o755));
        get.write(&mut out).unwrap();
        let paths: Vec<String> = entries(&out).into_iter().map(|(path, ..)| path).collect();
        assert_eq!(paths, ["sub/", "sub/deep"]);
        // The container never ran: its layer has no mount point for the volume.
        if state == "created" {
            continue;
        }
        containers.archive_put("one", "/vol", &mut &archive[..], put).unwrap();
        let volume = rig.path("data/volumes/vol/_data/in");
        assert_eq!(std::fs::read_to_string(volume).unwrap(), state);
        assert_eq!(containers.archive_stat("one", "/vol/in").unwrap().size, state.len() as i64);
    }
    // The layer is as good as before.
    rig.start("one").await;
    rig.remove("one").await;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(rig.path("").to_str().unwrap()), "{mounts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_paths_and_archives_get_dockers_answers() {
    let rig = Rig::new().await;
    let script =
        "ln -s /etc/passwd /tmp/link; ln -s ../../../../../etc /tmp/up; echo ready; sleep 100";
    let id = rig.run("one", script, json!({})).await;
    rig.until("the links are made", |rig| rig.containers().archive_stat("one", "/tmp/up").is_ok())
        .await;
    let containers = rig.containers();
    let good = archive_of(&[("file", "x")]);
    for stopped in [false, true] {
        if stopped {
            rig.stop("one", 0).await;
        }
        let link = containers.archive_stat("one", "/tmp/link").unwrap();
        assert_eq!((&*link.link_target, link.mode), ("/etc/passwd", 1 << 27 | 0o777));
        assert_eq!(containers.archive_stat("one", "/tmp/up").unwrap().link_target, "/etc");
        // The container's own file, not the host's.
        let through = containers.archive_stat("one", "/tmp/up/passwd").unwrap();
        assert_ne!(through.size, std::fs::metadata("/etc/passwd").unwrap().len() as i64);
        for (path, kind, text) in [
            ("", Kind::InvalidArgument, "bad parameter: path cannot be empty"),
            ("/nope", Kind::NotFound, "Could not find the file /nope in container one"),
            ("/nope/x", Kind::NotFound, "Could not find the file /nope/x in container one"),
            ("/etc/passwd", Kind::InvalidArgument, "extraction point is not a directory"),
        ] {
            let put = PutOptions::default();
            let error = containers.archive_put("one", path, &mut &good[..], put).unwrap_err();
            assert_eq!((error.kind(), &*error.to_string()), (kind, text), "{path}");
        }
        let garbage = [1; 1024];
        for (bytes, text) in [
            (&garbage[..], "archive/tar: invalid tar header"),
            (&good[..512], "unexpected EOF"),
            (&archive_of(&[("../x", "y")])[..], "invalid entry name \"../x\""),
        ] {
            let put = PutOptions::default();
            let error = containers.archive_put("one", "/tmp", &mut &bytes[..], put).unwrap_err();
            assert_eq!((error.kind(), &*error.to_string()), (Kind::Internal, text));
        }
        let keep = PutOptions { no_overwrite_dir_non_dir: true, copy_uid_gid: false };
        let clash = archive_of(&[("bin", "x")]);
        let error = containers.archive_put("one", "/", &mut &clash[..], keep).unwrap_err();
        assert!(error.to_string().starts_with("cannot overwrite directory \"bin\""), "{error}");
    }
    assert!(rig.containers().archive_stat("nope", "/").unwrap_err().kind() == Kind::NotFound);
    rig.remove(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_places_are_not_written_to() {
    let rig = Rig::new().await;
    let host = json!({"ReadonlyRootfs": true, "Binds": ["ro:/ro:ro", "rw:/rw"]});
    rig.run("one", "sleep 100", json!({"HostConfig": host})).await;
    let archive = archive_of(&[("file", "x")]);
    for stopped in [false, true] {
        if stopped {
            rig.stop("one", 0).await;
        }
        for (path, expect) in [
            ("/etc", Some("container rootfs is marked read-only")),
            ("/ro", Some("container rootfs is marked read-only")),
            ("/rw", None),
        ] {
            let put = PutOptions::default();
            let error = rig.containers().archive_put("one", path, &mut &archive[..], put).err();
            let words = error.map(|error| (error.kind(), error.to_string()));
            let expect = expect.map(|words| (Kind::Forbidden, words.to_owned()));
            assert_eq!(words, expect, "{path} {stopped}");
        }
    }
    rig.remove("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_that_move_never_lead_out_of_the_container() {
    let rig = Rig::new().await;
    let decoy = rig.path("decoy");
    std::fs::create_dir(&decoy).unwrap();
    std::fs::write(decoy.join("secret"), "host").unwrap();
    let target = decoy.to_str().unwrap();
    let script = format!(
        "mkdir -p /swap/dir; ln -s {target} /swap/link; echo in > /swap/dir/secret; echo ready; \
         while :; do mv /swap/dir /swap/x; mv /swap/link /swap/dir; mv /swap/dir /swap/link; \
         mv /swap/x /swap/dir; done"
    );
    rig.run("one", &script, json!({})).await;
    rig.until("it swaps", |rig| rig.containers().archive_stat("one", "/swap/dir").is_ok()).await;
    let archive = archive_of(&[("secret", "overwritten"), ("made", "x")]);
    let containers = rig.containers();
    tokio::task::spawn_blocking(move || {
        for _ in 0..300 {
            let put = PutOptions::default();
            // Refusals are fine; what counts is where nothing happened.
            drop(containers.archive_put("one", "/swap/dir", &mut &archive[..], put));
            let mut out = Vec::new();
            if let Ok(get) = containers.archive_get("one", "/swap/dir/secret") {
                drop(get.write(&mut out));
            }
            assert!(!String::from_utf8_lossy(&out).contains("host"));
        }
    })
    .await
    .unwrap();
    assert_eq!(std::fs::read_to_string(decoy.join("secret")).unwrap(), "host");
    assert_eq!(std::fs::read_dir(&decoy).unwrap().count(), 1);
    rig.remove("one").await;
}

fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_filled_from_the_image_and_go_with_their_container() {
    let rig = Rig::new().await;
    let more = json!({"Volumes": {"/data": {}}, "HostConfig": {"Binds": ["named:/etc"]}});
    rig.create("one", "cat /data/from-image; cat /etc/group > /dev/null && echo ok", more).await;
    let volumes = rig.engine.volumes();
    let listed = volumes.list(&skiff_api::filters::Filters::default()).unwrap().volumes;
    assert_eq!(listed.len(), 2);
    assert_eq!(names(&rig.path("data/volumes/named/_data")).len(), 2);
    let anonymous = listed.iter().find(|volume| volume.name != "named").unwrap();
    assert_eq!(names(Path::new(&anonymous.mountpoint)), ["from-image"]);
    let error = volumes.remove("named", true).unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.to_string().starts_with("remove named: volume is in use - ["), "{error}");
    rig.remove("one").await;
    let listed = volumes.list(&skiff_api::filters::Filters::default()).unwrap().volumes;
    assert_eq!(listed.iter().map(|volume| &*volume.name).collect::<Vec<_>>(), ["named"]);
    volumes.remove("named", false).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_with_options_is_mounted_for_its_container() {
    let rig = Rig::new().await;
    let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,mode=0750")];
    let request = skiff_api::VolumeCreateRequest {
        name: "memory".to_owned(),
        driver_opts: options.map(|(name, value)| (name, value.to_owned())).into_iter().collect(),
        ..Default::default()
    };
    rig.engine.volumes().create(request).unwrap();
    let more = json!({"HostConfig": {"Binds": ["memory:/memory"]}});
    let (output, _) = rig.output("grep ' /memory ' /proc/mounts; stat -c %a /memory", more).await;
    assert!(output.contains(" tmpfs "), "{output}");
    assert!(output.ends_with("750\n"), "{output}");
    rig.engine.volumes().remove("memory", false).unwrap();
    assert_eq!(names(&rig.path("data/volumes")), [""; 0]);
}
