//! `exec`: a further process in a running container.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use skiff_model::capability;
use skiff_model::oci::{Capabilities, Process, Spec};
use skiff_sys::signals;

use super::args::{Flag, Parsed};
use super::create::{load_spec, own_stdio, write_pid_file};
use super::store::{Container, Status};
use super::{CommandError, Global, Result, Verb, capabilities, protect, relay, run};
use crate::cgroup::Cgroup;
use crate::container::{Stdio, placement};
use crate::join::{self, Host};
use crate::launch::ExecLaunch;
use crate::plan;

pub(super) static VERB: Verb = Verb {
    name: "exec",
    about: "execute new process inside the container",
    usage: "[command options] <container-id> <command> [command options]  || \
            -p process.json <container-id>",
    flags: &[
        Flag::value("console-socket"),
        Flag::value("pidfd-socket"),
        Flag::value("cwd"),
        Flag::value("env").short("e"),
        Flag::switch("tty").short("t"),
        Flag::value("user").short("u"),
        Flag::value("additional-gids").short("g"),
        Flag::value("process").short("p"),
        Flag::switch("detach").short("d"),
        Flag::value("pid-file"),
        Flag::value("process-label"),
        Flag::value("apparmor"),
        Flag::switch("no-new-privs"),
        Flag::value("cap").short("c"),
        Flag::value("preserve-fds"),
        Flag::value("cgroup"),
        Flag::switch("ignore-paused"),
    ],
    flags_anywhere: false,
    arguments: (1, usize::MAX),
    run: exec,
};

/// What a shell shows when the runtime itself failed.
const FAILED: u8 = 255;

fn exec(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    attempt(global, parsed).map_err(|error| CommandError { code: FAILED, ..error })
}

fn attempt(global: &Global, parsed: &Parsed) -> Result<ExitCode> {
    protect::ensure()?;
    let container = global.store.load(parsed.id())?;
    let status = container.status();
    if status == Status::Stopped {
        return Err(CommandError::new("cannot exec in a stopped container"));
    }
    if status == Status::Paused && !parsed.has("ignore-paused") {
        return Err(CommandError::new(
            "cannot exec in a paused container (use --ignore-paused to override)",
        ));
    }
    let Some(init) = container.process() else {
        return Err(CommandError::new("cannot exec in a stopped container"));
    };
    let spec = load_spec(&container.record.bundle)?;
    let mut process = process(parsed, &spec)?;
    capabilities::drop_unknown(&mut process, &global.log);
    let (terminal, detach) = (process.terminal, parsed.has("detach"));
    let console_socket = parsed.get("console-socket").map(PathBuf::from);
    if terminal && detach && console_socket.is_none() {
        return Err(CommandError::new(
            "cannot allocate tty if runc will detach without setting console socket",
        ));
    }
    if console_socket.is_some() && !(terminal && detach) {
        return Err(CommandError::new(
            "cannot use console socket if runc will not detach or allocate tty",
        ));
    }
    if !detach {
        signals::block_all().map_err(|error| CommandError::io("block signals", error))?;
    }
    let host = Host {
        id: &container.record.id,
        pid: container.record.pid,
        pidfd: init.pidfd(),
        namespaces: container.record.namespaces,
    };
    let seccomp = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let launch = ExecLaunch { process, user: None, seccomp: None };
    let stdio = if terminal { Stdio::Terminal { size: None } } else { own_stdio() };
    let cgroup = sub_group(&container, parsed)?;
    let preserve_fds = parsed.number("preserve-fds")?.unwrap_or(0);
    let request =
        join::Request { launch: &launch, seccomp: plan::compile_seccomp(seccomp)?, preserve_fds };
    let joined = placement(&cgroup)
        .and_then(|placement| join::exec(&host, &placement, request, stdio))
        .map_err(|error| {
            let text = format!("exec failed: unable to start container process: {}", error.message);
            CommandError::new(text)
        })?;
    if let (Some(path), Some(console)) = (&console_socket, &joined.console) {
        super::create::send_fd(path, console.as_fd())?;
    }
    if let Some(path) = parsed.get("pidfd-socket") {
        super::create::send_fd(Path::new(path), joined.pidfd.as_fd())?;
    }
    if let Some(path) = parsed.get("pid-file") {
        write_pid_file(Path::new(path), joined.pid)?;
    }
    if detach {
        return Ok(ExitCode::SUCCESS);
    }
    let code = match &joined.console {
        Some(console) => relay::terminal(console, joined.pidfd.as_fd())?,
        None => run::pass_signals(joined.pidfd.as_fd())?,
    };
    Ok(ExitCode::from(code))
}

