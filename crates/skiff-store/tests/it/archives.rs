//! Archives of other tools: docker 20.10, skopeo, umoci, buildah, each loaded, run through the
//! store and read again by another.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use skiff_model::image::{History, ImageConfig};
use skiff_model::reference::Reference;
use skiff_store::archive::SaveImage;

use crate::support::{Scratch, TestStore, leftovers, run};

/// A root file system of a static busybox with some links.
fn rootfs(scratch: &Scratch) -> PathBuf {
    let tree = scratch.join("rootfs");
    std::fs::create_dir_all(tree.join("bin")).unwrap();
    std::fs::create_dir_all(tree.join("etc")).unwrap();
    std::fs::copy("/bin/busybox", tree.join("bin/busybox")).unwrap();
    std::fs::hard_link(tree.join("bin/busybox"), tree.join("bin/sh")).unwrap();
    std::os::unix::fs::symlink("busybox", tree.join("bin/ls")).unwrap();
    std::fs::write(tree.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    let archive = scratch.join("rootfs.tar");
    run("tar", &["-C", tree.to_str().unwrap(), "-cf", archive.to_str().unwrap(), "."]);
    archive
}

/// Our own archive of that root file system, and the image's id.
fn ours(scratch: &Scratch) -> (PathBuf, String) {
    let source = TestStore::new();
    let config = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        created: Some("2024-05-06T07:08:09Z".into()),
        ..ImageConfig::default()
    };
    let names = vec![Reference::parse_normalized("skiff/test:one").unwrap()];
    let mut tar = std::fs::File::open(rootfs(scratch)).unwrap();
    let id = source.store.import(&mut tar, config, History::default(), &names).unwrap();
    let path = scratch.join("ours.tar");
    let mut out = std::fs::File::create(&path).unwrap();
    source.store.save(&[SaveImage { id, names }], &mut out).unwrap();
    (path, id.to_string())
}

/// Loads an archive and checks that what it holds is the root file system.
fn check_loads(archive: &Path, expect_name: Option<&str>) -> String {
    let store = TestStore::new();
    let mut file = std::fs::File::open(archive).unwrap();
    let loaded = store.store.load(&mut file, None, &|_| {}).unwrap();
    assert_eq!(loaded.len(), 1, "{archive:?}");
    let names: Vec<String> = loaded[0].names.iter().map(Reference::familiar).collect();
    assert_eq!(names.first().map(String::as_str), expect_name, "{archive:?}");
    let named = store.store.images().get(&loaded[0].id).unwrap();
    let config = store.store.config(&loaded[0].id).unwrap();
    let lowers = store.store.snapshots().chain(&config.rootfs.diff_ids).unwrap();
    assert!(!lowers.is_empty());
    assert!(lowers.iter().any(|lower| {
        let shell = lower.join("bin/sh");
        std::fs::read(&shell).is_ok_and(|bytes| bytes == std::fs::read("/bin/busybox").unwrap())
    }));
    assert!(store.store.verify().unwrap().is_empty());
    assert_eq!(leftovers(&store.root()), [""; 0]);
    // Written again, it is the same image, with compressed layers as they came.
    let mut again = Vec::new();
    let save = SaveImage { id: loaded[0].id, names: loaded[0].names.clone() };
    store.store.save(&[save], &mut again).unwrap();
    let second = TestStore::new();
    assert_eq!(second.load(&again).unwrap(), loaded);
    for layer in &named.image.layers {
        let blob = store.store.content().path(&layer.digest);
        if blob.exists() {
            let copy = second.store.content().path(&layer.digest);
            assert!(std::fs::read(blob).unwrap() == std::fs::read(copy).unwrap());
        }
    }
    loaded[0].id.to_string()
}

#[test]
fn archives_of_skopeo_load_in_both_formats_and_skopeo_reads_ours() {
    let scratch = Scratch::new();
    let (ours, id) = ours(&scratch);
    assert_eq!(check_loads(&ours, Some("skiff/test:one")), id);
    let from = format!("docker-archive:{}", ours.display());
    let docker = scratch.join("skopeo-docker.tar");
    let to = format!("docker-archive:{}:skiff/test:two", docker.display());
    run("skopeo", &["--insecure-policy", "copy", "-q", &from, &to]);
    check_loads(&docker, Some("skiff/test:two"));
    let oci = scratch.join("skopeo-oci.tar");
    let to = format!("oci-archive:{}:skiff/test:three", oci.display());
    run("skopeo", &["--insecure-policy", "copy", "-q", &from, &to]);
    check_loads(&oci, Some("skiff/test:three"));
    // And the layout half of our own archive.
    let from = format!("oci-archive:{}", ours.display());
    let to = format!("dir:{}", scratch.join("dir").display());
    run("skopeo", &["--insecure-policy", "copy", "-q", &from, &to]);
    for compression in ["gzip", "zstd"] {
        let plain = std::fs::read(&oci).unwrap();
        let path = scratch.join(compression);
        let bytes = if compression == "gzip" {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut out, &plain).unwrap();
            out.finish().unwrap()
        } else {
            zstd::encode_all(&plain[..], 1).unwrap()
        };
        std::fs::write(&path, bytes).unwrap();
        check_loads(&path, Some("skiff/test:three"));
    }
}

