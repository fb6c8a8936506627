//! One invocation of a runtime: its command line, its end, and what it said when it failed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use skiff_runtime::launch::LaunchError;

use super::bundle::Bundle;
use super::{PATIENCE, words};
use crate::protocol::ExternalRuntime;

/// Most of what a runtime wrote to its standard error that is told on.
const MAX_ERRORS: usize = 2048;

/// A runtime about a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Invocation<'a> {
    runtime: &'a ExternalRuntime,
    bundle: &'a Bundle,
}

/// What an invocation gets as its standard streams, and with it the process it starts.
#[derive(Debug)]
pub(super) enum Streams {
    These([OwnedFd; 3]),
    /// Nothing; what it complains about is kept to be told.
    Null,
    /// There were no descriptors left.
    Failed(io::Error),
}

impl Streams {
    pub(super) fn null() -> Streams {
        Streams::Null
    }

    pub(super) fn of(stdio: &skiff_runtime::Stdio<'_>) -> Streams {
        let skiff_runtime::Stdio::Fds { stdin, stdout, stderr } = stdio else {
            return Streams::Null;
        };
        let copy = |fd: &std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned();
        let copies = copy(stdin).and_then(|stdin| Ok([stdin, copy(stdout)?, copy(stderr)?]));
        copies.map_or_else(Streams::Failed, Streams::These)
    }
}

/// A runtime at work.
#[derive(Debug)]
pub(super) struct Running<'a> {
    invocation: Invocation<'a>,
    child: Child,
}

impl<'a> Invocation<'a> {
    pub(super) fn new(runtime: &'a ExternalRuntime, bundle: &'a Bundle) -> Invocation<'a> {
        Invocation { runtime, bundle }
    }

    /// Runs one that starts nothing.
    pub(super) fn run(&self, what: &str, words: &[&OsStr]) -> Result<(), LaunchError> {
        self.start(words, Streams::null())?.finish(what, PATIENCE)
    }

    pub(super) fn start(
        &self,
        words: &[&OsStr],
        streams: Streams,
    ) -> Result<Running<'a>, LaunchError> {
        let log = self.bundle.log();
        for former in [&log, &self.bundle.errors()] {
            let _ = std::fs::remove_file(former);
        }
        let mut command = Command::new(&self.runtime.path);
        command.args(arguments(self.runtime, &log, words));
        skiff_sys::signal::reset_in_child(&mut command);
        let spawned = self.set_streams(&mut command, streams).and_then(|()| command.spawn());
        let child = spawned.map_err(|error| self.failure(&describe_spawn(self.runtime, &error)));
        Ok(Running { invocation: *self, child: child? })
    }

    fn set_streams(&self, command: &mut Command, streams: Streams) -> io::Result<()> {
        match streams {
            Streams::These([stdin, stdout, stderr]) => {
                command.stdin(stdin).stdout(stdout).stderr(stderr);
            }
            Streams::Null => {
                command.stdin(Stdio::null()).stdout(Stdio::null());
                // The bundle may be gone, and then there is nobody to tell.
                let errors = File::create(self.bundle.errors());
                command.stderr(errors.map_or_else(|_| Stdio::null(), Stdio::from));
            }
            Streams::Failed(error) => return Err(error),
        }
        Ok(())
    }

    /// The reason of a failure: what the runtime logged, or else how it ended.
    fn failure(&self, how: &str) -> LaunchError {
        match std::fs::read_to_string(self.bundle.log()) {
            Ok(log) => match words::last_error(&log) {
                Some(message) => words::error(message),
                None => words::error(format!("{}{}", how, self.complaint())),
            },
            Err(error) => {
                let reason = words::reason(&error);
                let log = self.bundle.log();
                let how = format!("open {}: {reason}): {how}{}", log.display(), self.complaint());
                words::error(format!("unable to retrieve OCI runtime error ({how}"))
            }
        }
    }

    fn complaint(&self) -> String {
        let text = std::fs::read(self.bundle.errors()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..text.len().min(MAX_ERRORS)]).trim().to_owned();
        if text.is_empty() { text } else { format!(": {text}") }
    }
}

