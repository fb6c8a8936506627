//! An engine of its own for each test, with an image made of busybox.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use skiff_api::{ContainerCreateRequest, ContainerInspect};
use skiff_engine::container::{
    AttachOptions, ListOptions, RemoveOptions, StartOptions, StopOptions, WaitCondition,
};
use skiff_engine::events::{EventOptions, EventStream};
use skiff_engine::image::ImportRequest;
use skiff_engine::{Containers, Engine, EngineConfig, Kind};

/// An engine, and the directories it works in.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    dir: PathBuf,
}

/// A tar archive of a root file system with busybox and its usual names.
fn rootfs() -> &'static [u8] {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("skiff-engine-rootfs-{}", std::process::id()));
        for path in ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "data"] {
            std::fs::create_dir_all(dir.join(path)).unwrap();
        }
        std::fs::copy("/bin/busybox", dir.join("bin/busybox")).unwrap();
        for name in [
            "sh", "true", "false", "echo", "cat", "sleep", "kill", "id", "ls", "env", "pwd",
            "hostname", "touch", "mount", "ps", "head", "grep", "stat", "test", "tr", "stty",
            "chmod", "mkdir", "rm", "ip", "ulimit", "sync", "wc", "dd", "yes", "trap",
        ] {
            drop(std::os::unix::fs::symlink("busybox", dir.join("bin").join(name)));
        }
        std::fs::write(
            dir.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nann:x:7:8::/tmp:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(dir.join("etc/group"), "root:x:0:\nstaff:x:8:\nmore:x:9:ann\n").unwrap();
        std::fs::write(dir.join("data/from-image"), "image\n").unwrap();
        std::fs::write(dir.join("bin/not-executable"), "#!/bin/sh\n").unwrap();
        let out = Command::new("tar").arg("-C").arg(&dir).args(["-c", "."]).output().unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(out.status.success());
        out.stdout
    })
}

const CGROUP_PARENT: &str = "/skiff-engine-test";

fn settings(dir: &Path) -> EngineConfig {
    let executable = env!("CARGO_BIN_EXE_skiff-engine-test-keeper");
    let mut config = EngineConfig::new(dir.join("data"), dir.join("run"), executable);
    config.cgroup_parent = CGROUP_PARENT.to_owned();
    config
}

impl Rig {
    pub(crate) async fn new() -> Rig {
        Rig::with(|_| {}).await
    }

