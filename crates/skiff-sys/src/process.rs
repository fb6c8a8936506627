//! Attributes of a process that `rustix` has no call for.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{check, check_long};

/// Sets a resource limit of a process (0 is the caller) by its number.
///
/// [prlimit(2)](https://man7.org/linux/man-pages/man2/prlimit.2.html)
pub fn set_rlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads `limit`; a null old value is allowed.
    check(unsafe { libc::prlimit64(pid, resource, &raw const limit, std::ptr::null_mut()) })
        .map(drop)
}

/// Number of `RLIMIT_NOFILE`.
pub const RLIMIT_NOFILE: u32 = libc::RLIMIT_NOFILE;

/// Returns the hard limit of a resource of the caller.
pub fn hard_limit(resource: u32) -> io::Result<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes `limit`; a null new value changes nothing.
    check(unsafe { libc::prlimit64(0, resource, std::ptr::null(), &raw mut limit) })?;
    Ok(limit.rlim_max)
}

/// Number of a limit named as in `RLIMIT_NOFILE`.
pub fn rlimit_number(name: &str) -> Option<u32> {
    Some(match name {
        "RLIMIT_CPU" => libc::RLIMIT_CPU,
        "RLIMIT_FSIZE" => libc::RLIMIT_FSIZE,
        "RLIMIT_DATA" => libc::RLIMIT_DATA,
        "RLIMIT_STACK" => libc::RLIMIT_STACK,
        "RLIMIT_CORE" => libc::RLIMIT_CORE,
        "RLIMIT_RSS" => libc::RLIMIT_RSS,
        "RLIMIT_NPROC" => libc::RLIMIT_NPROC,
        "RLIMIT_NOFILE" => libc::RLIMIT_NOFILE,
        "RLIMIT_MEMLOCK" => libc::RLIMIT_MEMLOCK,
        "RLIMIT_AS" => libc::RLIMIT_AS,
        "RLIMIT_LOCKS" => libc::RLIMIT_LOCKS,
        "RLIMIT_SIGPENDING" => libc::RLIMIT_SIGPENDING,
        "RLIMIT_MSGQUEUE" => libc::RLIMIT_MSGQUEUE,
        "RLIMIT_NICE" => libc::RLIMIT_NICE,
        "RLIMIT_RTPRIO" => libc::RLIMIT_RTPRIO,
        "RLIMIT_RTTIME" => libc::RLIMIT_RTTIME,
        _ => return None,
    })
}

/// Sets the I/O scheduling class (1 to 3) and level of the caller.
///
/// [ioprio_set(2)](https://man7.org/linux/man-pages/man2/ioprio_set.2.html)
pub fn set_io_priority(class: u8, level: u16) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: libc::c_int = 13;
    let value = (libc::c_int::from(class) << CLASS_SHIFT) | libc::c_int::from(level);
    // SAFETY: takes numbers only.
    check_long(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) }).map(drop)
}

