//! A container to be: a root file system with busybox and a specification like Docker's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Deserialize;
use serde_json::{Value, json};
use skiff_model::oci::{Capabilities, Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec};
use skiff_runtime::launch::{
    CgroupDriver, ExecLaunch, Launch, LaunchError, Rootfs, SeccompSource, UserRequest,
};

/// Docker's default capabilities.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// What `driver` answers.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) error: Option<LaunchError>,
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) execs: Vec<Outcome>,
    pub(crate) poststop: Vec<LaunchError>,
}

impl Outcome {
    /// The output of a container that must have ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.error, self.code), (None, Some(0)), "{}", self.output);
        self.output
    }

    /// The message of a container that must not have started.
    #[track_caller]
    pub(crate) fn refused(self) -> LaunchError {
        self.error.unwrap_or_else(|| panic!("started: {:?} {}", self.code, self.output))
    }
}

/// A bundle on disk, gone with this value.
pub(crate) struct Bundle {
    pub(crate) dir: PathBuf,
    pub(crate) launch: Launch,
    pub(crate) wait: bool,
    pub(crate) prepared: bool,
    pub(crate) terminal: bool,
}

impl Bundle {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("skiff-it-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&id);
        make_rootfs(&dir.join("rootfs"));
        let mut spec = spec();
        spec.linux.as_mut().unwrap().cgroups_path = format!("/{id}");
        let launch = Launch {
            id,
            bundle: dir.clone(),
            spec,
            rootfs: Rootfs::Path(dir.join("rootfs")),
            cgroup_driver: CgroupDriver::Cgroupfs,
            user: None,
            seccomp: SeccompSource::Spec,
            init: false,
        };
        Self { dir, launch, wait: false, prepared: false, terminal: false }
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.launch.spec.process.as_mut().unwrap()
    }

    pub(crate) fn linux(&mut self) -> &mut Linux {
        self.launch.spec.linux.as_mut().unwrap()
    }

    pub(crate) fn user(&mut self, user: &str, groups: &[&str]) {
        let additional_groups = groups.iter().map(|&group| group.to_owned()).collect();
        self.launch.user = Some(UserRequest { user: user.into(), additional_groups });
    }

    pub(crate) fn mount(&mut self, destination: &str, kind: &str, source: &str, options: &[&str]) {
        self.launch.spec.mounts.push(mount(destination, kind, source, options));
    }

    /// Runs a shell script as the container's program.
    pub(crate) fn sh(&mut self, script: &str) -> Outcome {
        self.run(&["sh", "-c", script])
    }

    /// Runs a program in the container.
    pub(crate) fn run(&mut self, args: &[&str]) -> Outcome {
        self.process().args = args.iter().map(|&arg| arg.to_owned()).collect();
        self.drive(&[], false)
    }

    /// Runs processes in a container that only sleeps.
    pub(crate) fn exec(&mut self, execs: &[ExecLaunch]) -> Vec<Outcome> {
        self.process().args = vec!["sleep".into(), "1000".into()];
        let execs: Vec<Value> = execs.iter().map(|launch| json!({ "launch": launch })).collect();
        let outcome = self.drive(&execs, true);
        assert_eq!((outcome.error, outcome.code), (None, Some(137)));
        outcome.execs
    }

    /// A process like the container's own.
    pub(crate) fn joining(&self, args: &[&str]) -> ExecLaunch {
        let mut process = self.launch.spec.process.clone().unwrap();
        process.args = args.iter().map(|&arg| arg.to_owned()).collect();
        ExecLaunch { process, user: None, seccomp: None }
    }

