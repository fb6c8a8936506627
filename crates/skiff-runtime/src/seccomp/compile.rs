//! From the specification's rules to a program.
//!
//! For each architecture the rules become one outcome for each call number, the outcomes become
//! ranges of equal neighbours, and those a search tree. In front stands the dispatch by
//! architecture.

use std::collections::BTreeMap;

use skiff_model::oci::{Seccomp, SeccompArg, SeccompSyscall};
use skiff_sys::seccomp::{
    FLAG_LOG, FLAG_NEW_LISTENER, FLAG_SPEC_ALLOW, FLAG_TSYNC, FLAG_WAIT_KILLABLE_RECV,
};

use super::action::Action;
use super::arch::{Arch, X32_BIT};
use super::bpf::{
    AND, ARCH, Assembler, Instruction, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, LOAD, Leaf,
    NUMBER, Range, argument, to_bytes,
};
use super::{Filter, SeccompError, table};

/// `BPF_MAXINSNS`.
const LONGEST_PROGRAM: usize = 4096;

/// Compiles a filter for this machine.
pub fn compile(seccomp: &Seccomp) -> Result<Filter, SeccompError> {
    compile_for(seccomp, Arch::NATIVE)
}

/// Compiles a filter for a machine of an architecture.
pub(super) fn compile_for(seccomp: &Seccomp, native: Arch) -> Result<Filter, SeccompError> {
    let profile = Profile::read(seccomp)?;
    let arches = architectures(seccomp, native)?;
    let code = profile.program(&arches);
    if code.len() > LONGEST_PROGRAM {
        return Err(SeccompError::TooLong(code.len()));
    }
    let notify = profile.rules.iter().any(|rule| rule.action == Action::NOTIFY);
    Ok(Filter { program: to_bytes(&code), flags: flags(&seccomp.flags, notify)?, notify })
}

/// Lists the architectures of a filter: the native one always, and of the others those that can
/// occur.
fn architectures(seccomp: &Seccomp, native: Arch) -> Result<Vec<Arch>, SeccompError> {
    let mut arches = vec![native];
    for name in &seccomp.architectures {
        if let Some(arch) = Arch::parse(name)?
            && arch.occurs_on(native)
            && !arches.contains(&arch)
        {
            arches.push(arch);
        }
    }
    Ok(arches)
}

/// Translates flags. With none given, the speculative store bypass mitigation is left off, as runc
/// does: it costs much and protects nothing here (kernels since 5.16 agree).
fn flags(names: &[String], notify: bool) -> Result<u32, SeccompError> {
    let mut flags = if names.is_empty() { FLAG_SPEC_ALLOW } else { 0 };
    for name in names {
        flags |= match name.as_str() {
            "SECCOMP_FILTER_FLAG_TSYNC" => FLAG_TSYNC,
            "SECCOMP_FILTER_FLAG_LOG" => FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => FLAG_SPEC_ALLOW,
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => FLAG_WAIT_KILLABLE_RECV,
            _ => return Err(SeccompError::Flag(name.clone())),
        };
    }
    if notify {
        // The process has one thread, and the kernel refuses both together.
        flags = flags & !FLAG_TSYNC | FLAG_NEW_LISTENER;
    } else {
        flags &= !FLAG_WAIT_KILLABLE_RECV;
    }
    Ok(flags)
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// With the mask.
    MaskedEqual(u64),
}

/// One condition on an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) comparison: Comparison,
    pub(super) value: u64,
}

impl Condition {
    fn read(arg: &SeccompArg) -> Result<Condition, SeccompError> {
        let (comparison, value) = match arg.op.as_str() {
            "SCMP_CMP_EQ" => (Comparison::Equal, arg.value),
            "SCMP_CMP_NE" => (Comparison::NotEqual, arg.value),
            "SCMP_CMP_LT" => (Comparison::Less, arg.value),
            "SCMP_CMP_LE" => (Comparison::LessEqual, arg.value),
            "SCMP_CMP_GT" => (Comparison::Greater, arg.value),
            "SCMP_CMP_GE" => (Comparison::GreaterEqual, arg.value),
            // libseccomp compares only the bits of the mask.
            "SCMP_CMP_MASKED_EQ" => (Comparison::MaskedEqual(arg.value), arg.value_two & arg.value),
            _ => return Err(SeccompError::Operator(arg.op.clone())),
        };
        if arg.index > 5 {
            return Err(SeccompError::ArgumentIndex(arg.index));
        }
        Ok(Condition { index: arg.index, comparison, value })
    }
}