#[test]
fn layouts_of_umoci_load() {
    let scratch = Scratch::new();
    let (ours, _) = ours(&scratch);
    let layout = scratch.join("layout");
    let from = format!("docker-archive:{}", ours.display());
    let to = format!("oci:{}:latest", layout.display());
    run("skopeo", &["--insecure-policy", "copy", "-q", &from, &to]);
    let image = format!("{}:latest", layout.display());
    run("umoci", &["config", "--image", &image, "--config.cmd", "/bin/sh"]);
    let added = scratch.join("added");
    std::fs::write(&added, "by umoci").unwrap();
    run("umoci", &["insert", "--image", &image, added.to_str().unwrap(), "/etc/added"]);
    let archive = scratch.join("umoci.tar");
    let (layout, target) = (layout.to_str().unwrap(), archive.to_str().unwrap());
    run("tar", &["-C", layout, "-cf", target, "."]);
    // A tag alone names no repository.
    check_loads(&archive, None);
}

#[test]
fn archives_of_buildah_load() {
    let scratch = Scratch::new();
    let (ours, _) = ours(&scratch);
    let (storage, runroot) = (scratch.join("storage"), scratch.join("run"));
    let storage = ["--root", storage.to_str().unwrap(), "--runroot", runroot.to_str().unwrap()];
    let buildah = |arguments: &[&str]| {
        let all = [&storage[..], &["--storage-driver", "vfs"], arguments].concat();
        String::from_utf8(run("buildah", &all)).unwrap().trim().to_owned()
    };
    let pulled = buildah(&["pull", "-q", &format!("docker-archive:{}", ours.display())]);
    let container = buildah(&["from", "--pull-never", &pulled]);
    let added = scratch.join("added");
    std::fs::write(&added, "by buildah").unwrap();
    buildah(&["copy", "-q", &container, added.to_str().unwrap(), "/etc/added"]);
    buildah(&["commit", "-q", &container, "skiff/buildah:x"]);
    for (kind, file) in [("docker-archive", "d.tar"), ("oci-archive", "o.tar")] {
        let target = scratch.join(file);
        let to = format!("{kind}:{}:skiff/buildah:x", target.display());
        buildah(&["push", "-q", "skiff/buildah:x", &to]);
        check_loads(&target, Some("skiff/buildah:x"));
    }
    buildah(&["rm", "-a"]);
}

/// A docker daemon of its own.
struct Dockerd {
    child: Child,
    host: String,
    _scratch: Scratch,
}

impl Dockerd {
    fn start() -> Self {
        let scratch = Scratch::new();
        let path = |name: &str| scratch.join(name).to_str().unwrap().to_owned();
        let host = format!("unix://{}", path("sock"));
        let child = Command::new("dockerd")
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "-H", &host])
            .args(["--iptables=false", "--bridge=none", "--storage-driver", "overlay2"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let this = Self { child, host, _scratch: scratch };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
        while !this.command(&["version"]).output().unwrap().status.success() {
            assert!(std::time::Instant::now() < deadline, "dockerd did not start");
            std::thread::yield_now();
        }
        this
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", &self.host).args(arguments);
        command
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
        // 20.10 leaves its own bind mount behind.
        let data = self._scratch.join("data");
        for mount in [data.join("overlay2"), data] {
            let _ = rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

#[test]
fn docker_and_we_read_each_others_archives_and_agree_on_changes() {
    let scratch = Scratch::new();
    let (ours, id) = ours(&scratch);
    let docker = Dockerd::start();
    docker.docker(&["load", "-q", "-i", ours.to_str().unwrap()]);
    assert_eq!(docker.docker(&["image", "inspect", "-f", "{{.Id}}", "skiff/test:one"]), id);
    let saved = scratch.join("docker.tar");
    docker.docker(&["save", "-o", saved.to_str().unwrap(), "skiff/test:one"]);
    assert_eq!(check_loads(&saved, Some("skiff/test:one")), id);
    // A second layer that replaces and deletes, made by docker.
    let script = "rm /etc/passwd; mkdir /etc/new; echo x >/etc/new/f; rm -r /bin/ls; echo y >/top";
    docker.docker(&[
        "run",
        "--name",
        "changed",
        "--network=none",
        "skiff/test:one",
        "/bin/sh",
        "-c",
        script,
    ]);
    docker.docker(&["commit", "changed", "skiff/test:two"]);
    docker.docker(&["save", "-o", saved.to_str().unwrap(), "skiff/test:two", "skiff/test:one"]);
    let store = TestStore::new();
    let mut file = std::fs::File::open(&saved).unwrap();
    let loaded = store.store.load(&mut file, None, &|_| {}).unwrap();
    assert_eq!(loaded.len(), 2);
    let two = store.store.images().resolve("skiff/test:two").unwrap();
    let lowers = store.store.snapshots().chain(&two.image.diff_ids).unwrap();
    let view = store.store.snapshots().mount_detached(&lowers, None).unwrap();
    let see =
        |path: &str| rustix::fs::statat(&view, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).is_ok();
    assert!(see("top") && see("etc/new/f") && see("bin/sh"));
    assert!(!see("etc/passwd") && !see("bin/ls"));
    // What docker calls changed is what we call changed.
    let roots: Vec<_> = lowers
        .iter()
        .map(|lower| skiff_store::tar::root::Root::open_path(lower).unwrap())
        .collect();
    let changes = skiff_store::tar::changes::changes(&roots[0], &roots[1..]).unwrap();
    let letter = |kind| match kind {
        skiff_store::tar::changes::ChangeKind::Modified => 'C',
        skiff_store::tar::changes::ChangeKind::Added => 'A',
        skiff_store::tar::changes::ChangeKind::Deleted => 'D',
    };
    let mut here: Vec<String> = changes
        .iter()
        .map(|change| format!("{} {}", letter(change.kind), String::from_utf8_lossy(&change.path)))
        .collect();
    let mut there: Vec<String> =
        docker.docker(&["diff", "changed"]).lines().map(str::to_owned).collect();
    here.sort();
    there.sort();
    assert_eq!(here, there);
    docker.docker(&["rm", "changed"]);
}
