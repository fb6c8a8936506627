//! Start, end, failure.

use std::fs;

use skiff_model::oci::{Hook, Hooks, Seccomp, SeccompSyscall};
use skiff_runtime::launch::{LaunchErrorKind, Rootfs};

use crate::bundle::Bundle;

#[test]
fn a_program_runs_and_its_status_is_known() {
    assert_eq!(Bundle::new().sh("echo hello; exit 0").ok(), "hello\n");
    assert_eq!(Bundle::new().sh("exit 42").code, Some(42));
    assert_eq!(Bundle::new().sh("kill -9 $$").code, Some(0), "process 1 ignores its own signals");
}

#[test]
fn a_program_sees_the_environment_it_is_given() {
    let mut bundle = Bundle::new();
    bundle.process().env.extend(["A=1", "A=2"].map(str::to_owned));
    let output = bundle.sh("env | grep -v -e SHLVL -e PWD | sort; pwd; umask; hostname").ok();
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(output, format!("A=2\nHOME=/root\nPATH={path}\n/\n0022\nbox\n"));
}

#[test]
fn programs_that_cannot_run_are_named_as_runc_names_them() {
    let rootfs_file = |bundle: &Bundle, name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = bundle.rootfs().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (program, kind, message) in [
        ("nope", LaunchErrorKind::NotFound, "exec: \"nope\": executable file not found in $PATH"),
        (
            "/nope",
            LaunchErrorKind::NotFound,
            "exec: \"/nope\": stat /nope: no such file or directory",
        ),
        ("/etc", LaunchErrorKind::NotExecutable, "exec: \"/etc\": permission denied"),
        ("/plain", LaunchErrorKind::NotExecutable, "exec: \"/plain\": permission denied"),
        ("/format", LaunchErrorKind::NotExecutable, "exec /format: exec format error"),
        ("/orphan", LaunchErrorKind::NotFound, "exec /orphan: no such file or directory"),
        ("", LaunchErrorKind::NotFound, "exec: \"\": executable file not found in $PATH"),
    ] {
        for init in [false, true] {
            let mut bundle = Bundle::new();
            rootfs_file(&bundle, "plain", "x", 0o644);
            rootfs_file(&bundle, "format", "not a program", 0o755);
            rootfs_file(&bundle, "orphan", "#!/no/interpreter\n", 0o755);
            bundle.launch.init = init;
            let error = bundle.run(&[program]).refused();
            assert_eq!((error.kind, error.message.as_str()), (kind, message), "init: {init}");
        }
    }
}

#[test]
fn arguments_that_are_too_long_are_an_error_at_once() {
    for args in [vec!["x".repeat(200 << 10)], vec!["true".into(), "x".repeat(3 << 20)]] {
        let mut bundle = Bundle::new();
        bundle.process().args = args;
        let error = bundle.drive(&[], false).refused();
        assert!(error.message.len() <= 4096);
    }
}

#[test]
fn a_launch_waits_for_its_start() {
    let mut bundle = Bundle::new();
    bundle.wait = true;
    assert_eq!(bundle.sh("echo started").ok(), "started\n");
    let error = bundle.run(&["nope"]).refused();
    assert_eq!(error.kind, LaunchErrorKind::NotFound);
}

#[test]
fn nothing_of_the_host_is_open_in_the_container() {
    // The directory itself is the fourth, by the one who lists it.
    let output = Bundle::new().sh("ls /proc/self/fd; ls /proc/$$/fd").ok();
    assert_eq!(output.split_whitespace().collect::<String>(), "01230123");
}

#[test]
fn init_passes_signals_on_and_reaps() {
    let mut bundle = Bundle::new();
    bundle.launch.init = true;
    let script = "(sleep 0 & exec sleep 0) & wait; cat /proc/1/comm; \
                  ls /proc/1/fd | wc -l; while ps -o stat | grep -q Z; do true; done; exit 7";
    let outcome = bundle.sh(script);
    assert_eq!((outcome.code, outcome.output.as_str()), (Some(7), "docker-init\n3\n"));
    // Not the command line of whose copy it is, which names the host's directories; as much as
    // that had room for.
    let script = "tr '\\0' ' ' < /proc/1/cmdline";
    let shown = bundle.sh(script).ok();
    let shown = shown.trim_end();
    let expected = format!("/sbin/docker-init -- sh -c {script}");
    assert!(shown.len() > 4 && expected.starts_with(shown), "{shown:?}");
    let script = "trap 'echo got; exit 3' TERM; kill -TERM 1; while true; do sleep 1; done";
    let outcome = bundle.sh(script);
    assert_eq!((outcome.code, outcome.output.as_str()), (Some(3), "got\n"));
}