/// A call by all its numbers, and its multiplexed form: number and first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NamedCall {
    numbers: &'static [u32; table::COLUMNS],
    multiplexed: Option<(u32, u64)>,
}

impl NamedCall {
    /// Finds a call; names that no kernel of ours has are passed over, as by libseccomp.
    fn find(name: &str) -> Option<NamedCall> {
        let numbers = table::numbers(name)?;
        let multiplexed = MULTIPLEXED.binary_search_by(|(inner, ..)| (*inner).cmp(name)).ok();
        let multiplexed = multiplexed.map(|index| (MULTIPLEXED[index].1, MULTIPLEXED[index].2));
        Some(NamedCall { numbers, multiplexed })
    }

    fn number(&self, arch: Arch) -> Option<u32> {
        let number = self.numbers[arch.column()];
        (number != table::N).then(|| number + arch.number_base())
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    calls: Vec<NamedCall>,
    action: Action,
    /// Each alternative is a list of conditions that must all hold; no alternative is "always".
    alternatives: Vec<Vec<Condition>>,
}

impl Rule {
    fn read(syscall: &SeccompSyscall) -> Result<Rule, SeccompError> {
        let action = Action::parse(&syscall.action, syscall.errno_ret)?;
        if syscall.names.iter().any(String::is_empty) {
            return Err(SeccompError::EmptyName);
        }
        if action == Action::NOTIFY && syscall.names.iter().any(|name| name == "write") {
            // The descriptor is handed on with write, by the process that the filter is on.
            return Err(SeccompError::NotifyOnWrite);
        }
        let conditions: Vec<Condition> =
            syscall.args.iter().map(Condition::read).collect::<Result<_, _>>()?;
        let repeated = |c: &Condition| conditions.iter().filter(|o| o.index == c.index).count() > 1;
        let alternatives = if conditions.is_empty() {
            Vec::new()
        } else if conditions.iter().any(repeated) {
            // libseccomp takes one condition for each argument, so runc makes rules of their own
            // of all of them when an argument comes twice.
            conditions.iter().map(|condition| vec![*condition]).collect()
        } else {
            vec![conditions]
        };
        let calls = syscall.names.iter().filter_map(|name| NamedCall::find(name)).collect();
        Ok(Rule { calls, action, alternatives })
    }
}

/// What is done about one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Outcome {
    /// Tried in order.
    conditional: Vec<(Vec<Condition>, Action)>,
    /// Beats all conditions, before and after it; the first one counts.
    always: Option<Action>,
}

struct Profile {
    default: Action,
    rules: Vec<Rule>,
}

impl Profile {
    fn read(seccomp: &Seccomp) -> Result<Profile, SeccompError> {
        let default = Action::parse(&seccomp.default_action, seccomp.default_errno_ret)?;
        if default == Action::NOTIFY {
            return Err(SeccompError::NotifyByDefault);
        }
        let mut rules = Vec::with_capacity(seccomp.syscalls.len());
        for syscall in &seccomp.syscalls {
            rules.push(Rule::read(syscall)?);
        }
        Ok(Profile { default, rules })
    }

    /// Makes the whole program. All architectures are dispatched by their audit number; x32 is a
    /// range of numbers in x86-64's part. The native one is looked for first.
    fn program(&self, arches: &[Arch]) -> Vec<Instruction> {
        let mut assembler = Assembler::default();
        let mut dispatch = assembler.ret(Action::BAD_ARCHITECTURE);
        for arch in arches.iter().rev().filter(|arch| **arch != Arch::X32) {
            let mut ranges = self.ranges(*arch);
            if *arch == Arch::X86_64 {
                self.add_x32(&mut ranges, arches.contains(&Arch::X32));
            }
            let search = assembler.search(&merge(ranges));
            let part = assembler.before(search, Instruction::new(LOAD, NUMBER));
            dispatch = assembler.branch(JUMP_EQUAL, arch.audit(), part, dispatch);
        }
        assembler.before(dispatch, Instruction::new(LOAD, ARCH));
        assembler.finish()
    }

    /// Adds the numbers with bit 30 to the ranges of x86-64.
    fn add_x32(&self, ranges: &mut Vec<Range>, has_x32: bool) {
        if has_x32 {
            ranges.extend(self.ranges(Arch::X32));
            return;
        }
        ranges.push(Range { first: X32_BIT, leaf: Leaf::Return(Action::BAD_ARCHITECTURE) });
        // -1 is a call that a tracer cancelled, not one of x32.
        ranges.push(Range { first: u32::MAX, leaf: Leaf::Return(self.beyond()) });
    }

