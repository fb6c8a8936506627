//! Compiled filters against a slow evaluator, against the kernel, and against bad input.

use std::io;

use proptest::prelude::*;
use skiff_model::oci::{Seccomp, SeccompArg, SeccompSyscall};

use super::action::Action;
use super::arch::{Arch, X32_BIT};
use super::bpf;
use super::compile::compile_for;
use super::*;

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    arch: u32,
    args: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            bpf::NUMBER => self.number,
            bpf::ARCH => self.arch,
            16..64 if offset.is_multiple_of(4) => {
                let value = self.args[(offset as usize - 16) / 8];
                let upper = offset == bpf::argument((offset - 16) / 8, true);
                if upper { (value >> 32) as u32 } else { value as u32 }
            }
            _ => panic!("load of offset {offset}"),
        }
    }
}

/// Runs a program as the kernel does, with its rules: forward jumps inside the program, and a
/// return at the end.
fn run(program: &[u8], call: &Call) -> u32 {
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let [c0, c1, jt, jf, k0, k1, k2, k3] = program[at * 8..at * 8 + 8].try_into().unwrap();
        let operand = u32::from_ne_bytes([k0, k1, k2, k3]);
        at += 1;
        let mut branch = |holds| at += usize::from(if holds { jt } else { jf });
        match u16::from_ne_bytes([c0, c1]) {
            bpf::LOAD => accumulator = call.word(operand),
            bpf::AND => accumulator &= operand,
            bpf::JUMP => at += operand as usize,
            bpf::JUMP_EQUAL => branch(accumulator == operand),
            bpf::JUMP_GREATER => branch(accumulator > operand),
            bpf::JUMP_GREATER_EQUAL => branch(accumulator >= operand),
            bpf::RETURN => return operand,
            code => panic!("code {code:#x}"),
        }
    }
}

/// What a filter means, found without any structure: by going through the rules for each call.
fn expected(profile: &Seccomp, arches: &[Arch], call: &Call) -> u32 {
    let default = Action::parse(&profile.default_action, profile.default_errno_ret).unwrap();
    let x32 = call.arch == Arch::X86_64.audit() && call.number >= X32_BIT;
    let arch = arches.iter().find(|a| a.audit() == call.arch && (**a == Arch::X32) == x32);
    let permissive = ["ALLOW", "LOG", "TRACE"].iter().any(|a| profile.default_action.ends_with(a));
    let beyond = if permissive { default } else { Action::NO_SUCH_CALL };
    let Some(arch) = arch else {
        let cancelled = x32 && call.number == u32::MAX && arches.contains(&Arch::X86_64);
        return if cancelled { beyond.0 } else { Action::BAD_ARCHITECTURE.0 };
    };
    let number_of = |name: &str| {
        let number = table::numbers(name)?[arch.column()];
        (number != table::N).then_some(number | arch.number_base())
    };
    let (mut conditional, mut newest, mut named) = (None, None, false);
    for rule in &profile.syscalls {
        let action = Action::parse(&rule.action, rule.errno_ret).unwrap();
        for name in &rule.names {
            let number = number_of(name);
            newest = newest.max(number.filter(|n| n & !X32_BIT < 0x1_0000));
            named |= number == Some(call.number);
            if number != Some(call.number) || action == default {
                continue;
            }
            if rule.args.is_empty() {
                return action.0;
            }
            let holds = |arg: &SeccompArg| holds(arg, call, *arch);
            let twice = |arg: &SeccompArg| {
                rule.args.iter().filter(|other| other.index == arg.index).count() > 1
            };
            let all = if rule.args.iter().any(twice) {
                rule.args.iter().any(holds)
            } else {
                rule.args.iter().all(holds)
            };
            if all {
                conditional.get_or_insert(action.0);
            }
        }
    }
    // An unconditional rule returned above, wherever it was.
    conditional.unwrap_or(match newest {
        Some(newest) if !named && call.number > newest => beyond.0,
        _ => default.0,
    })
}