#[test]
fn the_container_can_look_into_its_init() {
    let mut bundle = Bundle::new();
    bundle.launch.init = true;
    // At the end and appended, since the stream is a file here.
    let script = "(readlink /proc/1/ns/pid; readlink /proc/self/ns/pid) | sort -u | wc -l; \
                  ls /proc/1/fd | wc -l; grep -c HOST /proc/1/environ; echo through >> /proc/1/fd/1";
    assert_eq!(bundle.sh(script).ok(), "1\n3\n0\nthrough\n");
    bundle.user("app", &[]);
    let script = "readlink /proc/1/ns/pid > /dev/null && ls /proc/1/fd | wc -l; id -u";
    assert_eq!(bundle.sh(script).ok(), "3\n1000\n");
    // A user's init keeps no more rights than the user's programs have.
    let rights = bundle.sh("grep -E 'Cap(Prm|Eff)' /proc/1/status | tr -d '\\n'").ok();
    assert_eq!(rights, "CapPrm:\t0000000000000000CapEff:\t0000000000000000");
}

#[test]
fn init_stays_closed_to_other_users() {
    let mut bundle = Bundle::new();
    bundle.launch.init = true;
    bundle.user("app", &[]);
    let mut other = bundle.joining(&["sh", "-c", "ls /proc/1/fd 2>&1 | tail -1"]);
    other.user =
        Some(skiff_runtime::launch::UserRequest { user: "5".into(), ..Default::default() });
    let outcome = bundle.exec(&[other]).remove(0);
    assert!(outcome.output.contains("Permission denied"), "{}", outcome.output);
}

#[test]
fn hooks_run_where_and_when_the_specification_says() {
    let mut bundle = Bundle::new();
    let log = bundle.dir.join("log");
    let hook = |name: &str| Hook {
        path: "/bin/sh".into(),
        args: ["sh", "-c", &format!("read state; echo {name} $(hostname) >> {}", log.display())]
            .map(str::to_owned)
            .into(),
        env: vec!["PATH=/bin:/usr/bin".into()],
        timeout: Some(10),
    };
    let inside = Hook {
        args: ["sh", "-c", "echo start $(hostname)"].map(str::to_owned).into(),
        ..hook("start")
    };
    bundle.launch.spec.hooks = Some(Hooks {
        prestart: vec![hook("prestart")],
        create_runtime: vec![hook("createRuntime")],
        create_container: vec![hook("createContainer")],
        start_container: vec![inside],
        poststart: vec![hook("poststart")],
        poststop: vec![hook("poststop")],
    });
    let outcome = bundle.sh("true");
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.poststop.is_empty(), "{:?}", outcome.poststop);
    let lines = fs::read_to_string(&log).unwrap();
    let names: Vec<&str> =
        lines.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["prestart", "createRuntime", "createContainer", "poststart", "poststop"]);
}

#[test]
fn a_failing_hook_stops_the_start() {
    let mut bundle = Bundle::new();
    let args = ["sh", "-c", "echo no >&2; exit 1"].map(str::to_owned).into();
    let hook = Hook { path: "/bin/sh".into(), args, ..Hook::default() };
    bundle.launch.spec.hooks = Some(Hooks { prestart: vec![hook], ..Hooks::default() });
    let error = bundle.sh("true").refused();
    assert_eq!(
        error.message,
        "error running createRuntime hook #0: exit status 1, stdout: , stderr: no"
    );
}