    /// What a call that is newer than the profile gets.
    fn beyond(&self) -> Action {
        if self.default.lets_through() { self.default } else { Action::NO_SUCH_CALL }
    }

    /// Lists the ranges of one architecture, from its first number on.
    fn ranges(&self, arch: Arch) -> Vec<Range> {
        let (outcomes, last) = self.outcomes(arch);
        let between = |number| match last {
            Some(last) if number > last => Leaf::Return(self.beyond()),
            _ => Leaf::Return(self.default),
        };
        let base = arch.number_base();
        let mut ranges = vec![Range { first: base, leaf: between(base) }];
        for (number, outcome) in &outcomes {
            ranges.push(Range { first: *number, leaf: self.leaf(outcome, arch) });
            ranges.push(Range { first: number + 1, leaf: between(number + 1) });
        }
        ranges
    }

    /// Collects the outcome for each call that the profile names, with whatever action, and the
    /// greatest of their numbers.
    fn outcomes(&self, arch: Arch) -> (BTreeMap<u32, Outcome>, Option<u32>) {
        let mut outcomes: BTreeMap<u32, Outcome> = BTreeMap::new();
        let mut last = None;
        for rule in &self.rules {
            let differs = rule.action != self.default;
            for call in &rule.calls {
                if let Some(number) = call.number(arch) {
                    // Private calls (arm's, far above the others) tell no kernel's age.
                    if number & !X32_BIT < 0x1_0000 {
                        last = last.max(Some(number));
                    }
                    let outcome = outcomes.entry(number).or_default();
                    if differs {
                        add(outcome, rule);
                    }
                }
                if differs && arch == Arch::X86 {
                    add_multiplexed(&mut outcomes, rule, call);
                }
            }
        }
        (outcomes, last)
    }

    fn leaf(&self, outcome: &Outcome, arch: Arch) -> Leaf {
        if let Some(action) = outcome.always {
            return Leaf::Return(action);
        }
        if outcome.conditional.is_empty() {
            return Leaf::Return(self.default);
        }
        let mut code = Vec::new();
        for (conditions, action) in &outcome.conditional {
            add_conditions(&mut code, conditions, *action, arch);
        }
        code.push(Instruction::ret(self.default));
        Leaf::Code(code)
    }
}

fn add(outcome: &mut Outcome, rule: &Rule) {
    if rule.alternatives.is_empty() {
        outcome.always.get_or_insert(rule.action);
    }
    let alternatives = rule.alternatives.iter().cloned();
    outcome.conditional.extend(alternatives.map(|conditions| (conditions, rule.action)));
}

const SOCKETCALL: u32 = 102;
const IPC: u32 = 117;

/// Old x86 programs make socket and IPC calls through `socketcall` and `ipc`, with the call in the
/// first argument (linux/net.h, linux/ipc.h). Sorted by name.
const MULTIPLEXED: [(&str, u32, u64); 32] = [
    ("accept", SOCKETCALL, 5),
    ("accept4", SOCKETCALL, 18),
    ("bind", SOCKETCALL, 2),
    ("connect", SOCKETCALL, 3),
    ("getpeername", SOCKETCALL, 7),
    ("getsockname", SOCKETCALL, 6),
    ("getsockopt", SOCKETCALL, 15),
    ("listen", SOCKETCALL, 4),
    ("msgctl", IPC, 14),
    ("msgget", IPC, 13),
    ("msgrcv", IPC, 12),
    ("msgsnd", IPC, 11),
    ("recv", SOCKETCALL, 10),
    ("recvfrom", SOCKETCALL, 12),
    ("recvmmsg", SOCKETCALL, 19),
    ("recvmsg", SOCKETCALL, 17),
    ("semctl", IPC, 3),
    ("semget", IPC, 2),
    ("semop", IPC, 1),
    ("semtimedop", IPC, 4),
    ("send", SOCKETCALL, 9),
    ("sendmmsg", SOCKETCALL, 20),
    ("sendmsg", SOCKETCALL, 16),
    ("sendto", SOCKETCALL, 11),
    ("setsockopt", SOCKETCALL, 14),
    ("shmat", IPC, 21),
    ("shmctl", IPC, 24),
    ("shmdt", IPC, 22),
    ("shmget", IPC, 23),
    ("shutdown", SOCKETCALL, 13),
    ("socket", SOCKETCALL, 1),
    ("socketpair", SOCKETCALL, 8),
];

