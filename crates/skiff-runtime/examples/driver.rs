//! A single-threaded process that starts a container, and processes in it, for the tests: libtest
//! has threads, and what starts containers may have none. Reads a [`Request`] from standard input
//! and writes an [`Outcome`] to standard output, both as JSON.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use skiff_runtime::launch::{ExecLaunch, Launch, LaunchError};
use skiff_runtime::{Gate, Options, Prepared, Stdio, launch_meanwhile};
use skiff_sys::exec::{StringArray, execve_fd};
use skiff_sys::{memfd, process};

/// What to do.
#[derive(Deserialize)]
struct Request {
    launch: Launch,
    #[serde(default)]
    terminal: bool,
    /// Start in two steps, and say in the output what was there between them.
    #[serde(default)]
    wait: bool,
    /// Have ready what can be.
    #[serde(default)]
    prepared: bool,
    #[serde(default)]
    execs: Vec<Exec>,
    /// Kill the container when the execs are done.
    #[serde(default)]
    kill: bool,
}

/// A process to start in the container.
#[derive(Deserialize)]
struct Exec {
    launch: ExecLaunch,
    #[serde(default)]
    terminal: bool,
}

/// What came of it.
#[derive(Default, Serialize)]
struct Outcome {
    error: Option<LaunchError>,
    code: Option<i32>,
    output: String,
    execs: Vec<Outcome>,
    poststop: Vec<LaunchError>,
    pid: i32,
}

fn main() -> io::Result<()> {
    if !memfd::self_is_sealed() {
        return Err(start_over_sealed()?);
    }
    let request: Request = serde_json::from_reader(io::stdin().lock())?;
    let outcome = run(&request)?;
    serde_json::to_writer(io::stdout().lock(), &outcome)?;
    Ok(())
}

/// Executes a sealed copy of the executable, as the keeper is one. Returns only why it could not.
fn start_over_sealed() -> io::Result<io::Error> {
    let copy = memfd::sealed_self("driver")?;
    let args = StringArray::new(["driver"])?;
    let env = StringArray::new(["OF_THE_HOST=1"])?;
    Ok(execve_fd(copy.as_fd(), &args, &env))
}

/// Streams of one process: a file in memory, or a terminal.
struct Streams {
    null: File,
    output: OwnedFd,
}

impl Streams {
    fn new() -> io::Result<Self> {
        let output = memfd_create("output", MemfdFlags::CLOEXEC)?;
        Ok(Self { null: File::open("/dev/null")?, output })
    }

    fn stdio(&self, terminal: bool) -> Stdio<'_> {
        if terminal {
            return Stdio::Terminal { size: None };
        }
        let output = self.output.as_fd();
        Stdio::Fds { stdin: self.null.as_fd(), stdout: output, stderr: output }
    }

    fn text(self, console: Option<OwnedFd>) -> String {
        let mut bytes = Vec::new();
        let mut file = File::from(console.unwrap_or(self.output));
        // A memory file is read from its beginning; a terminal cannot seek and ends with EIO.
        let _ = file.rewind();
        let _ = file.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn run(request: &Request) -> io::Result<Outcome> {
    let streams = Streams::new()?;
    let gate = if request.wait { Gate::Wait } else { Gate::Open };
    let mut outcome = Outcome::default();
    let prepared = if request.prepared { Prepared::make() } else { Prepared::default() };
    let (stdio, options) = (streams.stdio(request.terminal), Options::default());
    let launched = launch_meanwhile(&request.launch, stdio, gate, options, prepared, &mut || {});
    let mut container = match launched {
        Ok(container) => container,
        Err(error) => return Ok(Outcome { error: Some(error), ..outcome }),
    };
    outcome.pid = container.pid;
    if let Err(error) = container.start() {
        outcome.error = Some(error);
    }
    for exec in &request.execs {
        let streams = Streams::new()?;
        outcome.execs.push(match container.exec(&exec.launch, streams.stdio(exec.terminal)) {
            Err(error) => Outcome { error: Some(error), ..Outcome::default() },
            Ok(joined) => {
                // A terminal is read while the process runs, or it would wait for us.
                let (mut code, mut output) = (None, String::new());
                if exec.terminal {
                    output = streams.text(joined.console);
                    code = process::wait(joined.pidfd.as_fd(), true)?;
                } else {
                    code = process::wait(joined.pidfd.as_fd(), true)?.or(code);
                    output += &streams.text(None);
                }
                let code = code.map(process::Exit::shell_code);
                Outcome { code, output, pid: joined.pid, ..Outcome::default() }
            }
        });
    }
    if request.kill {
        process::send_signal(container.pidfd.as_fd(), 9)?;
    }
    if request.terminal {
        outcome.output = streams.text(container.console.take());
        outcome.code = process::wait(container.pidfd.as_fd(), true)?.map(|end| end.shell_code());
    } else {
        outcome.code = process::wait(container.pidfd.as_fd(), true)?.map(|end| end.shell_code());
        outcome.output = streams.text(None);
    }
    outcome.poststop = container.run_poststop_hooks();
    container.cgroup.remove().map_err(io::Error::other)?;
    Ok(outcome)
}
