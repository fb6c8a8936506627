//! Images that try to get out while they are set up.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::bundle::Bundle;

fn decoy(bundle: &Bundle) -> std::path::PathBuf {
    let decoy = bundle.dir.join("decoy");
    fs::create_dir(&decoy).unwrap();
    decoy
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().count() == 0
}

#[test]
fn a_proc_or_sys_that_is_a_link_is_refused() {
    for name in ["proc", "sys"] {
        let mut bundle = Bundle::new();
        let decoy = decoy(&bundle);
        fs::remove_dir(bundle.rootfs().join(name)).unwrap();
        fs::create_dir(bundle.rootfs().join("elsewhere")).unwrap();
        symlink("/elsewhere", bundle.rootfs().join(name)).unwrap();
        let message = bundle.sh("true").refused().message;
        assert!(message.contains("must be mounted on ordinary directory"), "{message}");
        assert!(is_empty(&decoy));
    }
}

#[test]
fn links_in_the_way_of_mounts_lead_nowhere_outside() {
    for link in ["../decoy", "/../../decoy", "../../../../../../../tmp"] {
        let mut bundle = Bundle::new();
        let decoy = decoy(&bundle);
        fs::remove_dir(bundle.rootfs().join("dev")).unwrap();
        symlink(link, bundle.rootfs().join("dev")).unwrap();
        symlink("../decoy", bundle.rootfs().join("a")).unwrap();
        let source = bundle.rootfs().join("etc");
        bundle.mount("/a/b", "bind", source.to_str().unwrap(), &["bind"]);
        bundle.mount("/a/c", "tmpfs", "tmpfs", &[]);
        assert_eq!(bundle.sh("cat /a/b/group | head -1").ok(), "root:x:0:\n", "{link}");
        assert!(is_empty(&decoy), "{link}");
    }
}

#[test]
fn nothing_is_mounted_over_procfs() {
    for destination in ["/proc/self/attr", "/proc/sys", "/proc/1", "/proc/../proc/self"] {
        let mut bundle = Bundle::new();
        let source = bundle.rootfs().join("etc");
        bundle.mount(destination, "bind", source.to_str().unwrap(), &["bind"]);
        let message = bundle.sh("true").refused().message;
        assert!(message.contains("inside /proc"), "{message}");
    }
    let mut bundle = Bundle::new();
    symlink("/proc/self", bundle.rootfs().join("into")).unwrap();
    let source = bundle.rootfs().join("etc");
    bundle.mount("/into/attr", "bind", source.to_str().unwrap(), &["bind"]);
    assert!(bundle.sh("true").refused().message.contains("inside /proc"));
    let mut bundle = Bundle::new();
    let source = bundle.rootfs().join("etc");
    bundle.mount("/proc", "bind", source.to_str().unwrap(), &["bind"]);
    assert!(bundle.sh("true").refused().message.contains("not of type proc"));
}

#[test]
fn a_null_device_that_is_none_masks_nothing() {
    // The image's own /dev, with a file where the null device belongs.
    let mut bundle = Bundle::new();
    bundle.launch.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    fs::write(bundle.rootfs().join("dev/null"), "secret").unwrap();
    assert_eq!(bundle.sh("cat /proc/keys | wc -c; cat /dev/null").ok(), "0\nsecret");
}

#[test]
fn a_terminal_is_never_taken_from_the_image() {
    let mut bundle = Bundle::new();
    bundle.terminal = true;
    bundle.launch.spec.mounts.retain(|mount| !mount.destination.starts_with("/dev"));
    fs::create_dir(bundle.rootfs().join("dev/pts")).unwrap();
    fs::write(bundle.rootfs().join("dev/pts/ptmx"), "").unwrap();
    let message = bundle.sh("true").refused().message;
    assert_eq!(message, "/dev/pts/ptmx is not a terminal multiplexer");
}

#[test]
fn a_console_that_is_a_link_stays_inside() {
    let mut bundle = Bundle::new();
    bundle.terminal = true;
    let target = decoy(&bundle).join("console");
    let source = bundle.dir.join("dev");
    fs::create_dir(&source).unwrap();
    symlink(&target, source.join("console")).unwrap();
    fs::create_dir(source.join("pts")).unwrap();
    bundle.launch.spec.mounts.retain(|mount| mount.kind != "tmpfs" && mount.kind != "mqueue");
    let dev = crate::bundle::mount("/dev", "bind", source.to_str().unwrap(), &["bind"]);
    bundle.launch.spec.mounts.insert(1, dev);
    let outcome = bundle.sh("true");
    assert_eq!(outcome.error, None);
    assert!(!target.exists());
}

#[test]
fn a_volume_whose_entries_change_all_the_time_lets_nothing_out() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut bundle = Bundle::new();
    let decoy = decoy(&bundle);
    let volume = bundle.dir.join("volume");
    fs::create_dir_all(volume.join("a/sub")).unwrap();
    symlink(&decoy, volume.join("b")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let (volume, stop) = (volume.clone(), Arc::clone(&stop));
        move || {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let cwd = rustix::fs::CWD;
            while !stop.load(Ordering::Relaxed) {
                let (a, b) = (volume.join("a"), volume.join("b"));
                rustix::fs::renameat_with(cwd, a, cwd, b, flags).unwrap();
            }
        }
    });
    bundle.mount("/volume", "bind", volume.to_str().unwrap(), &["bind"]);
    bundle.mount("/volume/a/tmp", "tmpfs", "tmpfs", &[]);
    bundle.mount("/volume/a/sub/etc", "bind", "/etc", &["bind", "ro"]);
    for _ in 0..40 {
        // It may fail, as the entries come and go; it may not reach the decoy.
        bundle.sh("true");
        assert!(is_empty(&decoy));
    }
    stop.store(true, Ordering::Relaxed);
    swapper.join().unwrap();
}