fn holds(arg: &SeccompArg, call: &Call, arch: Arch) -> bool {
    let narrow = |value: u64| if arch.is_32_bit() { value & 0xffff_ffff } else { value };
    let actual = narrow(call.args[arg.index as usize]);
    let value = narrow(arg.value);
    match arg.op.as_str() {
        "SCMP_CMP_EQ" => actual == value,
        "SCMP_CMP_NE" => actual != value,
        "SCMP_CMP_LT" => actual < value,
        "SCMP_CMP_LE" => actual <= value,
        "SCMP_CMP_GT" => actual > value,
        "SCMP_CMP_GE" => actual >= value,
        "SCMP_CMP_MASKED_EQ" => actual & value == narrow(arg.value_two) & value,
        op => panic!("{op}"),
    }
}

fn check(profile: &Seccomp, native: Arch, calls: &[Call]) {
    let filter = compile_for(profile, native).unwrap();
    let mut arches = vec![native];
    let named = profile.architectures.iter().filter_map(|name| Arch::parse(name).unwrap());
    arches.extend(named.filter(|arch| arch.occurs_on(native)));
    for call in calls {
        let got = run(&filter.program, call);
        let want = expected(profile, &arches, call);
        assert_eq!(got, want, "{got:#x} {want:#x} {call:x?}");
    }
}

/// Calls with each number near one that the architecture has, and numbers far from it.
fn calls_of(arch: Arch, args: [u64; 6]) -> Vec<Call> {
    let far = [0x1000, 0x4000_0000, 0x4000_0fff, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX];
    let near = (0..560).map(|n| n | arch.number_base());
    near.chain(far).map(|number| Call { number, arch: arch.audit(), args }).collect()
}

const VALUES: [u64; 12] = [
    0,
    1,
    2,
    38,
    40,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x7e02_0000,
    0x8000_0000_0000_0000,
    u64::MAX - 1,
    u64::MAX,
];

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![prop::sample::select(&VALUES[..]), any::<u64>()]
}

fn argument() -> impl Strategy<Value = SeccompArg> {
    const OPERATORS: &[&str] = &["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"];
    (0..6_u32, value(), value(), prop::sample::select(OPERATORS)).prop_map(
        |(index, value, value_two, op)| SeccompArg {
            index,
            value,
            value_two,
            op: format!("SCMP_CMP_{op}"),
        },
    )
}

fn action() -> impl Strategy<Value = String> {
    const ACTIONS: &[&str] = &["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "TRAP", "TRACE", "LOG"];
    prop::sample::select(ACTIONS).prop_map(|action| format!("SCMP_ACT_{action}"))
}

/// Names without a multiplexed form, which the evaluator leaves out.
fn name() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "read",
        "write",
        "open",
        "close",
        "clone",
        "clone3",
        "personality",
        "ioctl",
        "execve",
        "ptrace",
        "rt_sigaction",
        "clock_gettime64",
        "landlock_add_rule",
        "no_such_call",
        "mount",
        "umount2",
        "time",
        "fadvise64_64",
        "set_tls",
        "cacheflush",
        "futex",
        "pwritev2",
    ];
    prop::sample::select(NAMES).prop_map(str::to_owned)
}

fn rule() -> impl Strategy<Value = SeccompSyscall> {
    (
        prop::collection::vec(name(), 1..6),
        action(),
        prop::option::of(0..5_u32),
        prop_oneof![Just(Vec::new()), prop::collection::vec(argument(), 0..7)],
    )
        .prop_map(|(names, action, errno_ret, args)| SeccompSyscall {
            names,
            action,
            errno_ret,
            args,
        })
}