    pub(crate) fn drive(&self, execs: &[Value], kill: bool) -> Outcome {
        let request = json!({
            "launch": self.launch,
            "wait": self.wait,
            "prepared": self.prepared,
            "terminal": self.terminal,
            "execs": execs,
            "kill": kill,
        });
        let mut driver = Command::new(program("driver"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("examples/driver is built by a plain `cargo test`");
        serde_json::to_writer(driver.stdin.take().unwrap(), &request).unwrap();
        let output = driver.wait_with_output().unwrap();
        assert!(output.status.success(), "driver: {:?}", output.status);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Writes `config.json` for the command line.
    pub(crate) fn write_config(&self) {
        let text = serde_json::to_vec(&self.launch.spec).unwrap();
        fs::write(self.dir.join("config.json"), text).unwrap();
    }

    /// Runs the command line with a root directory of its own. Its streams are files: a detached
    /// container would keep pipes open.
    pub(crate) fn runtime(&self, args: &[&str]) -> Output {
        let path = |name: &str| self.dir.join(name);
        let (out, err) = (path("stdout"), path("stderr"));
        let status = Command::new(program("runtime"))
            .arg("--root")
            .arg(path("state"))
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .status()
            .unwrap();
        Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(err).unwrap() }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let id = &self.launch.id;
        if std::thread::panicking() {
            // What a failed test left behind must not fail the next one.
            let _ = self.runtime(&["delete", "-f", id]);
            let _ = fs::remove_dir_all(&self.dir);
            return;
        }
        let dir = self.dir.to_str().unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(dir), "a mount was left behind");
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
            let group = hierarchy.unwrap().path().join(id);
            assert!(!group.exists(), "{} was left behind", group.display());
        }
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// A program of `examples/`.
pub(crate) fn program(name: &str) -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    deps.parent().unwrap().parent().unwrap().join("examples").join(name)
}

fn make_rootfs(rootfs: &Path) {
    for name in ["bin", "dev", "etc", "proc", "sys", "tmp", "root", "home/app"] {
        fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    let busybox = rootfs.join("bin/busybox");
    if fs::hard_link("/bin/busybox", &busybox).is_err() {
        fs::copy("/bin/busybox", &busybox).unwrap();
    }
    for name in [
        "sh", "id", "cat", "ls", "true", "false", "sleep", "hostname", "grep", "pwd", "env",
        "mount", "stat", "readlink", "touch", "ps", "tty", "wc", "echo", "head", "ip", "mkdir",
        "nc", "test", "umask", "chmod", "kill", "tail", "date", "dd", "mknod", "sort", "tr",
        "stty",
    ] {
        symlink("busybox", rootfs.join("bin").join(name)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n";
    fs::write(rootfs.join("etc/passwd"), passwd).unwrap();
    fs::write(rootfs.join("etc/group"), "root:x:0:\napp:x:1001:\nvideo:x:44:app\n").unwrap();
}

pub(crate) fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: kind.into(),
        source: source.into(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        ..Mount::default()
    }
}

/// As Docker writes it for `docker run`.
pub(crate) fn spec() -> Spec {
    let caps: Vec<String> = CAPABILITIES.map(str::to_owned).into();
    let paths = |text: &str| text.split_whitespace().map(PathBuf::from).collect();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    let strict = ["nosuid", "noexec", "nodev"];
    Spec {
        oci_version: "1.2.1".into(),
        process: Some(Process {
            args: vec!["true".into()],
            env: vec![path.into()],
            cwd: "/".into(),
            capabilities: Some(Capabilities {
                bounding: caps.clone(),
                effective: caps.clone(),
                permitted: caps,
                ..Capabilities::default()
            }),
            ..Process::default()
        }),
        root: Some(Root { path: "rootfs".into(), readonly: false }),
        hostname: "box".into(),
        mounts: vec![
            mount("/proc", "proc", "proc", &strict),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", &pts),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &strict),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777"]),
        ],
        linux: Some(Linux {
            namespaces: [
                NamespaceKind::Mount,
                NamespaceKind::Network,
                NamespaceKind::Uts,
                NamespaceKind::Pid,
                NamespaceKind::Ipc,
                NamespaceKind::Cgroup,
            ]
            .map(|kind| Namespace { kind, path: None })
            .into(),
            masked_paths: paths(
                "/proc/asound /proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/timer_list \
                 /proc/scsi /sys/firmware /sys/devices/virtual/powercap",
            ),
            readonly_paths: paths("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}
