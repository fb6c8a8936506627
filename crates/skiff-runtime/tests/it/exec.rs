//! Joining a container.

use skiff_runtime::launch::{LaunchErrorKind, UserRequest};

use crate::bundle::Bundle;

#[test]
fn a_joining_process_is_in_every_namespace_and_group_of_the_container() {
    let mut bundle = Bundle::new();
    let script = "for ns in mnt uts ipc net pid cgroup user; do \
                  test $(readlink /proc/self/ns/$ns) = $(readlink /proc/1/ns/$ns) || echo $ns; \
                  done; cat /proc/self/cgroup | grep -v ':/$'; ls /proc/self/fd | wc -l; hostname";
    let outcomes = bundle.exec(&[bundle.joining(&["sh", "-c", script])]);
    assert_eq!(outcomes[0].output, "4\nbox\n");
}

#[test]
fn failures_to_join_are_told_apart() {
    let mut bundle = Bundle::new();
    let mut outside = bundle.joining(&["true"]);
    outside.process.cwd = "/nope".into();
    let mut magic = bundle.joining(&["true"]);
    magic.process.cwd = "/proc/self/fd/7".into();
    let mut nobody = bundle.joining(&["true"]);
    nobody.user = Some(UserRequest { user: "nope".into(), additional_groups: Vec::new() });
    let launches = [bundle.joining(&["nope"]), bundle.joining(&["/etc"]), outside, magic, nobody];
    let expected = [
        (LaunchErrorKind::NotFound, "exec: \"nope\": executable file not found in $PATH"),
        (LaunchErrorKind::NotExecutable, "exec: \"/etc\": permission denied"),
        (
            LaunchErrorKind::NotExecutable,
            "chdir to cwd (\"/nope\") set in config.json failed: no such file or directory",
        ),
        (
            LaunchErrorKind::Failed,
            "chdir to cwd (\"/proc/self/fd/7\") set in config.json failed: \
             too many levels of symbolic links",
        ),
        (
            LaunchErrorKind::UnknownUser,
            "unable to find user nope: no matching entries in passwd file",
        ),
    ];
    let outcomes = bundle.exec(&launches);
    for (outcome, (kind, message)) in outcomes.into_iter().zip(expected) {
        let error = outcome.refused();
        assert_eq!((error.kind, error.message.as_str()), (kind, message));
    }
}

#[test]
fn a_joining_user_gets_its_groups_and_no_capabilities() {
    let mut bundle = Bundle::new();
    let mut user = bundle.joining(&["sh", "-c", "id; grep -e CapEff -e CapBnd /proc/self/status"]);
    user.user = Some(UserRequest { user: "app".into(), additional_groups: vec!["7".into()] });
    let outcomes = bundle.exec(&[user]);
    assert_eq!(
        outcomes[0].output,
        "uid=1000(app) gid=1001(app) groups=7,44(video),1001(app)\n\
         CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n"
    );
}

#[test]
fn a_joining_process_can_have_a_terminal() {
    let mut bundle = Bundle::new();
    let launch = bundle.joining(&["tty"]);
    bundle.process().args = vec!["sleep".into(), "1000".into()];
    let exec = serde_json::json!({ "launch": launch, "terminal": true });
    let outcome = bundle.drive(&[exec], true);
    assert_eq!(outcome.execs[0].output, "/dev/pts/0\r\n");
}