impl Running<'_> {
    /// Waits until it is done, at most so long. `what` names what it does.
    pub(super) fn finish(mut self, what: &str, patience: Duration) -> Result<(), LaunchError> {
        let name = self.invocation.runtime.path.display();
        let in_time = wait_for(&self.child, patience);
        if !matches!(in_time, Ok(true)) {
            let _ = self.child.kill();
        }
        let status = self.child.wait();
        match (in_time, status) {
            (Ok(true), Ok(status)) if status.success() => Ok(()),
            (Ok(true), Ok(status)) => Err(self
                .invocation
                .failure(&format!("{name} did not terminate successfully: {}", ending(status)))),
            (Ok(false), _) => {
                Err(words::error(format!("{name} {what} takes longer than {patience:?}")))
            }
            (Err(error), _) | (_, Err(error)) => {
                Err(words::error(format!("wait for {name}: {}", words::reason(&error))))
            }
        }
    }
}

/// The whole command line but the program: what the administrator gave, what is the same for all,
/// and the words of this invocation.
fn arguments(runtime: &ExternalRuntime, log: &Path, words: &[&OsStr]) -> Vec<OsString> {
    let mut all: Vec<OsString> = runtime.args.iter().map(OsString::from).collect();
    all.extend(["--root".into(), runtime.root.clone().into()]);
    all.extend(["--log".into(), log.into(), "--log-format".into(), "json".into()]);
    if runtime.systemd_cgroup {
        all.push("--systemd-cgroup".into());
    }
    all.extend(words.iter().map(OsString::from));
    all
}

fn describe_spawn(runtime: &ExternalRuntime, error: &io::Error) -> String {
    let path = runtime.path.display();
    if error.kind() == io::ErrorKind::NotFound && runtime.path.components().count() == 1 {
        return format!("exec: \"{path}\": executable file not found in $PATH");
    }
    format!("fork/exec {path}: {}", words::reason(error))
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

/// False if it is not done in time.
fn wait_for(child: &Child, patience: Duration) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pidfd = pidfd_open(pid.ok_or(rustix::io::Errno::SRCH)?, PidfdFlags::empty())?;
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| rustix::io::Errno::INVAL)?;
        match poll(&mut [PollFd::new(&pidfd.as_fd(), PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrators_words_come_first() {
        let mut runtime = ExternalRuntime {
            path: "/bin/runc".into(),
            args: vec!["--debug".into()],
            root: "/x/runtimes/r".into(),
            ..ExternalRuntime::default()
        };
        let line = |runtime: &ExternalRuntime| {
            let words: [&OsStr; 2] = ["start".as_ref(), "abc".as_ref()];
            arguments(runtime, Path::new("/b/log.json"), &words).join(OsStr::new(" "))
        };
        assert_eq!(
            line(&runtime),
            "--debug --root /x/runtimes/r --log /b/log.json --log-format json start abc"
        );
        runtime.systemd_cgroup = true;
        runtime.args.clear();
        assert_eq!(
            line(&runtime),
            "--root /x/runtimes/r --log /b/log.json --log-format json --systemd-cgroup start abc"
        );
    }

    fn script(text: &str) -> (ExternalRuntime, Bundle) {
        let words = ["-c", text].map(str::to_owned).to_vec();
        let number = text.len();
        let path = format!("skiff-invocation-{number}-{}", std::process::id());
        let bundle = std::env::temp_dir().join(path);
        std::fs::create_dir_all(&bundle).unwrap();
        let runtime =
            ExternalRuntime { path: "/bin/sh".into(), args: words, ..ExternalRuntime::default() };
        (runtime, Bundle::new(&bundle))
    }

    fn run(text: &str, patience: Duration) -> Result<(), LaunchError> {
        let (runtime, bundle) = script(text);
        let running = Invocation::new(&runtime, &bundle).start(&[], Streams::null()).unwrap();
        let outcome = running.finish("create", patience);
        bundle.remove().unwrap();
        outcome
    }

    #[test]
    fn a_failure_is_told_in_the_runtimes_words() {
        // `$3` is the value of --log.
        let error = run(r#"echo '{"level":"error","msg":"no luck"}' >$3; exit 1"#, PATIENCE);
        assert_eq!(error.unwrap_err().message, "no luck");
        let error = run("echo complaint >&2; exit 3", PATIENCE).unwrap_err();
        assert!(
            error.message.starts_with("unable to retrieve OCI runtime error (open "),
            "{error}"
        );
        let end = "/bin/sh did not terminate successfully: exit status 3: complaint";
        assert!(error.message.ends_with(end), "{error}");
        run("exit 0", PATIENCE).unwrap();
    }

    #[test]
    fn a_runtime_that_does_not_end_is_ended() {
        let error = run("exec sleep 1000", Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.message, "/bin/sh create takes longer than 20ms");
    }
}
