//! Users, groups, capabilities, limits.

use skiff_model::oci::{Capabilities, IoPriority, Rlimit};

use crate::bundle::Bundle;

#[test]
fn users_are_looked_up_in_the_container() {
    for (user, groups, expected) in [
        ("", &[][..], "uid=0(root) gid=0(root) groups=0(root)\n/root\n"),
        ("app", &[], "uid=1000(app) gid=1001(app) groups=44(video),1001(app)\n/home/app\n"),
        ("1000:44", &[], "uid=1000(app) gid=44(video) groups=44(video)\n/home/app\n"),
        ("77", &["video"], "uid=77 gid=0(root) groups=0(root),44(video)\n/\n"),
    ] {
        let mut bundle = Bundle::new();
        bundle.user(user, groups);
        assert_eq!(bundle.sh("id; echo $HOME").ok(), expected, "{user:?}");
    }
    let mut bundle = Bundle::new();
    bundle.user("nope", &[]);
    let message = bundle.sh("true").refused().message;
    assert_eq!(message, "unable to find user nope: no matching entries in passwd file");
}

#[test]
fn hostile_account_files_do_no_harm() {
    use std::os::unix::fs::symlink;
    let passwd = |bundle: &Bundle| bundle.rootfs().join("etc/passwd");
    let mut sparse = Bundle::new();
    std::fs::File::create(passwd(&sparse)).unwrap().set_len(4 << 30).unwrap();
    sparse.user("app", &[]);
    assert_eq!(sparse.sh("true").refused().message, "/etc/passwd: larger than 1048576 bytes");
    let mut device = Bundle::new();
    std::fs::remove_file(passwd(&device)).unwrap();
    symlink("/dev/zero", passwd(&device)).unwrap();
    device.user("app", &[]);
    assert_eq!(device.sh("true").refused().message, "/etc/passwd: not a regular file");
    let mut host = Bundle::new();
    std::fs::remove_file(passwd(&host)).unwrap();
    symlink("/proc/self/root/etc/passwd", passwd(&host)).unwrap();
    host.user("app", &[]);
    assert!(host.sh("true").refused().message.starts_with("open /etc/passwd: "));
}

#[test]
fn capability_sets_are_exactly_those_asked_for() {
    let output = Bundle::new().sh("grep ^Cap /proc/self/status").ok();
    let sets: Vec<&str> = output.lines().filter_map(|line| line.split('\t').nth(1)).collect();
    let (none, docker) = ("0000000000000000", "00000000a80425fb");
    assert_eq!(sets, [none, docker, docker, docker, none]);
    let mut bundle = Bundle::new();
    let one = vec!["CAP_NET_BIND_SERVICE".to_owned()];
    bundle.process().capabilities = Some(Capabilities {
        bounding: one.clone(),
        effective: one.clone(),
        permitted: one.clone(),
        inheritable: one.clone(),
        ambient: one,
    });
    bundle.user("app", &[]);
    let output = bundle.sh("grep ^Cap /proc/self/status").ok();
    assert!(output.lines().all(|line| line.ends_with("\t0000000000000400")), "{output}");
}

#[test]
fn limits_and_the_like_are_set() {
    let mut bundle = Bundle::new();
    let limit = |kind: &str, soft, hard| Rlimit { kind: kind.into(), soft, hard };
    let process = bundle.process();
    process.rlimits = vec![limit("RLIMIT_NOFILE", 7, 11), limit("RLIMIT_CORE", 0, u64::MAX)];
    process.oom_score_adj = Some(321);
    process.user.umask = Some(0o27);
    process.io_priority = Some(IoPriority { class: "IOPRIO_CLASS_IDLE".into(), priority: 0 });
    let script = "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj; umask";
    assert_eq!(bundle.sh(script).ok(), "7\n11\n321\n0027\n");
}

#[test]
fn a_users_streams_are_its_own() {
    let mut bundle = Bundle::new();
    bundle.user("app", &[]);
    assert_eq!(bundle.sh("echo x > /dev/stdout").ok(), "x\n");
}

#[test]
fn a_working_directory_is_made_inside_the_container_only() {
    use std::os::unix::fs::symlink;
    let mut bundle = Bundle::new();
    bundle.process().cwd = "/made/for/it".into();
    assert_eq!(bundle.sh("pwd").ok(), "/made/for/it\n");
    let mut bundle = Bundle::new();
    let decoy = bundle.dir.join("decoy");
    std::fs::create_dir(&decoy).unwrap();
    symlink("../decoy", bundle.rootfs().join("link")).unwrap();
    bundle.process().cwd = "/link/sub".into();
    assert_eq!(bundle.sh("pwd").ok(), "/decoy/sub\n");
    assert_eq!(std::fs::read_dir(decoy).unwrap().count(), 0);
    for cwd in ["/proc/self/fd/3", "/proc/self/fd/8", "/proc/1/cwd", "/proc/self/root"] {
        let mut bundle = Bundle::new();
        bundle.process().cwd = cwd.into();
        let message = bundle.sh("pwd").refused().message;
        assert!(message.starts_with("chdir to cwd ("), "{message}");
    }
}
