//! Freezing, thawing and killing whole groups.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::error::{CgroupError, Result};
use super::layout::Controller;
use super::{Cgroup, CgroupPaths, file};

/// How long processes may take to stand still. One in an uninterruptible wait (a dead NFS server)
/// never does; runc gives up after about as long.
const FREEZE_LIMIT: Duration = Duration::from_secs(2);

/// Freezes and waits; on a timeout everything is thawed again.
pub(super) fn freeze(paths: &CgroupPaths) -> Result<()> {
    let result = match &paths.unified {
        Some(dir) => freeze_v2(dir),
        None => freeze_v1(freezer_dir(paths)?),
    };
    if result.is_err() {
        // The first error is the one to report.
        drop(thaw(paths));
    }
    result
}

/// Thaws; the kernel does it at once.
pub(super) fn thaw(paths: &CgroupPaths) -> Result<()> {
    match &paths.unified {
        Some(dir) => file::write(dir, "cgroup.freeze", "0"),
        None => file::write(freezer_dir(paths)?, "freezer.state", "THAWED"),
    }
}

/// Tells whether the group is frozen or on the way there.
pub(super) fn is_frozen(paths: &CgroupPaths) -> Result<bool> {
    match &paths.unified {
        Some(dir) => Ok(file::read(dir, "cgroup.freeze")?.trim() == "1"),
        None => Ok(file::read(freezer_dir(paths)?, "freezer.state")?.trim() != "THAWED"),
    }
}

fn freezer_dir(paths: &CgroupPaths) -> Result<&Path> {
    paths.v1_dir(Controller::Freezer).ok_or_else(|| CgroupError::MissingController {
        setting: "freezer.state".into(),
        controller: "freezer".into(),
    })
}

/// How long a v1 group may be on the way before its processes are let go for a moment.
const STALL: Duration = Duration::from_millis(50);

/// What is let go for a moment gets this long to go on.
const RESPITE: Duration = Duration::from_millis(10);

/// Writing FROZEN again and again is what moves a group with forking processes from FREEZING to
/// FROZEN: each write signals those that were missed (cgroup-v1/freezer-subsystem.rst). A process
/// may also wait for another that stands still already, as an `execve` waits for the program's other
/// threads to end; only a thaw helps that one on.
fn freeze_v1(dir: &Path) -> Result<()> {
    let start = Instant::now();
    let mut attempt = start;
    let mut wait = Duration::from_micros(20);
    loop {
        file::write(dir, "freezer.state", "FROZEN")?;
        if file::read(dir, "freezer.state")?.trim() == "FROZEN" {
            return Ok(());
        }
        if start.elapsed() > FREEZE_LIMIT {
            return Err(CgroupError::Timeout { action: "freeze", path: dir.into() });
        }
        if attempt.elapsed() > STALL {
            file::write(dir, "freezer.state", "THAWED")?;
            std::thread::sleep(RESPITE);
            attempt = Instant::now();
            wait = Duration::from_micros(20);
        } else {
            std::thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_millis(5));
        }
    }
}

/// `cgroup.events` is opened before the request, and polled: the kernel reports each change.
fn freeze_v2(dir: &Path) -> Result<()> {
    let path = dir.join("cgroup.events");
    let open_failed = |error: Errno| CgroupError::Open { path: path.clone(), source: error.into() };
    let events = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(open_failed)?;
    file::write(dir, "cgroup.freeze", "1")?;
    let start = Instant::now();
    loop {
        let mut buffer = [0_u8; 256];
        let length = rustix::io::pread(&events, &mut buffer, 0)
            .map_err(|error| CgroupError::Read { path: path.clone(), source: error.into() })?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        if file::value_of(&text, "frozen") == Some(1) {
            return Ok(());
        }
        let left = FREEZE_LIMIT.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(CgroupError::Timeout { action: "freeze", path: dir.into() });
        }
        // A read between the change and the poll re-arms the file, so the wait is cut into pieces.
        let piece = left.min(Duration::from_millis(50));
        let timeout = Timespec::try_from(piece).ok();
        let mut fds = [PollFd::new(&events, PollFlags::PRI)];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                return Err(CgroupError::Read { path: path.clone(), source: error.into() });
            }
        }
    }
}

/// Kills everything in the group. `cgroup.kill` (Linux 5.14) does it atomically; otherwise the
/// processes are frozen first, so that none forks between being listed and being killed. A v1
/// freezer delivers SIGKILL when it thaws.
pub(super) fn kill_all(paths: &CgroupPaths) -> Result<()> {
    if let Some(dir) = &paths.unified {
        match file::write(dir, "cgroup.kill", "1") {
            Err(error) if error.is_missing_file() => {}
            result => return result,
        }
    }
    let frozen = freeze(paths).is_ok();
    let killed = kill_listed(paths, !frozen);
    if frozen {
        match thaw(paths) {
            Err(error) if !error.is_missing_file() => return killed.and(Err(error)),
            _ => {}
        }
    }
    killed
}

/// Signals each process; where the group could not be frozen, until a listing is empty.
fn kill_listed(paths: &CgroupPaths, until_empty: bool) -> Result<()> {
    let cgroup = Cgroup::open(paths.clone());
    let start = Instant::now();
    loop {
        let pids = cgroup.all_procs()?;
        for pid in pids.iter().copied().filter_map(Pid::from_raw) {
            match rustix::process::kill_process(pid, Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => {
                    let path = paths.process_dir().unwrap_or(Path::new("")).join("cgroup.procs");
                    return Err(CgroupError::Write {
                        path,
                        value: pid.as_raw_nonzero().to_string(),
                        source: error.into(),
                    });
                }
            }
        }
        if !until_empty || pids.is_empty() {
            return Ok(());
        }
        if start.elapsed() > FREEZE_LIMIT {
            let path = paths.process_dir().unwrap_or(Path::new("")).into();
            return Err(CgroupError::Timeout { action: "kill", path });
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