fn profile() -> impl Strategy<Value = Seccomp> {
    const ARCHES: &[&str] = &["X86_64", "X86", "X32", "AARCH64", "ARM", "S390X"];
    (
        action(),
        prop::option::of(0..5_u32),
        prop::collection::vec(prop::sample::select(ARCHES), 0..5),
        prop::collection::vec(rule(), 0..20),
    )
        .prop_map(|(default_action, default_errno_ret, arches, syscalls)| Seccomp {
            default_action,
            default_errno_ret,
            architectures: arches.iter().map(|arch| format!("SCMP_ARCH_{arch}")).collect(),
            syscalls,
            ..Seccomp::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn programs_decide_as_the_rules_say(
        profile in profile(),
        args in prop::array::uniform6(value()),
        on_arm in any::<bool>(),
    ) {
        let native = if on_arm { Arch::Aarch64 } else { Arch::X86_64 };
        for arch in [Arch::X86_64, Arch::X86, Arch::X32, Arch::Aarch64, Arch::Arm] {
            let mut calls = calls_of(arch, args);
            calls.push(Call { number: 0xf_0005, arch: arch.audit(), args });
            calls.push(Call { number: 1, arch: 0x1234, args });
            check(&profile, native, &calls);
        }
    }

    /// Whatever is in a profile, reading and compiling end with a value.
    #[test]
    fn mutilated_profiles_do_no_harm(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 0..8),
    ) {
        let mut text = SAMPLE.as_bytes().to_vec();
        for (index, byte, how) in cuts {
            let at = index.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => drop(text.remove(at)),
                _ => text.insert(at, SAMPLE.as_bytes()[usize::from(byte) % SAMPLE.len()]),
            }
        }
        let text = String::from_utf8_lossy(&text);
        if let Ok(Some(profile)) = profile_from_json(&text, &["CAP_SYS_ADMIN".to_owned()]) {
            drop(compile(&profile));
        }
    }

    #[test]
    fn any_text_as_a_profile_does_no_harm(text in "[\\[\\]{}:,\"a-zA-Z0-9. -]{0,200}") {
        drop(profile_from_json(&text, &[]));
    }
}

const SAMPLE: &str = r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"archMap":[
{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]}],
"flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[{"names":["read","write"],
"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":3,"valueTwo":4,"op":"SCMP_CMP_MASKED_EQ"}],
"includes":{"caps":["CAP_SYS_ADMIN"],"minKernel":"4.8","arches":["amd64"]},"excludes":{}}]}"#;

fn caps(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("CAP_{name}")).collect()
}

/// Docker's capabilities of an ordinary container.
fn docker_caps() -> Vec<String> {
    caps(&[
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ])
}

#[test]
fn the_default_profile_decides_as_its_rules_say() {
    for caps in [docker_caps(), Vec::new(), caps(&["SYS_ADMIN", "SYS_PTRACE", "BPF", "SYSLOG"])] {
        let mut profile = default_profile(&caps);
        profile.architectures =
            ["X86_64", "X86", "X32"].iter().map(|a| format!("SCMP_ARCH_{a}")).collect();
        for value in VALUES {
            for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
                let mut calls = calls_of(arch, [value; 6]);
                // The evaluator knows no multiplexed calls; they are allowed here as a whole.
                calls.retain(|call| arch != Arch::X86 || ![102, 117].contains(&call.number));
                check(&profile, Arch::X86_64, &calls);
            }
        }
    }
}

#[test]
fn the_default_profile_is_short_enough() {
    let length = default_program(&docker_caps()).len() / 8;
    assert!(length < 1200, "{length} instructions");
}

#[test]
fn well_known_calls_get_dockers_answers() {
    let program = default_program(&docker_caps());
    let errno = |number: u32| 0x5_0000 | number;
    let allow = 0x7fff_0000;
    let call = |arch: Arch, name: &str, first: u64| {
        let number = table::numbers(name).unwrap()[arch.column()] | arch.number_base();
        run(&program, &Call { number, arch: arch.audit(), args: [first, 0, 0, 0, 0, 0] })
    };
    if Arch::NATIVE != Arch::X86_64 {
        return;
    }
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        for (name, first, answer) in [
            ("read", 0, allow),
            ("mount", 0, errno(1)),
            ("clone3", 0, errno(38)),
            ("clone", 0x11, allow),
            ("clone", 0x1000_0000, errno(1)),
            ("unshare", 0, errno(1)),
            ("socket", 2, allow),
            ("socket", 38, errno(1)),
            ("socket", 39, allow),
            ("socket", 40, errno(1)),
            ("socket", 41, allow),
            ("personality", 0xffff_ffff, allow),
            ("personality", 0x40_0000, errno(1)),
            ("keyctl", 0, errno(1)),
            ("io_uring_setup", 0, errno(1)),
            ("ptrace", 0, allow),
            ("chroot", 0, allow),
            ("reboot", 0, errno(1)),
        ] {
            assert_eq!(call(arch, name, first), answer, "{arch:?} {name} {first}");
        }
    }
    let unknown = Call { number: 5000, arch: Arch::X86_64.audit(), args: [0; 6] };
    assert_eq!(run(&program, &unknown), errno(38));
}

