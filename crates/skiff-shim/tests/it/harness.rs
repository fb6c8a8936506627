//! A throw-away exec root with its keeper, and a daemon's connection to a monitor.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::net::SendFlags;
use skiff_model::oci::{Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec};
use skiff_runtime::launch::{CgroupDriver, ExecLaunch, Launch, Rootfs, SeccompSource};
use skiff_shim::client::{self, FrameReader, KeeperConfig, frame, send_with_fds};
use skiff_shim::protocol::{
    Answer, AttachRequest, Event, ExecRequest, ExitRecord, LaunchRequest, LogTarget, Message, Op,
    Reply, Request,
};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The executable keepers are started from; the speed example has it elsewhere.
const KEEPER: &str = match option_env!("CARGO_BIN_EXE_skiff-keeper-test") {
    Some(path) => path,
    None => "target/release/skiff-keeper-test",
};

/// An exec root with a keeper.
pub(crate) struct Engine {
    pub(crate) root: PathBuf,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Engine {
    pub(crate) fn start() -> Engine {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("skiff-shim-{}-{number}", std::process::id()));
        std::fs::create_dir_all(root.join("containers")).unwrap();
        make_rootfs(&root.join("rootfs"));
        let engine = Engine { root };
        client::ensure_keeper(engine.config()).unwrap();
        engine
    }