/// Makes `uid` and `gid` the owner of files that the calling thread creates, and keeps all of its
/// capabilities, which a change away from root would take.
pub fn own_files_as(uid: u32, gid: u32) -> io::Result<()> {
    let held = rustix::thread::capabilities(None)?;
    // SAFETY: takes numbers only, and changes the calling thread alone, as glibc does it.
    unsafe { libc::setfsgid(gid) };
    // SAFETY: as above.
    unsafe { libc::setfsuid(uid) };
    // The two calls answer with the former id whether they succeed or not: asking with one that
    // cannot be gives the current one.
    // SAFETY: as above.
    let now_gid = unsafe { libc::setfsgid(u32::MAX) };
    // SAFETY: as above.
    let now_uid = unsafe { libc::setfsuid(u32::MAX) };
    if (now_uid.cast_unsigned(), now_gid.cast_unsigned()) != (uid, gid) {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    Ok(rustix::thread::set_capabilities(None, held)?)
}

/// What `struct sched_attr` of the first version says, without its size.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Scheduler {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `struct sched_attr`.
#[repr(C)]
struct Attr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the scheduler of the caller.
///
/// [sched_setattr(2)](https://man7.org/linux/man-pages/man2/sched_setattr.2.html)
pub fn set_scheduler(scheduler: &Scheduler) -> io::Result<()> {
    let attr = Attr {
        size: size_of::<Attr>() as u32,
        policy: scheduler.policy,
        flags: scheduler.flags,
        nice: scheduler.nice,
        priority: scheduler.priority,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
    };
    // SAFETY: the kernel reads `attr`, which states its own size.
    check_long(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// Sets the execution domain of the caller.
///
/// [personality(2)](https://man7.org/linux/man-pages/man2/personality.2.html)
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: takes a number only.
    check(unsafe { libc::personality(libc::c_ulong::from(domain)) }).map(drop)
}

/// Makes the caller the one that inherits its orphaned descendants.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes a number only.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Empties the environment and overwrites the text it came as, which others may read in
/// `/proc/<pid>/environ`. Only for single-threaded processes.
pub fn erase_environment() {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: with one thread nobody changes the array meanwhile.
    let mut entry = unsafe { environ };
    while !entry.is_null() {
        // SAFETY: `entry` is within the array, which a null pointer ends.
        let text = unsafe { *entry };
        if text.is_null() {
            break;
        }
        // SAFETY: entries are C strings.
        let length = unsafe { libc::strlen(text) };
        // SAFETY: they lie in writable memory of the process: its stack, or what setenv copied.
        unsafe { std::ptr::write_bytes(text, 0, length) };
        // SAFETY: the element that ends the array has not been reached.
        entry = unsafe { entry.add(1) };
    }
    // SAFETY: as above; a null array is an empty environment.
    unsafe { environ = std::ptr::null_mut() };
}

/// Where the caller's arguments lie as it was executed: what others read in `/proc/<pid>/cmdline`.
/// True of its forks as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandLine {
    start: usize,
    length: usize,
}

impl CommandLine {
    /// Asks the kernel (`arg_start` and `arg_end` in proc_pid_stat(5)).
    pub fn own() -> io::Result<CommandLine> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        // The name, the second field, may hold anything but ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(')').ok_or_else(malformed)?;
        let mut fields = fields.split_ascii_whitespace().skip(45);
        let mut next = || fields.next().and_then(|field| field.parse().ok());
        let (start, end): (usize, usize) =
            (next().ok_or_else(malformed)?, next().ok_or_else(malformed)?);
        let length = end.checked_sub(start).filter(|_| start != 0).ok_or_else(malformed)?;
        Ok(CommandLine { start, length })
    }

    /// Writes other arguments there, as far as there is room. Only for single-threaded processes
    /// that do not read their arguments any more.
    pub fn replace<'a>(&self, words: impl IntoIterator<Item = &'a CStr>) {
        let words: Vec<u8> = words.into_iter().flat_map(CStr::to_bytes_with_nul).copied().collect();
        let mut text = vec![0; self.length];
        // Its last byte stays NUL, without which the kernel takes the text to go on behind.
        let count = words.len().min(self.length.saturating_sub(1));
        text[..count].copy_from_slice(&words[..count]);
        // SAFETY: the kernel put the arguments there, on the stack of this process or of the one it
        // is a copy of, where nothing else lies; nobody else reads or writes them.
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), self.start as *mut u8, text.len()) };
    }
}

/// Sends a signal, real-time ones included, to the process a pidfd names.
///
/// [pidfd_send_signal(2)](https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html)
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let (info, flags) = (std::ptr::null::<libc::siginfo_t>(), 0);
    // SAFETY: a null siginfo means the same as kill(2).
    check_long(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, flags)
    })
    .map(drop)
}

/// Sends a signal by number. For pids that cannot be reused meanwhile: unreaped children of the
/// caller and, as -1, everything the caller may signal.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Exit status.
    Code(i32),
    /// Number of the signal that killed it.
    Signal(i32),
}

impl Exit {
    /// The status a shell would show: the code, or 128 and the signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Waits for the child a pidfd names and reaps it. `None` if it still runs and `block` is false.
///
/// [waitid(2)](https://man7.org/linux/man-pages/man2/waitid.2.html)
pub fn wait(pidfd: BorrowedFd<'_>, block: bool) -> io::Result<Option<Exit>> {
    let id = pidfd.as_raw_fd() as libc::id_t;
    Ok(waitid(libc::P_PIDFD, id, block)?.map(|(_, exit)| exit))
}

/// Reaps any child that has ended; waits for one if `block` is set. An error of `ECHILD` means
/// that there is none.
pub fn wait_any(block: bool) -> io::Result<Option<(i32, Exit)>> {
    waitid(libc::P_ALL, 0, block)
}

fn waitid(kind: libc::idtype_t, id: libc::id_t, block: bool) -> io::Result<Option<(i32, Exit)>> {
    let options = libc::WEXITED | if block { 0 } else { libc::WNOHANG };
    loop {
        // SAFETY: `siginfo_t` is plain data for which all zeros is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes `info`, which lives through the call.
        match check(unsafe { libc::waitid(kind, id, &raw mut info, options) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) => {
                // SAFETY: after waitid the union holds the SIGCHLD fields, or zeros.
                let pid = unsafe { info.si_pid() };
                // SAFETY: as above.
                let status = unsafe { info.si_status() };
                let exit = match info.si_code {
                    libc::CLD_EXITED => Exit::Code(status),
                    _ => Exit::Signal(status),
                };
                return Ok((pid != 0).then_some((pid, exit)));
            }
        }
    }
}