/// Makes a rule about a call count for its multiplexed form too. The arguments are in memory there,
/// out of a filter's sight, so a rule with conditions does not carry over: libseccomp would drop
/// its condition on the first argument and so allow more than the profile says.
fn add_multiplexed(outcomes: &mut BTreeMap<u32, Outcome>, rule: &Rule, call: &NamedCall) {
    let Some((number, value)) = call.multiplexed.filter(|_| rule.alternatives.is_empty()) else {
        return;
    };
    let condition = Condition { index: 0, comparison: Comparison::Equal, value };
    let outcome = outcomes.entry(number).or_default();
    outcome.conditional.push((vec![condition], rule.action));
}

/// Joins neighbours with the same outcome, and drops empty ranges.
fn merge(ranges: Vec<Range>) -> Vec<Range> {
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.first == range.first => last.leaf = range.leaf,
            _ => merged.push(range),
        }
        let len = merged.len();
        if len > 1 && merged[len - 1].leaf == merged[len - 2].leaf {
            merged.pop();
        }
    }
    merged
}

/// Where a comparison goes when it is decided before its end.
const PASS: u8 = 254;
const FAIL: u8 = 255;

/// Adds code that returns `action` if all conditions hold and goes on behind itself if not.
fn add_conditions(
    code: &mut Vec<Instruction>,
    conditions: &[Condition],
    action: Action,
    arch: Arch,
) {
    let start = code.len();
    for condition in conditions {
        let at = code.len();
        add_condition(code, condition, arch);
        let end = code.len();
        patch(&mut code[at..end], PASS, end - at);
    }
    code.push(Instruction::ret(action));
    let end = code.len();
    patch(&mut code[start..end], FAIL, end - start);
}

/// Replaces a marker by the distance to `end`. Six conditions of five instructions each are the
/// longest piece there is, so the distance fits and no real one looks like a marker.
fn patch(code: &mut [Instruction], marker: u8, end: usize) {
    for (at, instruction) in code.iter_mut().enumerate() {
        let distance = (end - at - 1) as u8;
        if matches!(instruction.code, JUMP_EQUAL | JUMP_GREATER | JUMP_GREATER_EQUAL) {
            for target in [&mut instruction.if_true, &mut instruction.if_false] {
                if *target == marker {
                    *target = distance;
                }
            }
        }
    }
}

fn add_condition(code: &mut Vec<Instruction>, condition: &Condition, arch: Arch) {
    let Condition { index, comparison, value } = *condition;
    let (upper, lower) = ((value >> 32) as u32, value as u32);
    let wide = !arch.is_32_bit();
    let mut push = |code_word, operand, if_true, if_false| {
        code.push(Instruction::jump(code_word, operand, if_true, if_false));
    };
    if let Comparison::MaskedEqual(mask) = comparison {
        let (mask_upper, mask_lower) = ((mask >> 32) as u32, mask as u32);
        if wide && mask_upper != 0 {
            push(LOAD, argument(index, true), 0, 0);
            push(AND, mask_upper, 0, 0);
            push(JUMP_EQUAL, upper, 0, FAIL);
        }
        push(LOAD, argument(index, false), 0, 0);
        push(AND, mask_lower, 0, 0);
        push(JUMP_EQUAL, lower, PASS, FAIL);
        return;
    }
    if wide {
        push(LOAD, argument(index, true), 0, 0);
        match comparison {
            Comparison::Equal | Comparison::MaskedEqual(_) => push(JUMP_EQUAL, upper, 0, FAIL),
            Comparison::NotEqual => push(JUMP_EQUAL, upper, 0, PASS),
            Comparison::Greater | Comparison::GreaterEqual => {
                push(JUMP_GREATER, upper, PASS, 0);
                push(JUMP_EQUAL, upper, 0, FAIL);
            }
            Comparison::Less | Comparison::LessEqual => {
                push(JUMP_GREATER, upper, FAIL, 0);
                push(JUMP_EQUAL, upper, 0, PASS);
            }
        }
    }
    push(LOAD, argument(index, false), 0, 0);
    match comparison {
        Comparison::Equal | Comparison::MaskedEqual(_) => push(JUMP_EQUAL, lower, PASS, FAIL),
        Comparison::NotEqual => push(JUMP_EQUAL, lower, FAIL, PASS),
        Comparison::Greater => push(JUMP_GREATER, lower, PASS, FAIL),
        Comparison::GreaterEqual => push(JUMP_GREATER_EQUAL, lower, PASS, FAIL),
        Comparison::Less => push(JUMP_GREATER_EQUAL, lower, FAIL, PASS),
        Comparison::LessEqual => push(JUMP_GREATER, lower, FAIL, PASS),
    }
}
