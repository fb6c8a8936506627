//! `create`: everything of a container but its program's execution. What `run` shares with it is
//! here too.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::net::{AddressFamily, SocketFlags, SocketType, listen, socket_with};
use skiff_model::oci::{Hooks, Spec};
use skiff_sys::socket;

use super::args::{Flag, Parsed};
use super::store::{Claim, Container, Record, START_SOCKET};
use super::{CommandError, Global, Result, Verb, capabilities, process, protect, time};
use crate::container::{self, Gate, Options, Stdio};
use crate::launch::{Launch, Rootfs, SeccompSource};

pub(super) static VERB: Verb = Verb {
    name: "create",
    about: "create a container",
    usage: "[command options] <container-id>",
    flags: &[
        Flag::value("bundle").short("b"),
        Flag::value("console-socket"),
        Flag::value("pidfd-socket"),
        Flag::value("pid-file"),
        Flag::switch("no-pivot"),
        Flag::switch("no-new-keyring"),
        Flag::value("preserve-fds"),
    ],
    flags_anywhere: true,
    arguments: (1, 1),
    run: create,
};

fn create(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    protect::ensure()?;
    let creation = Creation::new(global, parsed)?;
    if creation.wants_terminal() && creation.console_socket.is_none() {
        return Err(CommandError::new(
            "cannot allocate tty if runc will detach without setting console socket",
        ));
    }
    let claim = global.store.claim(parsed.id())?;
    let socket = start_socket(&claim)?;
    let (_, started) = creation.launch(claim, Gate::Socket(socket))?;
    creation.hand_console(started.console.as_ref())?;
    creation.announce(started.pid, started.pidfd.as_fd())?;
    Ok(ExitCode::SUCCESS)
}

/// The socket that `start` connects to; the container's first process accepts.
fn start_socket(claim: &Claim) -> Result<UnixListener> {
    let fail = |error: std::io::Error| CommandError::io("make the start socket", error);
    let dir = rustix::fs::open(
        &claim.dir,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|error| fail(error.into()))?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|error| fail(error.into()))?;
    socket::bind_at(socket.as_fd(), dir.as_fd(), START_SOCKET).map_err(fail)?;
    listen(&socket, 8).map_err(|error| fail(error.into()))?;
    Ok(UnixListener::from(socket))
}

/// A container to be made out of a bundle.
pub(super) struct Creation {
    launch: Launch,
    options: Options,
    pub(super) console_socket: Option<PathBuf>,
    pidfd_socket: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

impl Creation {
    pub(super) fn new(global: &Global, parsed: &Parsed) -> Result<Self> {
        let bundle = Path::new(parsed.get("bundle").unwrap_or("."));
        let bundle = bundle.canonicalize().map_err(|error| {
            CommandError::io(format_args!("bundle {}", bundle.display()), error)
        })?;
        let mut spec = load_spec(&bundle)?;
        if let Some(process) = &mut spec.process {
            capabilities::drop_unknown(process, &global.log);
        }
        let root = spec.root.clone().ok_or_else(|| CommandError::new("Root must be specified"))?;
        let preserve_fds = preserved(parsed, &mut spec)?;
        let path = |name| parsed.get(name).map(PathBuf::from);
        global.log.debug(&format!("create {} from {}", parsed.id(), bundle.display()));
        Ok(Self {
            launch: Launch {
                id: parsed.id().to_owned(),
                rootfs: Rootfs::Path(bundle.join(root.path)),
                bundle,
                spec,
                cgroup_driver: global.driver,
                user: None,
                seccomp: SeccompSource::Spec,
                init: false,
            },
            options: Options {
                preserve_fds,
                no_pivot: parsed.has("no-pivot"),
                no_new_keyring: parsed.has("no-new-keyring"),
            },
            console_socket: path("console-socket"),
            pidfd_socket: path("pidfd-socket"),
            pid_file: path("pid-file"),
        })
    }

    pub(super) fn wants_terminal(&self) -> bool {
        self.launch.spec.process.as_ref().is_some_and(|process| process.terminal)
    }

