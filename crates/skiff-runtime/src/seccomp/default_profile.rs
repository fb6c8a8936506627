//! Docker's default profile, as a table.
//!
//! Which calls are allowed, and when, are facts of moby's `profiles` repository (2026): everything
//! is refused with EPERM but the calls below. Each group states its condition; the conditions are
//! the capabilities of the bounding set and, for three calls, the kernel.

use std::sync::{Arc, Mutex, PoisonError};

use skiff_model::oci::{Seccomp, SeccompArg, SeccompSyscall};
use skiff_sys::seccomp::FLAG_SPEC_ALLOW;

use super::arch::Arch;
use super::compile::compile;
use super::profile::{KernelVersion, host_kernel};

/// Flags to install [`default_program`] with.
pub const DEFAULT_FLAGS: u32 = FLAG_SPEC_ALLOW;

/// Allowed to every container.
const ALWAYS: &str = "\
    _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset \
    chdir chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 \
    clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range \
    connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl \
    epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve \
    execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark \
    fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr \
    flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync \
    ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake \
    futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid \
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername \
    getpgid getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid \
    getresuid32 getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid \
    getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch \
    io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit \
    ioctl ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset \
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr \
    listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack \
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 \
    mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive \
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget \
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open \
    openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free \
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 \
    process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink \
    readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr \
    removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq \
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max \
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler \
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list \
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid \
    setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid \
    setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd \
    signalfd4 sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 \
    statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time \
    timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime \
    timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat \
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write \
    writev";