fn with_rule(names: &[&str], action: &str, args: Vec<SeccompArg>) -> Seccomp {
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".into(),
        architectures: vec!["SCMP_ARCH_X86".into()],
        syscalls: vec![SeccompSyscall {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            action: action.into(),
            errno_ret: None,
            args,
        }],
        ..Seccomp::default()
    }
}

#[test]
fn multiplexed_calls_follow_rules_without_conditions_only() {
    let socketcall = |profile: &Seccomp, which: u64| {
        let filter = compile_for(profile, Arch::X86_64).unwrap();
        let args = [which, 0, 0, 0, 0, 0];
        run(&filter.program, &Call { number: 102, arch: Arch::X86.audit(), args })
    };
    for (name, which) in [("accept", 5), ("sendmmsg", 20), ("socket", 1)] {
        let plain = with_rule(&[name], "SCMP_ACT_ALLOW", Vec::new());
        assert_eq!(socketcall(&plain, which), 0x7fff_0000, "{name}");
    }
    let plain = with_rule(&["bind"], "SCMP_ACT_ALLOW", Vec::new());
    assert_eq!(socketcall(&plain, 2), 0x7fff_0000);
    assert_eq!(socketcall(&plain, 1), 0x5_0001);
    let arg = SeccompArg { index: 0, value: 2, value_two: 0, op: "SCMP_CMP_EQ".into() };
    let conditional = with_rule(&["bind"], "SCMP_ACT_ALLOW", vec![arg]);
    assert_eq!(socketcall(&conditional, 2), 0x5_0001);
}

#[test]
fn bad_filters_are_refused() {
    let arg = |index, op: &str| SeccompArg { index, value: 0, value_two: 0, op: op.into() };
    let good = || with_rule(&["read"], "SCMP_ACT_ALLOW", Vec::new());
    assert!(compile(&good()).is_ok());
    let bad = [
        with_rule(&[""], "SCMP_ACT_ALLOW", Vec::new()),
        with_rule(&["read"], "ALLOW", Vec::new()),
        with_rule(&["read"], "SCMP_ACT_ALLOW", vec![arg(6, "SCMP_CMP_EQ")]),
        with_rule(&["read"], "SCMP_ACT_ALLOW", vec![arg(0, "=")]),
        with_rule(&["write"], "SCMP_ACT_NOTIFY", Vec::new()),
        Seccomp { default_action: String::new(), ..good() },
        Seccomp { default_action: "SCMP_ACT_NOTIFY".into(), ..good() },
        Seccomp { default_errno_ret: Some(1 << 16), ..good() },
        Seccomp { architectures: vec!["x86".into()], ..good() },
        Seccomp { flags: vec!["LOG".into()], ..good() },
    ];
    for profile in bad {
        assert!(compile(&profile).is_err(), "{profile:?}");
    }
    let foreign = Seccomp { architectures: vec!["SCMP_ARCH_S390X".into()], ..good() };
    assert!(compile(&foreign).is_ok());
}

#[test]
fn a_filter_that_is_too_long_is_refused() {
    let args =
        |n: u64| vec![SeccompArg { index: 0, value: n, value_two: 0, op: "SCMP_CMP_EQ".into() }];
    let rule = |n| SeccompSyscall {
        args: args(n),
        ..with_rule(&["read"], "SCMP_ACT_ALLOW", vec![]).syscalls.remove(0)
    };
    let mut profile = with_rule(&[], "SCMP_ACT_ALLOW", Vec::new());
    profile.syscalls = (0..400).map(rule).collect();
    assert!(compile(&profile).is_ok());
    profile.syscalls = (0..1000).map(rule).collect();
    assert!(matches!(compile(&profile), Err(SeccompError::TooLong(_))));
}

