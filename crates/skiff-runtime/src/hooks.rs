//! Hooks: programs of the administrator that run at points of a container's life and are told its
//! state on their standard input (`config.md`, "POSIX-platform Hooks").

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use skiff_model::oci::{Hook, State};
use skiff_sys::signal;

use crate::failure::{Context, of_kind};
use crate::launch::{LaunchError, LaunchErrorKind};

/// How much of a hook's words is kept for the message.
const MAX_OUTPUT: usize = 2048;

/// Runs hooks one after the other; the first failure ends it.
pub(crate) fn run(point: &str, hooks: &[Hook], state: &State) -> Result<(), LaunchError> {
    for (index, hook) in hooks.iter().enumerate() {
        run_one(hook, state).map_err(|error| LaunchError {
            message: format!("error running {point} hook #{index}: {}", error.message),
            ..error
        })?;
    }
    Ok(())
}

/// Runs every hook and returns the failures.
pub(crate) fn run_all(point: &str, hooks: &[Hook], state: &State) -> Vec<LaunchError> {
    hooks.iter().filter_map(|hook| run(point, std::slice::from_ref(hook), state).err()).collect()
}

fn run_one(hook: &Hook, state: &State) -> Result<(), LaunchError> {
    let name = hook.path.display();
    let state = serde_json::to_vec(state).map_err(io::Error::other).context(|| "encode state")?;
    let mut command = Command::new(&hook.path);
    if let Some((first, rest)) = hook.args.split_first() {
        command.arg0(first).args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    // A hook may be told to end, and so may what it starts.
    signal::reset_in_child(&mut command);
    let mut child = command.spawn().context(|| format!("start {name}"))?;
    let mut run = Run { deadline: hook.timeout.map(deadline), output: Vec::new() };
    let ended = run.attend(&mut child, &state);
    if ended.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().context(|| format!("wait for {name}"))?;
    ended.context(|| format!("run {name}"))?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    };
    let output = String::from_utf8_lossy(&run.output);
    let text = format!("{how}, stdout: , stderr: {}", output.trim_end());
    Err(of_kind(LaunchErrorKind::Failed, text))
}

fn deadline(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

struct Run {
    deadline: Option<Instant>,
    output: Vec<u8>,
}

impl Run {
    /// Feeds the hook and takes what it says until it ends or its time is over.
    fn attend(&mut self, child: &mut Child, state: &[u8]) -> io::Result<()> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pidfd = pidfd_open(pid.ok_or(rustix::io::Errno::SRCH)?, PidfdFlags::empty())?;
        let mut input = child.stdin.take();
        let mut errors = child.stderr.take();
        if let Some(input) = &input {
            fcntl_setfl(input, OFlags::NONBLOCK)?;
        }
        let mut left = state;
        loop {
            let mut wanted = vec![PollFd::new(&pidfd, PollFlags::IN)];
            if let Some(errors) = &errors {
                wanted.push(PollFd::new(errors, PollFlags::IN));
            }
            if let Some(input) = &input {
                wanted.push(PollFd::new(input, PollFlags::OUT));
            }
            match poll(&mut wanted, self.time_left()?.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                other => drop(other?),
            }
            let ready = |at: usize| wanted.get(at).is_some_and(|fd| !fd.revents().is_empty());
            let ended = ready(0);
            let speaks = errors.is_some() && ready(1);
            let listens = input.is_some() && ready(1 + usize::from(errors.is_some()));
            if speaks && !self.take(&mut errors)? {
                errors = None;
            }
            if listens {
                left = feed(&mut input, left);
            }
            // Not waiting for the end of its stderr: a daemon it left behind may hold that open.
            if ended {
                return Ok(());
            }
        }
    }

    fn time_left(&self) -> io::Result<Option<Timespec>> {
        let Some(deadline) = self.deadline else { return Ok(None) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        Ok(Timespec::try_from(left).ok())
    }

    fn take(&mut self, from: &mut Option<impl Read + AsFd>) -> io::Result<bool> {
        let mut buffer = [0; 512];
        let length = match from {
            Some(from) => from.read(&mut buffer)?,
            None => 0,
        };
        let room = MAX_OUTPUT.saturating_sub(self.output.len()).min(length);
        self.output.extend(&buffer[..room]);
        Ok(length > 0)
    }
}

/// Writes what the hook takes; closes its input at the end, or when it does not want more.
fn feed<'a>(input: &mut Option<impl Write>, left: &'a [u8]) -> &'a [u8] {
    let Some(open) = input else { return left };
    let left = match open.write(left) {
        Ok(taken) => &left[taken..],
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => left,
        Err(_) => &[],
    };
    if left.is_empty() {
        *input = None;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: Option<u64>) -> Hook {
        Hook {
            path: "/bin/sh".into(),
            args: vec!["sh".into(), "-c".into(), script.into()],
            env: vec!["WORD=x".into()],
            timeout,
        }
    }

    #[test]
    fn a_hook_gets_the_state_and_its_environment_only() {
        let state = State { id: "abc".into(), ..State::default() };
        let script =
            r#"read line; case $line in *'"id":"abc"'*) test "$WORD$HOME" = x;; *) exit 9;; esac"#;
        run("test", &[hook(script, None)], &state).unwrap();
    }

    #[test]
    fn no_signal_is_kept_from_a_hook() {
        let set = std::thread::spawn(|| {
            signal::block_all().unwrap();
            let script = "grep -q '^SigBlk:.0*$' /proc/self/status";
            run("test", &[hook(script, None)], &State::default())
        });
        set.join().unwrap().unwrap();
    }

    #[test]
    fn failures_say_how_and_what_was_printed() {
        let hooks = [hook("true", None), hook("echo no luck >&2; exit 3", None)];
        let error = run("prestart", &hooks, &State::default()).unwrap_err();
        let expected = "error running prestart hook #1: exit status 3, stdout: , stderr: no luck";
        assert_eq!(error.message, expected);
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let error = run("x", &[hook("exec sleep 100", Some(1))], &State::default()).unwrap_err();
        assert!(error.message.contains("timed out"), "{}", error.message);
    }
}