/// Allowed to containers with a capability.
const WITH_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
         umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    (
        "CAP_SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Allowed on some architectures, named as by Docker.
const ON_ARCHITECTURE: [(&[Arch], &str); 3] = [
    (
        &[Arch::Arm, Arch::Aarch64],
        "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
    ),
    (&[Arch::X86_64, Arch::X32], "arch_prctl"),
    (&[Arch::X86_64, Arch::X32, Arch::X86], "modify_ldt"),
];

/// Before 4.8 a tracer could change a call after the filter had seen it.
const SINCE_4_8: &str = "process_vm_readv process_vm_writev ptrace";

/// Allowed when the first argument compares so: no AF_ALG (38) and no AF_VSOCK (40) sockets, and
/// of the personalities Linux, Linux32, each with UNAME26, and the query.
const ON_ARGUMENT: [(&str, &str, u64); 8] = [
    ("socket", "SCMP_CMP_LT", 38),
    ("socket", "SCMP_CMP_EQ", 39),
    ("socket", "SCMP_CMP_GT", 40),
    ("personality", "SCMP_CMP_EQ", 0x0),
    ("personality", "SCMP_CMP_EQ", 0x8),
    ("personality", "SCMP_CMP_EQ", 0x2_0000),
    ("personality", "SCMP_CMP_EQ", 0x2_0008),
    ("personality", "SCMP_CMP_EQ", 0xffff_ffff),
];

/// Flags of clone that make namespaces: CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

const ALLOW: &str = "SCMP_ACT_ALLOW";
const ERRNO: &str = "SCMP_ACT_ERRNO";
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Makes Docker's default profile for a container with these capabilities in its bounding set, on
/// this machine.
pub fn default_profile(caps: &[String]) -> Seccomp {
    let has = |name: &str| caps.iter().any(|cap| cap == name);
    profile_for(&has, Arch::NATIVE, host_kernel())
}

fn profile_for(has: &dyn Fn(&str) -> bool, native: Arch, kernel: KernelVersion) -> Seccomp {
    let mut syscalls = vec![allow(ALWAYS)];
    if kernel >= (KernelVersion { kernel: 4, major: 8 }) {
        syscalls.push(allow(SINCE_4_8));
    }
    syscalls.extend(ON_ARGUMENT.iter().map(|(name, op, value)| {
        let arg = SeccompArg { index: 0, value: *value, value_two: 0, op: (*op).into() };
        SeccompSyscall { args: vec![arg], ..allow(name) }
    }));
    let on_arch = ON_ARCHITECTURE.iter().filter(|(arches, _)| arches.contains(&native));
    syscalls.extend(on_arch.map(|(_, names)| allow(names)));
    let with_cap = WITH_CAPABILITY.iter().filter(|(cap, _)| has(cap));
    syscalls.extend(with_cap.map(|(_, names)| allow(names)));
    if !has("CAP_SYS_ADMIN") {
        let no_namespaces = SeccompArg {
            index: 0,
            value: NAMESPACE_FLAGS,
            value_two: 0,
            op: "SCMP_CMP_MASKED_EQ".into(),
        };
        syscalls.push(SeccompSyscall { args: vec![no_namespaces], ..allow("clone") });
        // The flags of clone3 are out of a filter's sight; ENOSYS makes libc use clone.
        syscalls.push(SeccompSyscall {
            names: vec!["clone3".into()],
            action: ERRNO.into(),
            errno_ret: Some(ENOSYS),
            args: Vec::new(),
        });
    }
    let arches: &[Arch] = match native {
        Arch::Aarch64 | Arch::Arm => &[Arch::Aarch64, Arch::Arm],
        Arch::X86_64 | Arch::X86 | Arch::X32 => &[Arch::X86_64, Arch::X86, Arch::X32],
    };
    Seccomp {
        default_action: ERRNO.into(),
        default_errno_ret: Some(EPERM),
        architectures: arches.iter().map(|arch| arch.name().to_owned()).collect(),
        syscalls,
        ..Seccomp::default()
    }
}

fn allow(names: &str) -> SeccompSyscall {
    SeccompSyscall {
        names: names.split_ascii_whitespace().map(str::to_owned).collect(),
        action: ALLOW.into(),
        ..SeccompSyscall::default()
    }
}

/// Compiles [`default_profile`], once for each set of those capabilities that it depends on.
pub fn default_program(caps: &[String]) -> Arc<Vec<u8>> {
    /// Sets of capabilities come from users; most hosts see two or three.
    const KEPT: usize = 32;
    static PROGRAMS: Mutex<Vec<(u32, Arc<Vec<u8>>)>> = Mutex::new(Vec::new());
    let has = |name: &str| caps.iter().any(|cap| cap == name);
    let key = WITH_CAPABILITY
        .iter()
        .enumerate()
        .fold(0, |key, (bit, (cap, _))| key | u32::from(has(cap)) << bit);
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, program)) = programs.iter().find(|(known, _)| *known == key) {
        return Arc::clone(program);
    }
    let filter = compile(&default_profile(caps)).expect("the profile is ours and is tested");
    let program = Arc::new(filter.program);
    if programs.len() == KEPT {
        programs.remove(0);
    }
    programs.push((key, Arc::clone(&program)));
    program
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    #[test]
    fn every_name_is_known_or_belongs_to_another_architecture() {
        let foreign = ["fadvise64_64", "fstatat64", "umount", "riscv_hwprobe"];
        let groups = WITH_CAPABILITY.iter().map(|(_, names)| *names);
        let groups = groups.chain(ON_ARCHITECTURE.iter().map(|(_, names)| *names));
        for name in groups.chain([ALWAYS, SINCE_4_8]).flat_map(str::split_ascii_whitespace) {
            assert!(table::numbers(name).is_some() || foreign.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_lists_are_as_long_as_dockers() {
        let count = |names: &str| names.split_ascii_whitespace().count();
        assert_eq!(count(ALWAYS), 361);
        let mut all: Vec<&str> = ALWAYS.split_ascii_whitespace().collect();
        all.extend(SINCE_4_8.split_ascii_whitespace());
        all.extend(WITH_CAPABILITY.iter().flat_map(|(_, n)| n.split_ascii_whitespace()));
        all.extend(ON_ARGUMENT.iter().map(|(name, ..)| *name));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 413);
    }

    #[test]
    fn programs_are_cached_by_the_capabilities_that_matter() {
        let caps = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let one = default_program(&caps(&["CAP_CHOWN"]));
        let two = default_program(&caps(&["CAP_KILL", "CAP_NET_RAW"]));
        assert!(Arc::ptr_eq(&one, &two));
        assert_ne!(one, default_program(&caps(&["CAP_SYS_ADMIN"])));
    }

    #[test]
    fn old_kernels_get_no_ptrace() {
        let names = |kernel| {
            let profile = profile_for(&|_| false, Arch::X86_64, kernel);
            profile.syscalls.iter().flat_map(|s| s.names.clone()).any(|name| name == "ptrace")
        };
        assert!(!names(KernelVersion { kernel: 4, major: 7 }));
        assert!(names(KernelVersion { kernel: 4, major: 8 }));
    }
}
