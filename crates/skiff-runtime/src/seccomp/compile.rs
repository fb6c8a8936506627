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
    AND, ARCH, Instruction, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_EQUAL, LOAD, Leaf, NUMBER,
    Range, argument, search_tree, to_bytes,
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

/// A rule that differs from the default.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule<'a> {
    names: &'a [String],
    action: Action,
    /// Each alternative is a list of conditions that must all hold; no alternative is "always".
    alternatives: Vec<Vec<Condition>>,
}

impl<'a> Rule<'a> {
    fn read(syscall: &'a SeccompSyscall) -> Result<Rule<'a>, SeccompError> {
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
        Ok(Rule { names: &syscall.names, action, alternatives })
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

struct Profile<'a> {
    default: Action,
    rules: Vec<Rule<'a>>,
}

impl<'a> Profile<'a> {
    fn read(seccomp: &'a Seccomp) -> Result<Profile<'a>, SeccompError> {
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
    /// range of numbers in x86-64's part.
    fn program(&self, arches: &[Arch]) -> Vec<Instruction> {
        let mut code = vec![Instruction::new(LOAD, ARCH)];
        for arch in arches.iter().filter(|arch| **arch != Arch::X32) {
            let mut part = vec![Instruction::new(LOAD, NUMBER)];
            let mut ranges = self.ranges(*arch);
            if *arch == Arch::X86_64 {
                if arches.contains(&Arch::X32) {
                    ranges.extend(self.ranges(Arch::X32));
                } else {
                    let bad = Leaf::Return(Action::BAD_ARCHITECTURE);
                    ranges.push(Range { first: X32_BIT, leaf: bad });
                    // -1 is a call that a tracer cancelled, not one of x32.
                    ranges.push(Range { first: u32::MAX, leaf: Leaf::Return(self.beyond()) });
                }
            }
            part.extend(search_tree(&merge(ranges)));
            code.push(Instruction::jump(JUMP_EQUAL, arch.audit(), 1, 0));
            code.push(Instruction::new(JUMP, part.len() as u32));
            code.extend(part);
        }
        code.push(Instruction::ret(Action::BAD_ARCHITECTURE));
        code
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

    /// Collects the outcome for each call, and the greatest number that the profile names, with
    /// whatever action.
    fn outcomes(&self, arch: Arch) -> (BTreeMap<u32, Outcome>, Option<u32>) {
        let mut outcomes: BTreeMap<u32, Outcome> = BTreeMap::new();
        let mut last = None;
        for rule in &self.rules {
            for name in rule.names {
                let number = number(name, arch);
                // Private calls (arm's, far above the others) say nothing about a kernel's age.
                last = last.max(number.filter(|n| n & !X32_BIT < 0x1_0000));
                if rule.action == self.default {
                    continue;
                }
                if let Some(number) = number {
                    add(outcomes.entry(number).or_default(), rule);
                }
                add_multiplexed(&mut outcomes, rule, name, arch);
            }
        }
        if let Some(last) = last {
            // It ends a range, also when it has the default's action.
            outcomes.entry(last).or_default();
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

fn number(name: &str, arch: Arch) -> Option<u32> {
    let number = table::numbers(name)?[arch.column()];
    (number != table::N).then(|| number + arch.number_base())
}

fn add(outcome: &mut Outcome, rule: &Rule<'_>) {
    if rule.alternatives.is_empty() {
        outcome.always.get_or_insert(rule.action);
    }
    let alternatives = rule.alternatives.iter().cloned();
    outcome.conditional.extend(alternatives.map(|conditions| (conditions, rule.action)));
}

/// Old x86 programs make socket and IPC calls through `socketcall` and `ipc`, with the call in the
/// first argument (linux/net.h, linux/ipc.h).
const MULTIPLEXED: [(&str, &str, u64); 32] = [
    ("socket", "socketcall", 1),
    ("bind", "socketcall", 2),
    ("connect", "socketcall", 3),
    ("listen", "socketcall", 4),
    ("accept", "socketcall", 5),
    ("getsockname", "socketcall", 6),
    ("getpeername", "socketcall", 7),
    ("socketpair", "socketcall", 8),
    ("send", "socketcall", 9),
    ("recv", "socketcall", 10),
    ("sendto", "socketcall", 11),
    ("recvfrom", "socketcall", 12),
    ("shutdown", "socketcall", 13),
    ("setsockopt", "socketcall", 14),
    ("getsockopt", "socketcall", 15),
    ("sendmsg", "socketcall", 16),
    ("recvmsg", "socketcall", 17),
    ("accept4", "socketcall", 18),
    ("recvmmsg", "socketcall", 19),
    ("sendmmsg", "socketcall", 20),
    ("semop", "ipc", 1),
    ("semget", "ipc", 2),
    ("semctl", "ipc", 3),
    ("semtimedop", "ipc", 4),
    ("msgsnd", "ipc", 11),
    ("msgrcv", "ipc", 12),
    ("msgget", "ipc", 13),
    ("msgctl", "ipc", 14),
    ("shmat", "ipc", 21),
    ("shmdt", "ipc", 22),
    ("shmget", "ipc", 23),
    ("shmctl", "ipc", 24),
];

/// Makes a rule about a call count for its multiplexed form too. The arguments are in memory there,
/// out of a filter's sight, so a rule with conditions does not carry over: libseccomp would drop
/// its condition on the first argument and so allow more than the profile says.
fn add_multiplexed(outcomes: &mut BTreeMap<u32, Outcome>, rule: &Rule<'_>, name: &str, arch: Arch) {
    if arch != Arch::X86 || !rule.alternatives.is_empty() {
        return;
    }
    let Some((_, call, value)) = MULTIPLEXED.iter().find(|(inner, ..)| *inner == name) else {
        return;
    };
    let Some(number) = number(call, arch) else { return };
    let condition = Condition { index: 0, comparison: Comparison::Equal, value: *value };
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
