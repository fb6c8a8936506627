//! The device program of a v2 control group: compiled from a [`DevicePolicy`], and installed.
//!
//! The program gets `struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; }`, with the
//! device type in the low half of `access_type` and the access bits in the high half, and returns 1
//! to allow. Each exception becomes one block of comparisons; the default ends the program.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use skiff_sys::bpf::{self, Instruction};

use super::devices::{Access, DeviceKind, DeviceMatch, DevicePolicy};
use super::error::{CgroupError, Result};

const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 1;

const LOAD_WORD: u8 = 0x61;
const AND_IMMEDIATE: u8 = 0x54;
const SHIFT_RIGHT_IMMEDIATE: u8 = 0x74;
const MOVE_IMMEDIATE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const JUMP_NOT_EQUAL: u8 = 0x55;
const JUMP_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

/// `struct bpf_insn` as a number; all ALU operations are the 32 bit ones.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    let [offset_low, offset_high] = offset.to_ne_bytes();
    let [a, b, c, d] = immediate.to_ne_bytes();
    // The two registers share a byte, the destination in the low half on little-endian machines.
    let registers = if cfg!(target_endian = "little") {
        source << 4 | destination
    } else {
        destination << 4 | source
    };
    u64::from_ne_bytes([code, registers, offset_low, offset_high, a, b, c, d])
}

/// Compiles a policy.
pub(super) fn compile(policy: &DevicePolicy) -> Vec<Instruction> {
    let mut program = vec![
        instruction(LOAD_WORD, TYPE, 1, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, TYPE, 0, 0),
        instruction(AND_IMMEDIATE, TYPE, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT_IMMEDIATE, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, 1, 4, 0),
        instruction(LOAD_WORD, MINOR, 1, 8, 0),
    ];
    for (target, access) in &policy.exceptions {
        add_exception(&mut program, *target, *access, policy.allow_by_default);
    }
    add_return(&mut program, policy.allow_by_default);
    program
}

/// An allowance must cover every letter asked for; a denial needs one of them in common.
fn add_exception(
    program: &mut Vec<Instruction>,
    target: DeviceMatch,
    access: Access,
    denies: bool,
) {
    let kind = match target.kind {
        DeviceKind::Block => 1,
        DeviceKind::Char => 2,
    };
    let mut tests = vec![(TYPE, kind)];
    // The bits of a number are what is compared; -1 is a number like others here.
    tests.extend(target.major.map(|major| (MAJOR, major as i32)));
    tests.extend(target.minor.map(|minor| (MINOR, minor as i32)));
    let tests_access = denies || access != Access::ALL;
    // Behind each test: the tests after it, three instructions about access, two of the return.
    let tail = if tests_access { 3 } else { 0 } + 2;
    for (index, (register, value)) in tests.iter().enumerate() {
        let skip = tests.len() - 1 - index + tail;
        program.push(instruction(JUMP_NOT_EQUAL, *register, 0, skip as i16, *value));
    }
    if tests_access {
        let (mask, jump) =
            if denies { (access.0, JUMP_EQUAL) } else { (!access.0, JUMP_NOT_EQUAL) };
        program.push(instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
        program.push(instruction(AND_IMMEDIATE, SCRATCH, 0, 0, mask as i32));
        program.push(instruction(jump, SCRATCH, 0, 2, 0));
    }
    add_return(program, !denies);
}

fn add_return(program: &mut Vec<Instruction>, allow: bool) {
    program.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, i32::from(allow)));
    program.push(instruction(EXIT, 0, 0, 0, 0));
}

