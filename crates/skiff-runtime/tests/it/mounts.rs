//! Mounts, `/dev`, masks.

use std::fs;

use skiff_model::oci::{Device, DeviceCgroup, IdMapping, Resources};

use crate::bundle::{Bundle, mount};

#[test]
fn dev_has_what_the_specification_lists() {
    let script = "for f in null zero full random urandom tty; do stat -c '%n %t:%T %a' /dev/$f; done; \
                  for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done";
    let expected = "/dev/null 1:3 666\n/dev/zero 1:5 666\n/dev/full 1:7 666\n/dev/random 1:8 666\n\
                    /dev/urandom 1:9 666\n/dev/tty 5:0 666\n/proc/self/fd\n/proc/self/fd/0\n\
                    /proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n";
    assert_eq!(Bundle::new().sh(script).ok(), expected);
}

#[test]
fn devices_of_the_specification_are_made() {
    let mut bundle = Bundle::new();
    bundle.linux().devices = vec![Device {
        kind: "c".into(),
        path: "/dev/sub/own".into(),
        major: 1,
        minor: 7,
        file_mode: Some(0o640),
        uid: Some(3),
        gid: Some(4),
    }];
    assert_eq!(bundle.sh("stat -c '%t:%T %a %u %g' /dev/sub/own").ok(), "1:7 640 3 4\n");
}

#[test]
fn binds_keep_their_attributes() {
    let mut bundle = Bundle::new();
    let data = bundle.dir.join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "text").unwrap();
    let source = data.to_str().unwrap();
    let file = data.join("file");
    bundle.mount("/rw", "bind", source, &["rbind", "rprivate"]);
    bundle.mount("/new/ro", "bind", source, &["rbind", "ro", "nosuid", "nodev", "noexec"]);
    bundle.mount("/etc/one", "bind", file.to_str().unwrap(), &["bind", "rro"]);
    let script = "echo more > /rw/new; cat /new/ro/file /new/ro/new /etc/one; touch /new/ro/x; \
                  touch /etc/one; grep -e ' /new/ro ' /proc/mounts | grep -c ro,nosuid,nodev,noexec";
    let outcome = bundle.sh(script);
    assert_eq!(outcome.code, Some(0));
    assert_eq!(
        outcome.output,
        "textmore\ntexttouch: /new/ro/x: Read-only file system\n\
         touch: /etc/one: Read-only file system\n1\n"
    );
    assert_eq!(fs::read_to_string(data.join("new")).unwrap(), "more\n");
}

#[test]
fn a_bind_without_a_source_is_named() {
    let mut bundle = Bundle::new();
    bundle.mount("/x", "bind", "/no/such/place", &["rbind"]);
    let message = bundle.sh("true").refused().message;
    assert_eq!(
        message,
        "error mounting \"/no/such/place\" to rootfs at \"/x\": stat /no/such/place: \
         no such file or directory"
    );
}

#[test]
fn tmpfs_takes_the_mode_of_what_it_covers_and_can_start_with_its_contents() {
    use std::os::unix::fs::PermissionsExt;
    let mut bundle = Bundle::new();
    let tmp = bundle.rootfs().join("tmp");
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(bundle.rootfs().join("seed")).unwrap();
    fs::write(bundle.rootfs().join("seed/file"), "seeded").unwrap();
    bundle.mount("/tmp", "tmpfs", "tmpfs", &["size=64k", "nr_inodes=10"]);
    bundle.mount("/seed", "tmpfs", "tmpfs", &["tmpcopyup", "ro"]);
    bundle.mount("/fresh", "tmpfs", "tmpfs", &[]);
    let script = "stat -c %a /tmp /fresh; cat /seed/file; touch /seed/x || true; \
                  grep -c 'size=64k,nr_inodes=10' /proc/mounts";
    let output = bundle.sh(script).ok();
    assert_eq!(output, "1777\n1777\nseededtouch: /seed/x: Read-only file system\n1\n");
}