/// The process, from a file or from the container's own and the flags.
fn process(parsed: &Parsed, spec: &Spec) -> Result<Process> {
    if let Some(path) = parsed.get("process") {
        let bytes = std::fs::read(path).map_err(|error| CommandError::io(path, error))?;
        return serde_json::from_slice(&bytes)
            .map_err(|error| CommandError::new(format!("{path}: {error}")));
    }
    let mut process = spec.process.clone().unwrap_or_default();
    process.args = parsed.rest.get(1..).unwrap_or_default().to_vec();
    if process.args.is_empty() {
        return Err(CommandError::new("process args cannot be empty"));
    }
    process.terminal = parsed.has("tty");
    if let Some(cwd) = parsed.get("cwd") {
        process.cwd = cwd.to_owned();
    }
    if let Some(profile) = parsed.get("apparmor") {
        process.apparmor_profile = profile.to_owned();
    }
    if let Some(label) = parsed.get("process-label") {
        process.selinux_label = label.to_owned();
    }
    process.env.extend(parsed.all("env").map(str::to_owned));
    // Limits that were for the container's first process are for this one too; its place among
    // the victims of an out-of-memory kill is inherited otherwise.
    process.no_new_privileges |= parsed.has("no-new-privs");
    if let Some(user) = parsed.get("user") {
        let (uid, gid) = user.split_once(':').map_or((user, None), |(uid, gid)| (uid, Some(gid)));
        let number = |word: &str| {
            word.parse().map_err(|_| CommandError::new(format!("parsing {word:?} as int failed")))
        };
        process.user.uid = number(uid)?;
        if let Some(gid) = gid {
            process.user.gid = number(gid)?;
        }
    }
    for gids in parsed.all("additional-gids") {
        for gid in gids.split(',') {
            let gid = gid
                .parse()
                .map_err(|_| CommandError::new(format!("parsing {gid:?} as int for gid failed")))?;
            process.user.additional_gids.push(gid);
        }
    }
    add_capabilities(parsed, &mut process)?;
    Ok(process)
}

fn add_capabilities(parsed: &Parsed, process: &mut Process) -> Result<()> {
    for name in parsed.all("cap") {
        if capability::number(name).is_none() {
            return Err(CommandError::new(format!("unknown capability {name:?}")));
        }
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        // Not the inheritable and ambient ones: programs would pass them on unknowingly.
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.push(name.to_owned());
        }
    }
    Ok(())
}

/// The control group to enter: the container's own, or with `--cgroup` one below it.
fn sub_group(container: &Container, parsed: &Parsed) -> Result<Cgroup> {
    let mut paths = container.record.cgroup.clone();
    for wanted in parsed.all("cgroup") {
        let (controllers, sub) = match wanted.split_once(':') {
            Some((controllers, sub)) => (Some(controllers), sub),
            None => (None, wanted),
        };
        let sub = Path::new(sub.trim_start_matches('/'));
        if sub.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
            return Err(CommandError::new(format!("{wanted} is not a sub cgroup path")));
        }
        if let Some(dir) = &mut paths.unified {
            *dir = dir.join(sub);
        }
        for group in &mut paths.v1 {
            let named = controllers.is_none_or(|names| {
                names.split(',').any(|name| group.controllers.iter().any(|c| c.name() == name))
            });
            if named {
                group.dir = group.dir.join(sub);
            }
        }
    }
    Ok(Cgroup::open(paths))
}