/// Makes a policy the only one of a group. The old program stays until the new one is in force.
pub(super) fn install(dir: &Path, policy: &DevicePolicy) -> Result<()> {
    let failed =
        |action| move |source| CgroupError::DeviceProgram { path: dir.into(), action, source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let group = rustix::fs::open(dir, flags, Mode::empty())
        .map_err(|error| CgroupError::Open { path: dir.into(), source: error.into() })?;
    let group = group.as_fd();
    let program = bpf::load_device_program(&compile(policy)).map_err(failed("load"))?;
    let old: Vec<_> = bpf::query_device_programs(group)
        .map_err(failed("query"))?
        .into_iter()
        // A program that went away in the meantime needs no replacement.
        .filter_map(|id| bpf::open_program(id).ok())
        .collect();
    if let [only] = old.as_slice() {
        let replaced = bpf::attach_device_program(group, program.as_fd(), Some(only.as_fd()));
        match replaced.map_err(|error| (Errno::from_io_error(&error), error)) {
            Ok(()) => return Ok(()),
            // Before 5.6, or it was attached without permission for others.
            Err((Some(Errno::INVAL | Errno::PERM), _)) => {}
            Err((_, error)) => return Err(failed("replace")(error)),
        }
    }
    bpf::attach_device_program(group, program.as_fd(), None).map_err(failed("attach"))?;
    for program in old {
        bpf::detach_device_program(group, program.as_fd()).map_err(failed("detach"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use skiff_model::oci::DeviceCgroup;

    use super::super::devices::tests::{docker_default, rule};
    use super::*;

    /// Runs a program as the kernel would; anything that its verifier would refuse is a panic.
    fn run(program: &[Instruction], context: [u32; 3]) -> u64 {
        let mut registers = [None::<u64>; 11];
        registers[1] = Some(u64::MAX); // The context pointer: only loads may use it.
        let mut at = 0;
        let mut context_valid = true;
        loop {
            let [code, regs, o0, o1, i0, i1, i2, i3] = program[at].to_ne_bytes();
            let (destination, source) = (usize::from(regs & 15), usize::from(regs >> 4));
            let offset = i16::from_ne_bytes([o0, o1]);
            let immediate = i32::from_ne_bytes([i0, i1, i2, i3]);
            let get = |index: usize| registers[index].expect("uninitialised register");
            at += 1;
            match code {
                LOAD_WORD => {
                    assert!(source == 1 && context_valid);
                    let word = context[usize::try_from(offset).unwrap() / 4];
                    registers[destination] = Some(word.into());
                }
                AND_IMMEDIATE => {
                    let value = get(destination) as u32 & immediate as u32;
                    registers[destination] = Some(value.into());
                }
                SHIFT_RIGHT_IMMEDIATE => {
                    let value = get(destination) as u32 >> immediate;
                    registers[destination] = Some(value.into());
                }
                MOVE_IMMEDIATE => registers[destination] = Some((immediate as u32).into()),
                MOVE_REGISTER => {
                    let value = get(source) as u32;
                    context_valid &= destination != 1;
                    registers[destination] = Some(value.into());
                }
                JUMP_NOT_EQUAL | JUMP_EQUAL => {
                    // The immediate of a 64 bit comparison is sign-extended.
                    let equal = get(destination) == i64::from(immediate) as u64;
                    if equal == (code == JUMP_EQUAL) {
                        at += usize::try_from(offset).unwrap();
                    }
                }
                EXIT => return get(0),
                other => panic!("unknown code {other:#x}"),
            }
        }
    }

    /// What the rules mean: the last rule about a device decides each letter for itself.
    fn expected(rules: &[DeviceCgroup], kind: DeviceKind, device: (u32, u32), access: u32) -> bool {
        let policy = DevicePolicy::from_rules(rules).unwrap();
        let hits = |target: &DeviceMatch| {
            target.kind == kind
                && target.major.is_none_or(|major| major == device.0)
                && target.minor.is_none_or(|minor| minor == device.1)
        };
        let mut exceptions = policy.exceptions.iter().filter(|(target, _)| hits(target));
        if policy.allow_by_default {
            !exceptions.any(|(_, theirs)| theirs.0 & access != 0)
        } else {
            exceptions.any(|(_, theirs)| access & !theirs.0 == 0)
        }
    }

    fn compare(rules: &[DeviceCgroup]) {
        let program = compile(&DevicePolicy::from_rules(rules).unwrap());
        for (kind, code) in [(DeviceKind::Block, 1), (DeviceKind::Char, 2)] {
            for major in [0, 1, 5, 8, 10, 136, u32::MAX] {
                for minor in [0, 1, 3, 5, 200, u32::MAX] {
                    for access in 1..8 {
                        let got = run(&program, [access << 16 | code, major, minor]);
                        let want = expected(rules, kind, (major, minor), access);
                        assert_eq!(got, u64::from(want), "{kind:?} {major}:{minor} {access}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_program_decides_as_the_rules_say() {
        compare(&[]);
        compare(&docker_default());
        compare(&[rule(true, "a")]);
        compare(&[rule(true, "a"), rule(false, "b 8:* w"), rule(false, "c 1:3 rwm")]);
        compare(&[rule(true, "c 1:* r"), rule(true, "c *:5 w"), rule(true, "b *:*")]);
    }

    #[test]
    fn dockers_list_allows_null_and_refuses_disks() {
        let program = compile(&DevicePolicy::from_rules(&docker_default()).unwrap());
        assert_eq!(run(&program, [7 << 16 | 2, 1, 3]), 1);
        assert_eq!(run(&program, [Access::READ << 16 | 1, 8, 0]), 0);
        assert_eq!(run(&program, [Access::MKNOD << 16 | 1, 8, 0]), 1);
    }

    #[test]
    fn the_kernel_accepts_the_program() {
        let program = compile(&DevicePolicy::from_rules(&docker_default()).unwrap());
        match bpf::load_device_program(&program) {
            Ok(_) => {}
            // A kernel without CONFIG_CGROUP_BPF has no such program type.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                let smallest = compile(&DevicePolicy::allow_all());
                assert!(bpf::load_device_program(&smallest).is_err(), "refused: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