#[test]
fn flags_and_notification_are_passed_on() {
    let mut profile = with_rule(&["mknod"], "SCMP_ACT_NOTIFY", Vec::new());
    let filter = compile(&profile).unwrap();
    assert!(filter.notify);
    assert_eq!(filter.flags, 4 | 8);
    profile.flags = ["TSYNC", "LOG", "WAIT_KILLABLE_RECV"]
        .iter()
        .map(|flag| format!("SECCOMP_FILTER_FLAG_{flag}"))
        .collect();
    assert_eq!(compile(&profile).unwrap().flags, 2 | 8 | 32);
    profile.syscalls.clear();
    assert_eq!(compile(&profile).unwrap().flags, 1 | 2);
}

fn refused<T>(result: Result<T, rustix::io::Errno>) -> bool {
    matches!(result, Err(rustix::io::Errno::PERM))
}

/// A filter set without synchronisation is the calling thread's own, so a thread stands for the
/// container.
#[test]
fn the_kernel_takes_the_default_profile_and_answers_by_it() {
    use rustix::net::{AddressFamily, SocketType};
    let program = default_program(&docker_caps());
    let thread = std::thread::spawn(move || {
        let open = |family| {
            rustix::net::socket(AddressFamily::from_raw(family), SocketType::RAW, None).map(drop)
        };
        // Proves that the refusals below are the filter's.
        let before = open(16);
        skiff_sys::seccomp::set_filter(&program, DEFAULT_FLAGS).unwrap();
        assert_eq!(open(16), before);
        assert!(refused(open(38)), "AF_ALG");
        assert!(refused(open(40)), "AF_VSOCK");
        assert!(refused(rustix::mount::unmount("/nowhere", rustix::mount::UnmountFlags::DETACH)));
        assert!(refused(rustix::mount::fsopen("tmpfs", rustix::mount::FsOpenFlags::empty())));
        assert!(refused(rustix::system::sethostname(b"changed-by-a-test")));
        assert!(refused(rustix::process::pivot_root("/nowhere", "/nowhere")));
        let code = |error: io::Error| error.raw_os_error();
        let keyring = skiff_sys::keyring::join_session(c"skiff-test").map_err(code);
        assert_eq!(keyring, Err(Some(1)));
        assert_eq!(skiff_sys::process::set_personality(0x40_0000).map_err(code), Err(Some(1)));
        assert_eq!(skiff_sys::process::set_personality(0xffff_ffff).map_err(code), Ok(()));
        let directory = std::fs::File::open("/").unwrap();
        let leave = skiff_sys::namespace::leave(0x0400_0000).map_err(code);
        assert_eq!(leave, Err(Some(1)));
        assert_eq!(skiff_sys::bpf::open_program(1).map_err(code).err(), Some(Some(1)));
        let request = skiff_sys::clone::CloneRequest {
            flags: 0,
            cgroup: Some(std::os::fd::AsFd::as_fd(&directory)),
        };
        let child = skiff_sys::clone::spawn(request, || 0);
        assert_eq!(child.map_err(code).err(), Some(Some(38)), "clone3");
        // libc falls back from clone3 to clone.
        std::thread::spawn(|| {}).join().unwrap();
        assert!(std::process::Command::new("true").status().unwrap().success());
    });
    thread.join().unwrap();
}

#[test]
fn a_listener_gets_a_descriptor() {
    let profile = Seccomp {
        default_action: "SCMP_ACT_ALLOW".into(),
        ..with_rule(&["swapoff"], "SCMP_ACT_NOTIFY", Vec::new())
    };
    let filter = compile(&profile).unwrap();
    let thread = std::thread::spawn(move || {
        let listener = skiff_sys::seccomp::set_filter(&filter.program, filter.flags).unwrap();
        assert!(listener.is_some());
        let again = skiff_sys::seccomp::set_filter(&filter.program[..7], 0);
        assert_eq!(again.unwrap_err().raw_os_error(), Some(22));
    });
    thread.join().unwrap();
}