    /// An engine with other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut EngineConfig)) -> Rig {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("se-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut config = settings(&dir);
        change(&mut config);
        let engine = Engine::open(config).await.unwrap();
        let request = ImportRequest { repository: "box".to_owned(), ..ImportRequest::default() };
        engine.images().import(&mut &rootfs()[..], &request).unwrap();
        Rig { engine, dir }
    }

    /// Ends the engine, as a daemon that goes, and opens another one.
    pub(crate) async fn reopen(&mut self) {
        self.engine.shutdown().await;
        let again = || Engine::open(settings(&self.dir));
        // The former one's lock goes with its last task.
        let begun = std::time::Instant::now();
        self.engine = loop {
            match again().await {
                Ok(engine) => break engine,
                Err(error) if error.kind() == Kind::Unavailable => {
                    assert!(begun.elapsed() < Duration::from_secs(10), "{error}");
                }
                Err(error) => panic!("{error}"),
            }
        };
    }

    pub(crate) fn containers(&self) -> Containers {
        self.engine.containers()
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    /// Creates a container that runs a shell script; `more` goes over the request's JSON.
    pub(crate) async fn create(&self, name: &str, script: &str, more: serde_json::Value) -> String {
        let request = request(script, more);
        self.containers().create(Some(name), None, request).await.unwrap().id
    }

    pub(crate) async fn start(&self, name: &str) {
        self.containers().start(name, StartOptions::default()).await.unwrap();
    }

    pub(crate) async fn run(&self, name: &str, script: &str, more: serde_json::Value) -> String {
        let id = self.create(name, script, more).await;
        self.start(name).await;
        id
    }

    /// Runs a script to its end and gives what it wrote and its exit code.
    pub(crate) async fn output(&self, script: &str, more: serde_json::Value) -> (String, i64) {
        let response = self.containers().create(None, None, request(script, more)).await.unwrap();
        let id = response.id;
        let stream = self.attach(&id, false).await;
        let wait = self.containers().wait(&id, WaitCondition::NextExit).await.unwrap();
        self.start(&id).await;
        let code = wait.await.status_code;
        let output = read_output(stream).await;
        self.remove(&id).await;
        (output, code)
    }

    pub(crate) async fn attach(&self, name: &str, stdin: bool) -> UnixStream {
        let options = AttachOptions {
            stdin,
            stdout: true,
            stderr: true,
            stream: true,
            ..AttachOptions::default()
        };
        let plan = self.containers().attach(name, options).await.unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.containers().attach_stream(plan, OwnedFd::from(theirs), Vec::new()).await.unwrap();
        ours
    }

    pub(crate) fn inspect(&self, name: &str) -> ContainerInspect {
        self.containers().inspect(name, false).unwrap()
    }

    pub(crate) fn status(&self, name: &str) -> String {
        self.inspect(name).state.status
    }

    /// The process that owns a container.
    pub(crate) fn monitor(&self, name: &str) -> i32 {
        let pid = self.inspect(name).state.pid;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
        parent.unwrap().parse().unwrap()
    }

    pub(crate) async fn remove(&self, name: &str) {
        let options = RemoveOptions { force: true, volumes: true, link: false };
        self.containers().remove(name, options).await.unwrap();
    }

    pub(crate) async fn stop(&self, name: &str, seconds: i64) {
        let options = StopOptions { signal: None, timeout_s: Some(seconds) };
        self.containers().stop(name, options).await.unwrap();
    }

    pub(crate) fn events(&self) -> EventStream {
        self.engine.events().subscribe(EventOptions::default())
    }

    /// Waits until something is so; the time only ends tests that would hang.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Rig) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), waiting).await.is_err() {
            let all = ListOptions { all: true, ..ListOptions::default() };
            let states: Vec<_> = self
                .containers()
                .list(&all)
                .unwrap()
                .iter()
                .map(|one| {
                    format!(
                        "{}: {} {}",
                        one.names[0],
                        one.status,
                        self.inspect(&one.id).state.error
                    )
                })
                .collect();
            panic!("never happened: {what}; {states:?}");
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.dir.join("run/containers")).into_iter().flatten() {
            // Whatever a failed test has left running.
            let id = entry.unwrap().file_name().into_string().unwrap();
            kill_group(&id);
        }
        drop(skiff_shim::client::stop_keeper(&self.dir.join("run")));
        // The last of the tests that run side by side succeeds.
        drop(skiff_runtime::cgroup::Cgroup::remove_parent(CGROUP_PARENT));
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// Sends a signal, by name.
pub(crate) fn signal(pid: impl ToString, name: &str) {
    let words = [format!("-{name}"), pid.to_string()];
    assert!(Command::new("kill").args(words).status().unwrap().success());
}

/// Whether a process is there that has not ended.
pub(crate) fn lives(pid: impl std::fmt::Display) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/root/bin")).exists()
}

/// Ends what is in a container's control groups, and them.
fn kill_group(id: &str) {
    let groups = || {
        let roots = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        roots.map(|root| root.path().join("skiff-engine-test").join(id)).filter(|dir| dir.exists())
    };
    for group in groups() {
        let procs = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for pid in procs.lines() {
            drop(Command::new("kill").args(["-9", pid]).status());
        }
    }
    let begun = std::time::Instant::now();
    while groups().any(|group| std::fs::remove_dir(group).is_err())
        && begun.elapsed() < Duration::from_secs(2)
    {
        std::thread::yield_now();
    }
}

pub(crate) fn request(script: &str, more: serde_json::Value) -> ContainerCreateRequest {
    let mut json = serde_json::json!({
        "Image": "box", "Cmd": ["/bin/sh", "-c", script],
        "HostConfig": {"NetworkMode": "none"}
    });
    merge(&mut json, more);
    serde_json::from_value(json).unwrap()
}

fn merge(into: &mut serde_json::Value, more: serde_json::Value) {
    match (into, more) {
        (serde_json::Value::Object(into), serde_json::Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

/// Reads a multiplexed stream to its end.
pub(crate) async fn read_output(stream: UnixStream) -> String {
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut stream = stream;
        let mut output = Vec::new();
        let mut header = [0; 8];
        while stream.read_exact(&mut header).is_ok() {
            let length = u32::from_be_bytes(header[4..].try_into().unwrap());
            let mut body = vec![0; length as usize];
            stream.read_exact(&mut body).unwrap();
            output.extend(body);
        }
        String::from_utf8(output).unwrap()
    });
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("the stream ends").unwrap()
}
