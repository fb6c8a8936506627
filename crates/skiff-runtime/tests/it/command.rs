//! The command line.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::bundle::{Bundle, program};

#[track_caller]
fn ok(output: Output) -> String {
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {text}{errors}", output.status);
    text
}

#[track_caller]
fn fails(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn bundle(args: &[&str]) -> (Bundle, String) {
    let mut bundle = Bundle::new();
    bundle.process().args = args.iter().map(|&arg| arg.to_owned()).collect();
    bundle.write_config();
    let id = bundle.launch.id.clone();
    (bundle, id)
}

fn status(bundle: &Bundle, id: &str) -> String {
    let state: Value = serde_json::from_str(&ok(bundle.runtime(&["state", id]))).unwrap();
    assert_eq!(state["id"], *id);
    state["status"].as_str().unwrap().to_owned()
}

/// Kills a container and waits until it has stopped.
fn stop(bundle: &Bundle, id: &str) {
    ok(bundle.runtime(&["kill", id, "KILL"]));
    while status(bundle, id) != "stopped" {
        std::thread::yield_now();
    }
}

#[test]
fn a_foreground_run_gives_output_and_status_and_leaves_nothing() {
    let (bundle, id) = bundle(&["sh", "-c", "echo out; echo err >&2; exit 5"]);
    let output = bundle.runtime(&["run", &id]);
    assert_eq!(output.status.code(), Some(5));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert!(!bundle.dir.join("state").join(&id).exists());
}

#[test]
fn a_container_goes_through_its_life() {
    let (bundle, id) = bundle(&["sh", "-c", "echo ran > /ran; exec sleep 1000"]);
    ok(bundle.runtime(&["create", "--pid-file", "pid", &id]));
    assert_eq!(status(&bundle, &id), "created");
    assert!(!bundle.rootfs().join("ran").exists());
    let pid: i32 = fs::read_to_string(bundle.dir.join("pid")).unwrap().parse().unwrap();
    assert!(pid > 1);
    let again = fails(bundle.runtime(&["create", &id]), 1);
    assert!(again.contains("container with given ID already exists"), "{again}");
    ok(bundle.runtime(&["start", &id]));
    assert_eq!(status(&bundle, &id), "running");
    let twice = fails(bundle.runtime(&["start", &id]), 1);
    assert!(twice.contains("cannot start an already running container"), "{twice}");
    let running = fails(bundle.runtime(&["delete", &id]), 1);
    assert!(running.contains("that is not stopped: running"), "{running}");
    assert_eq!(ok(bundle.runtime(&["exec", &id, "sh", "-c", "hostname; exit 0"])), "box\n");
    fails(bundle.runtime(&["exec", &id, "sh", "-c", "exit 9"]), 9);
    let missing = fails(bundle.runtime(&["exec", &id, "nope"]), 255);
    assert!(missing.contains("executable file not found in $PATH"), "{missing}");
    ok(bundle.runtime(&["pause", &id]));
    assert_eq!(status(&bundle, &id), "paused");
    let paused = fails(bundle.runtime(&["exec", &id, "true"]), 255);
    assert!(paused.contains("paused"), "{paused}");
    ok(bundle.runtime(&["resume", &id]));
    let pids: Vec<i32> =
        serde_json::from_str(&ok(bundle.runtime(&["ps", "-f", "json", &id]))).unwrap();
    assert_eq!(pids, [pid]);
    let stats: Value =
        serde_json::from_str(&ok(bundle.runtime(&["events", "--stats", &id]))).unwrap();
    assert!(stats["data"]["pids"]["current"].as_u64().unwrap() >= 1);
    ok(bundle.runtime(&["update", "--memory", "64m", "--pids-limit", "50", &id]));
    assert_eq!(ok(bundle.runtime(&["list", "-q"])).trim(), id);
    stop(&bundle, &id);
    let dead = fails(bundle.runtime(&["kill", &id]), 1);
    assert!(dead.contains("container not running"), "{dead}");
    ok(bundle.runtime(&["delete", &id]));
    let gone = fails(bundle.runtime(&["state", &id]), 1);
    assert!(gone.contains("container does not exist"), "{gone}");
    ok(bundle.runtime(&["delete", "-f", &id]));
}

#[test]
fn what_only_was_created_can_be_deleted() {
    let (bundle, id) = bundle(&["true"]);
    ok(bundle.runtime(&["create", &id]));
    ok(bundle.runtime(&["delete", &id]));
}

#[test]
fn a_program_that_does_not_exist_fails_the_creation_and_leaves_nothing() {
    let (bundle, id) = bundle(&["nope"]);
    let log = bundle.dir.join("log.json");
    let log_flag = log.to_str().unwrap();
    let args = ["--log", log_flag, "--log-format", "json", "create", &id];
    let text = fails(bundle.runtime(&args), 1);
    let expected = "unable to start container process: exec: \"nope\": executable file not found \
                    in $PATH";
    assert_eq!(text.trim(), expected);
    let line: Value = serde_json::from_str(fs::read_to_string(log).unwrap().trim()).unwrap();
    assert_eq!((&line["level"], &line["msg"]), (&"error".into(), &expected.into()));
    assert!(!bundle.dir.join("state").join(&id).exists());
}

#[test]
fn a_refusal_by_the_kernel_reaches_who_starts_the_container() {
    use std::os::unix::fs::PermissionsExt;
    let (bundle, id) = bundle(&["/script"]);
    let script = bundle.rootfs().join("script");
    fs::write(&script, "#!/no/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    ok(bundle.runtime(&["create", &id]));
    let text = fails(bundle.runtime(&["start", &id]), 1);
    assert!(text.contains("exec /script: no such file or directory"), "{text}");
    ok(bundle.runtime(&["delete", "-f", &id]));
}

#[test]
fn a_detached_run_goes_on_by_itself() {
    let (bundle, id) = bundle(&["sleep", "1000"]);
    ok(bundle.runtime(&["run", "-d", &id]));
    assert_eq!(status(&bundle, &id), "running");
    let process = bundle.dir.join("process.json");
    let mut wanted = bundle.launch.spec.process.clone().unwrap();
    wanted.args = ["sh", "-c", "echo $X; id -u"].map(str::to_owned).into();
    wanted.env.push("X=y".into());
    wanted.user.uid = 12;
    fs::write(&process, serde_json::to_vec(&wanted).unwrap()).unwrap();
    let output = ok(bundle.runtime(&["exec", "--process", process.to_str().unwrap(), &id]));
    assert_eq!(output, "y\n12\n");
    let output = bundle.runtime(&[
        "exec",
        "-e",
        "A=b",
        "--cwd",
        "/etc",
        "-u",
        "5:6",
        "--cap",
        "CAP_SYS_TIME",
        &id,
        "sh",
        "-c",
        "echo $A; pwd; id -u; id -g; grep CapBnd /proc/self/status",
    ]);
    assert_eq!(ok(output), "b\n/etc\n5\n6\nCapBnd:\t00000000aa0425fb\n");
    ok(bundle.runtime(&["delete", "--force", &id]));
}

#[test]
fn preserved_descriptors_are_counted() {
    let (bundle, id) = bundle(&["ls", "/proc/self/fd"]);
    let script = format!(
        "exec 3</dev/null 4</dev/null 9</dev/null; exec {} --root state run --preserve-fds 2 {id}",
        program("runtime").display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(&bundle.dir)
        .output()
        .unwrap();
    // The sixth is the directory that is listed.
    assert_eq!(ok(output), "0\n1\n2\n3\n4\n5\n");
}

#[test]
fn the_executable_cannot_be_written_through_a_container() {
    let (bundle, id) = bundle(&["sleep", "1000"]);
    let mut child = std::process::Command::new(program("runtime"))
        .args(["--root", "state", "run", &id])
        .current_dir(&bundle.dir)
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !bundle.dir.join("state").join(&id).join("state.json").exists() {
        std::thread::yield_now();
    }
    let exe = format!("/proc/{}/exe", child.id());
    let refused = fs::OpenOptions::new().write(true).open(exe).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    ok(bundle.runtime(&["kill", &id, "KILL"]));
    assert_eq!(child.wait().unwrap().code(), Some(137));
}

#[test]
fn a_spec_is_written_once_and_runs() {
    let (bundle, id) = bundle(&["true"]);
    let exists = fails(bundle.runtime(&["spec"]), 1);
    assert!(exists.contains("File config.json exists. Remove it first"), "{exists}");
    let config = bundle.dir.join("config.json");
    fs::remove_file(&config).unwrap();
    ok(bundle.runtime(&["spec"]));
    let text = fs::read_to_string(&config).unwrap();
    let mut spec: skiff_model::oci::Spec = serde_json::from_str(&text).unwrap();
    let process = spec.process.as_mut().unwrap();
    process.terminal = false;
    process.args = vec!["hostname".into()];
    spec.linux.as_mut().unwrap().cgroups_path = format!("/{id}");
    fs::write(&config, serde_json::to_vec(&spec).unwrap()).unwrap();
    assert_eq!(ok(bundle.runtime(&["run", &id])), "skiff\n");
}

#[test]
fn version_and_features_are_what_engines_parse() {
    let (bundle, _) = bundle(&["true"]);
    let version = ok(bundle.runtime(&["--version"]));
    assert!(version.lines().any(|line| line.starts_with("spec: ")), "{version}");
    let features: Value = serde_json::from_str(&ok(bundle.runtime(&["features"]))).unwrap();
    assert_eq!(features["linux"]["cgroup"]["v2"], true);
    let unknown = fails(bundle.runtime(&["create", "--nope", "x"]), 1);
    assert!(unknown.contains("flag provided but not defined: -nope"), "{unknown}");
}

#[test]
fn a_user_without_rights_can_run_a_container() {
    use std::os::unix::fs::chown;
    let (bundle, id) = bundle(&["true"]);
    let own = bundle.dir.join("runtime");
    fs::copy(program("runtime"), &own).unwrap();
    fs::remove_file(bundle.dir.join("config.json")).unwrap();
    let mut spec = vec![bundle.dir.clone()];
    while let Some(path) = spec.pop() {
        if path.is_dir() && !path.is_symlink() {
            spec.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            chown(&path, Some(1234), Some(1234)).unwrap();
        }
    }
    let as_user = |args: &[&str]| {
        let output = std::process::Command::new("setpriv")
            .args(["--reuid", "1234", "--regid", "1234", "--clear-groups", "--"])
            .arg(&own)
            .args(["--root", "state"])
            .args(args)
            .current_dir(&bundle.dir)
            .stdin(std::process::Stdio::null())
            .output();
        output.unwrap()
    };
    ok(as_user(&["spec", "--rootless"]));
    let config = bundle.dir.join("config.json");
    let mut spec: skiff_model::oci::Spec =
        serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    let process = spec.process.as_mut().unwrap();
    process.terminal = false;
    process.args = ["sh", "-c", "id -u; tr -s ' ' < /proc/self/uid_map"].map(str::to_owned).into();
    fs::write(&config, serde_json::to_vec(&spec).unwrap()).unwrap();
    assert_eq!(ok(as_user(&["run", &id])), "0\n 0 1234 1\n");
}