#[test]
fn masked_paths_are_empty_and_read_only_ones_refuse() {
    let script = "cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware /proc/acpi 2>/dev/null | grep -v : | wc -w; \
                  echo 1 > /proc/sys/kernel/shmmax || true; echo h > /proc/sysrq-trigger || true";
    let output = Bundle::new().sh(script).ok();
    assert!(output.matches("Read-only file system").count() >= 1, "{output}");
    assert!(output.starts_with("0\n0\n"), "{output}");
}

#[test]
fn a_read_only_root_keeps_its_writable_mounts() {
    let mut bundle = Bundle::new();
    bundle.launch.spec.root.as_mut().unwrap().readonly = true;
    let output = bundle.sh("touch /x; touch /dev/shm/y && echo written").code;
    assert_eq!(output, Some(0));
    assert!(!bundle.rootfs().join("x").exists());
}

#[test]
fn control_groups_are_shown_read_only_and_only_the_own_ones() {
    let script = "cat /proc/self/cgroup | grep -v ':/$'; \
                  mkdir /sys/fs/cgroup/pids/x /sys/fs/cgroup/x 2>&1 | grep -c 'Read-only'; \
                  grep -c . /sys/fs/cgroup/pids/cgroup.procs";
    let output = Bundle::new().sh(script).ok();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "2", "{output}");
    // Nobody but grep itself, which took the place of the shell.
    assert_eq!(lines[1], "1", "{output}");
}

#[test]
fn an_id_mapped_bind_shows_other_owners() {
    let mut bundle = Bundle::new();
    let data = bundle.dir.join("data");
    fs::create_dir(&data).unwrap();
    let mut mapped = mount("/data", "bind", data.to_str().unwrap(), &["bind"]);
    let mapping = vec![IdMapping { container_id: 0, host_id: 5000, size: 1000 }];
    mapped.uid_mappings.clone_from(&mapping);
    mapped.gid_mappings = mapping;
    bundle.launch.spec.mounts.push(mapped);
    assert_eq!(bundle.sh("stat -c %u:%g /data").ok(), "5000:5000\n");
}

#[test]
fn propagation_follows_the_options() {
    let mut bundle = Bundle::new();
    let script = "grep ' / / \\| / /proc ' /proc/self/mountinfo | grep -c shared: || true";
    assert_eq!(bundle.sh(script).ok(), "0\n");
    bundle.linux().rootfs_propagation = "rshared".into();
    let output = bundle.sh("head -1 /proc/self/mountinfo | grep -c shared:").ok();
    assert_eq!(output, "1\n");
}

#[test]
fn forbidden_devices_leave_the_usual_ones_usable() {
    let mut bundle = Bundle::new();
    bundle.terminal = true;
    let deny_all = DeviceCgroup { access: "rwm".into(), ..DeviceCgroup::default() };
    let resources = Resources { devices: vec![deny_all], ..Resources::default() };
    bundle.linux().resources = Some(resources);
    bundle.linux().devices = vec![Device {
        kind: "b".into(),
        path: "/dev/other".into(),
        major: 7,
        minor: 0,
        ..Device::default()
    }];
    let script = "echo > /dev/null; head -c 1 /dev/urandom | wc -c; head -c 1 /dev/other; true";
    let output = bundle.sh(script).ok();
    assert_eq!(output, "1\r\nhead: /dev/other: Operation not permitted\r\n");
}

#[test]
fn a_file_on_a_directory_and_the_reverse_are_explained() {
    for (source, destination) in [("etc/passwd", "/tmp"), ("tmp", "/etc/passwd")] {
        let mut bundle = Bundle::new();
        let source = bundle.rootfs().join(source);
        bundle.mount(destination, "bind", source.to_str().unwrap(), &["rbind"]);
        let error = bundle.sh("true").refused();
        assert!(error.message.ends_with("not a directory"), "{}", error.message);
    }
}