#[test]
fn an_overlay_is_mounted_for_the_container_alone() {
    let mut bundle = Bundle::new();
    let (top, upper, work) =
        (bundle.dir.join("top"), bundle.dir.join("upper"), bundle.dir.join("work"));
    for dir in [&top, &upper, &work] {
        fs::create_dir(dir).unwrap();
    }
    fs::write(top.join("file"), "top").unwrap();
    let lowers = vec![top, bundle.rootfs()];
    for volatile in [false, true] {
        bundle.launch.rootfs = Rootfs::Overlay {
            lowers: lowers.clone(),
            upper: upper.clone(),
            work: work.clone(),
            volatile,
            mapped: false,
        };
        let output =
            bundle.sh("cat /file; echo new > /written; grep -c ' / overlay ' /proc/mounts");
        assert_eq!(output.ok(), "top1\n");
        assert_eq!(fs::read_to_string(upper.join("written")).unwrap(), "new\n");
        fs::remove_dir_all(work.join("work")).unwrap();
    }
}

#[test]
fn overlays_of_many_and_long_layers_work() {
    let mut bundle = Bundle::new();
    let long = bundle.dir.join("l".repeat(200)).join("m".repeat(200));
    let layers = (0..60).map(|n| long.join(n.to_string()));
    let mut lowers: Vec<_> = layers.collect();
    for lower in &lowers {
        fs::create_dir_all(lower).unwrap();
    }
    fs::write(lowers[59].join("deepest"), "found").unwrap();
    lowers.push(bundle.rootfs());
    let (upper, work) = (long.join("upper"), long.join("work"));
    fs::create_dir(&upper).unwrap();
    fs::create_dir(&work).unwrap();
    bundle.launch.rootfs = Rootfs::Overlay { lowers, upper, work, volatile: false, mapped: false };
    assert_eq!(bundle.sh("cat /deepest").ok(), "found");
}

#[test]
fn seccomp_filters_hold_with_and_without_new_privileges() {
    for no_new_privileges in [false, true] {
        let mut bundle = Bundle::new();
        bundle.process().no_new_privileges = no_new_privileges;
        bundle.linux().seccomp = Some(Seccomp {
            default_action: "SCMP_ACT_ALLOW".into(),
            syscalls: vec![SeccompSyscall {
                names: vec!["mkdir".into(), "mkdirat".into()],
                action: "SCMP_ACT_ERRNO".into(),
                ..SeccompSyscall::default()
            }],
            ..Seccomp::default()
        });
        let script =
            "grep -e NoNewPrivs -e Seccomp: /proc/self/status; mkdir /tmp/x || echo denied";
        let output = bundle.sh(script).ok();
        let expected = format!("NoNewPrivs:\t{}\nSeccomp:\t2\n", u8::from(no_new_privileges));
        assert!(output.starts_with(&expected), "{output}");
        assert!(output.ends_with("denied\n"), "{output}");
    }
}

#[test]
fn a_terminal_is_the_containers_own() {
    let mut bundle = Bundle::new();
    bundle.terminal = true;
    let output = bundle.sh("tty; ls -l /dev/console | grep -c ^c; test -t 0 && echo yes").ok();
    assert_eq!(output, "/dev/pts/0\r\n1\r\nyes\r\n");
}

#[test]
fn configurations_that_cannot_be_are_refused() {
    let refused = |change: &dyn Fn(&mut Bundle)| {
        let mut bundle = Bundle::new();
        change(&mut bundle);
        let error = bundle.drive(&[], false).refused();
        assert_eq!(error.kind, LaunchErrorKind::InvalidConfig, "{}", error.message);
        error.message
    };
    let message = refused(&|bundle| bundle.process().args.clear());
    assert_eq!(message, "args must not be empty");
    let message = refused(&|bundle| bundle.process().cwd = "rel".into());
    assert_eq!(message, "Cwd must be an absolute path");
    let message = refused(&|bundle| bundle.process().env.push("A=\0".into()));
    assert_eq!(message, "env: contains a NUL byte");
    let message = refused(&|bundle| bundle.launch.id = "../x".into());
    assert_eq!(message, "invalid container ID format");
    let message = refused(&|bundle| {
        bundle.process().apparmor_profile = "own-profile".into();
    });
    assert!(message.contains("apparmor is not enabled"), "{message}");
    let message = refused(&|bundle| bundle.linux().namespaces.clear());
    assert_eq!(message, "unable to set hostname without a private UTS namespace");
}