    pub(crate) fn config(&self) -> KeeperConfig<'_> {
        KeeperConfig { executable: Path::new(KEEPER), exec_root: &self.root, data_root: &self.root }
    }

    /// A request to run a shell script.
    pub(crate) fn request(&self, script: &str) -> LaunchRequest {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("shim-test-{}-{number}", std::process::id());
        let run_dir = self.root.join("containers").join(&id);
        std::fs::create_dir_all(&run_dir).unwrap();
        LaunchRequest {
            launch: Launch {
                id,
                bundle: run_dir.clone(),
                spec: spec(script),
                rootfs: Rootfs::Path(self.root.join("rootfs")),
                cgroup_driver: CgroupDriver::Cgroupfs,
                user: None,
                seccomp: SeccompSource::Spec,
                init: false,
            },
            log: LogTarget::JsonFile {
                path: run_dir.join("log"),
                max_size: 0,
                max_file: 1,
                compress: false,
                attrs: Default::default(),
            },
            run_dir,
            tty: false,
            open_stdin: false,
            stdin_once: false,
            attach: Vec::new(),
            runtime: None,
        }
    }

    /// Starts a container without clients.
    pub(crate) fn run(&self, script: &str) -> Container {
        self.launch(self.request(script), &[])
    }

    pub(crate) fn launch(&self, request: LaunchRequest, clients: &[&UnixStream]) -> Container {
        match self.try_launch(request, clients) {
            (container, Answer::Started { pid, .. }) => Container { pid, ..container },
            (_, other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn try_launch(
        &self,
        request: LaunchRequest,
        clients: &[&UnixStream],
    ) -> (Container, Answer) {
        let stream = client::connect_keeper(&self.root).unwrap();
        let run_dir = request.run_dir.clone();
        let mut container = Container::over(stream, run_dir);
        let fds: Vec<BorrowedFd<'_>> = clients.iter().map(|client| client.as_fd()).collect();
        let answer = container.call(Op::Launch(Box::new(request)), &fds);
        (container, answer)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let stopped = client::stop_keeper(&self.root);
        let _ = std::fs::remove_dir_all(&self.root);
        if !std::thread::panicking() {
            stopped.unwrap();
        }
    }
}

/// A conversation with a container's monitor.
pub(crate) struct Container {
    stream: UnixStream,
    reader: FrameReader,
    events: VecDeque<Event>,
    seq: u64,
    pub(crate) run_dir: PathBuf,
    pub(crate) pid: i32,
}

impl Container {
    fn over(stream: UnixStream, run_dir: PathBuf) -> Container {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Container {
            stream,
            reader: FrameReader::default(),
            events: VecDeque::new(),
            seq: 0,
            run_dir,
            pid: 0,
        }
    }

    /// A second daemon's conversation with the same monitor.
    pub(crate) fn connect(run_dir: &Path) -> std::io::Result<Container> {
        Ok(Container::over(client::connect_monitor(run_dir)?, run_dir.to_owned()))
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, op: Op, fds: &[BorrowedFd<'_>]) -> u64 {
        self.seq += 1;
        let bytes = frame(&Request { seq: self.seq, op }).unwrap();
        let sent = send_with_fds(&self.stream, &bytes, fds, SendFlags::empty()).unwrap();
        (&self.stream).write_all(&bytes[sent..]).unwrap();
        self.seq
    }

    pub(crate) fn call(&mut self, op: Op, fds: &[BorrowedFd<'_>]) -> Answer {
        let expect = self.send(op, fds);
        loop {
            match self.message().expect("an answer before the end") {
                Message::Event(event) => self.events.push_back(event),
                Message::Reply(Reply { seq, answer }) => {
                    assert_eq!(seq, expect);
                    return answer;
                }
            }
        }
    }

    /// The next message; `None` when the monitor is gone.
    fn message(&mut self) -> Option<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = self.reader.next().unwrap() {
                return Some(message);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.reader.push(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("monitor: {error}"),
            }
        }
    }

    /// The next event; `None` when the monitor is gone.
    pub(crate) fn event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        match self.message()? {
            Message::Event(event) => Some(event),
            Message::Reply(reply) => panic!("{reply:?}"),
        }
    }

    /// Waits for the container's end.
    pub(crate) fn wait(&mut self) -> ExitRecord {
        loop {
            match self.event().expect("an exit before the end") {
                Event::Exited(record) => return record,
                Event::Released => panic!("released before it ended"),
                _ => {}
            }
        }
    }

    /// Waits for the monitor to go away; gives what it said meanwhile.
    pub(crate) fn last_words(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.event()).collect()
    }

    pub(crate) fn exec(&mut self, request: ExecRequest, client: Option<&UnixStream>) -> Answer {
        let fds: Vec<BorrowedFd<'_>> = client.iter().map(|client| client.as_fd()).collect();
        self.call(Op::Exec(Box::new(request)), &fds)
    }

    pub(crate) fn signal(&mut self, signal: i32) -> Answer {
        self.call(Op::Signal { exec: None, signal }, &[])
    }

    /// Kills it, if it runs, and waits for the monitor's end.
    pub(crate) fn finish(mut self) {
        let kill = Request { seq: 0, op: Op::Signal { exec: None, signal: 9 } };
        // It may have ended by itself.
        let _ = (&self.stream).write_all(&frame(&kill).unwrap());
        while self.message().is_some() {}
    }

    /// The texts in the log of a channel.
    pub(crate) fn log_of(&self, channel: &str) -> String {
        // For a moment there is none, between its rotation and the next one.
        let text = std::fs::read_to_string(self.run_dir.join("log")).unwrap_or_default();
        // The last line may be in the making.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|entry| entry["stream"] == channel)
            .map(|entry| entry["log"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A client's stream: its own end and the one to hand over.
pub(crate) fn client() -> (UnixStream, UnixStream) {
    let (own, given) = UnixStream::pair().unwrap();
    own.set_read_timeout(Some(PATIENCE)).unwrap();
    (own, given)
}

pub(crate) fn wishes(client: u64) -> AttachRequest {
    AttachRequest { client, stdout: true, stderr: true, ..Default::default() }
}

pub(crate) fn exec_request(name: &str, script: &str) -> ExecRequest {
    ExecRequest {
        exec: name.to_owned(),
        launch: ExecLaunch { process: process(script), user: None, seccomp: None },
        tty: false,
        open_stdin: false,
        attach: None,
    }
}

/// Everything until the end of the stream.
pub(crate) fn read_all(mut stream: &UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Reads until `text` has come.
pub(crate) fn read_until(mut stream: &UnixStream, text: &str) -> String {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&got).contains(text) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "end after {:?}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&got).into_owned()
}

/// Takes Docker's frames apart: the text of stdout and of stderr.
pub(crate) fn demultiplex(mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let len = u32::from_be_bytes(header[4..].try_into().unwrap()) as usize;
        let channel = if header[0] == 1 { &mut stdout } else { &mut stderr };
        channel.extend_from_slice(&rest[..len]);
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    (stdout, stderr)
}

/// Looks again and again until something is so.
pub(crate) fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn process(script: &str) -> Process {
    Process {
        args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        oom_score_adj: Some(0),
        ..Default::default()
    }
}

fn spec(script: &str) -> Spec {
    use NamespaceKind::{Ipc, Mount as MountNamespace, Network, Pid, Uts};
    let namespaces = [Pid, MountNamespace, Ipc, Uts, Network];
    Spec {
        oci_version: "1.2.0".to_owned(),
        process: Some(process(script)),
        root: Some(Root { path: "rootfs".into(), readonly: false }),
        hostname: "test".to_owned(),
        mounts: [
            ("/proc", "proc", ""),
            ("/dev", "tmpfs", ""),
            ("/dev/pts", "devpts", "newinstance"),
        ]
        .map(|(destination, kind, option)| Mount {
            destination: destination.into(),
            kind: kind.into(),
            source: kind.into(),
            options: (!option.is_empty()).then(|| option.to_owned()).into_iter().collect(),
            ..Default::default()
        })
        .to_vec(),
        linux: Some(Linux {
            namespaces: namespaces.map(|kind| Namespace { kind, path: None }).to_vec(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A root file system with busybox and nothing else.
fn make_rootfs(root: &Path) {
    for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    let busybox = root.join("bin/busybox");
    std::fs::copy("/bin/busybox", &busybox).unwrap();
    for applet in [
        "sh", "cat", "echo", "sleep", "head", "tr", "seq", "stty", "kill", "yes", "wc", "true",
        "ls",
    ] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}