    /// Launches and puts the container on record.
    pub(super) fn launch(
        &self,
        claim: Claim,
        gate: Gate,
    ) -> Result<(Container, container::Container)> {
        let stdio =
            if self.wants_terminal() { Stdio::Terminal { size: None } } else { own_stdio() };
        let started =
            container::launch_with(&self.launch, stdio, gate, self.options).map_err(|error| {
                CommandError::new(format!("unable to start container process: {}", error.message))
            })?;
        let spec = &self.launch.spec;
        let hooks = spec.hooks.clone().unwrap_or_default();
        let record = Record {
            id: self.launch.id.clone(),
            oci_version: spec.oci_version.clone(),
            bundle: self.launch.bundle.clone(),
            rootfs: match &self.launch.rootfs {
                Rootfs::Path(path) => path.clone(),
                Rootfs::Overlay { upper, .. } => upper.clone(),
            },
            created: time::now(),
            owner: String::new(),
            pid: started.pid,
            // A process that has ended already has no time, and needs none.
            start_time: process::start_time(started.pid).unwrap_or_default(),
            namespaces: started.namespaces(),
            cgroup: started.cgroup.paths().clone(),
            annotations: spec.annotations.clone(),
            hooks: Hooks {
                poststart: hooks.poststart,
                poststop: hooks.poststop,
                ..Hooks::default()
            },
        };
        match claim.keep(record) {
            Ok(container) => Ok((container, started)),
            Err(error) => {
                let _ = skiff_sys::process::send_signal(started.pidfd.as_fd(), 9);
                let _ = skiff_sys::process::wait(started.pidfd.as_fd(), true);
                let _ = started.cgroup.remove();
                Err(error)
            }
        }
    }

    /// Sends the terminal to whoever serves it.
    pub(super) fn hand_console(&self, console: Option<&OwnedFd>) -> Result<()> {
        match (&self.console_socket, console) {
            (Some(path), Some(console)) => send_fd(path, console.as_fd()),
            _ => Ok(()),
        }
    }

    /// Tells the pid to whom it was promised.
    pub(super) fn announce(&self, pid: i32, pidfd: BorrowedFd<'_>) -> Result<()> {
        if let Some(path) = &self.pidfd_socket {
            send_fd(path, pidfd)?;
        }
        self.pid_file.as_ref().map_or(Ok(()), |path| write_pid_file(path, pid))
    }
}

/// This process's own streams.
pub(super) fn own_stdio() -> Stdio<'static> {
    Stdio::Fds {
        stdin: rustix::stdio::stdin(),
        stdout: rustix::stdio::stdout(),
        stderr: rustix::stdio::stderr(),
    }
}

/// Reads a bundle's `config.json`.
pub(super) fn load_spec(bundle: &Path) -> Result<Spec> {
    let path = bundle.join("config.json");
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            CommandError::new("JSON specification file config.json not found")
        }
        _ => CommandError::io(path.display(), error),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| CommandError::new(format!("{}: {error}", path.display())))
}

/// How many descriptors stay open: those asked for, and those of socket activation, of which the
/// program is told as its manager would have.
fn preserved(parsed: &Parsed, spec: &mut Spec) -> Result<i32> {
    let asked: i32 = parsed.number("preserve-fds")?.unwrap_or(0);
    let listen: i32 = std::env::var("LISTEN_FDS").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    if let (1.., Some(process)) = (listen, &mut spec.process) {
        process.env.push(format!("LISTEN_FDS={listen}"));
        process.env.push("LISTEN_PID=1".to_owned());
    }
    let all = asked.checked_add(listen).filter(|_| asked >= 0 && listen >= 0);
    let all = all.ok_or_else(|| CommandError::new("preserve-fds: out of range"))?;
    for fd in 3..3 + all {
        if !Path::new(&format!("/proc/self/fd/{fd}")).exists() {
            return Err(CommandError::new(format!("please check that preserved-fd {fd} is open")));
        }
    }
    Ok(all)
}

pub(super) fn send_fd(path: &Path, fd: BorrowedFd<'_>) -> Result<()> {
    let sent = UnixStream::connect(path)
        .and_then(|stream| socket::send(stream.as_fd(), b"/dev/ptmx", &[fd]));
    sent.map(drop).map_err(|error| CommandError::io(path.display(), error))
}

/// Writes a pid in a file that is never seen empty.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let temporary = path.with_file_name(name);
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(pid.to_string().as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| CommandError::io(path.display(), error))
}
