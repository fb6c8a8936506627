//! Classic BPF as seccomp takes it: the instructions, and a search tree over call numbers.
//!
//! Jumps go forward only and by at most 255 instructions when conditional. Code is therefore built
//! from the leaves up, as pieces whose length is known, each of which ends in returns; a longer way
//! is taken with an unconditional jump. (linux/filter.h, Documentation/networking/filter.rst)

use super::action::Action;

pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JUMP: u16 = 0x05;
pub(super) const JUMP_EQUAL: u16 = 0x15;
pub(super) const JUMP_GREATER: u16 = 0x25;
pub(super) const JUMP_GREATER_EQUAL: u16 = 0x35;
pub(super) const RETURN: u16 = 0x06;

/// Offset of the call's number in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
/// Offset of the architecture.
pub(super) const ARCH: u32 = 4;

/// Offset of an argument's lower (false) or upper (true) half.
pub(super) fn argument(index: u32, upper: bool) -> u32 {
    let second = u32::from(upper != cfg!(target_endian = "big"));
    16 + 8 * index + 4 * second
}

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub(super) code: u16,
    /// How many instructions to skip when the comparison holds.
    pub(super) if_true: u8,
    /// And when it does not.
    pub(super) if_false: u8,
    pub(super) operand: u32,
}

impl Instruction {
    pub(super) fn new(code: u16, operand: u32) -> Instruction {
        Instruction { code, if_true: 0, if_false: 0, operand }
    }

    pub(super) fn jump(code: u16, operand: u32, if_true: u8, if_false: u8) -> Instruction {
        Instruction { code, if_true, if_false, operand }
    }

    pub(super) fn ret(action: Action) -> Instruction {
        Instruction::new(RETURN, action.0)
    }
}

/// Serialises for the kernel.
pub(super) fn to_bytes(code: &[Instruction]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(code.len() * 8);
    for instruction in code {
        bytes.extend_from_slice(&instruction.code.to_ne_bytes());
        bytes.extend_from_slice(&[instruction.if_true, instruction.if_false]);
        bytes.extend_from_slice(&instruction.operand.to_ne_bytes());
    }
    bytes
}

/// What happens to the calls from one number to before the next range's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u32,
    pub(super) leaf: Leaf,
}

/// The end of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    Return(Action),
    /// Code that looks at arguments, and returns in every case.
    Code(Vec<Instruction>),
}

/// Makes the search: the number is in the accumulator, the first range starts at the smallest one.
pub(super) fn search_tree(ranges: &[Range]) -> Vec<Instruction> {
    let mut code = Vec::new();
    add_tree(ranges, &mut code);
    code
}

fn add_tree(ranges: &[Range], code: &mut Vec<Instruction>) {
    match ranges {
        [] => {}
        [only] => match &only.leaf {
            Leaf::Return(action) => code.push(Instruction::ret(*action)),
            Leaf::Code(leaf) => code.extend_from_slice(leaf),
        },
        _ => {
            let (left, right) = ranges.split_at(ranges.len() / 2);
            let at = code.len();
            let boundary = right[0].first;
            code.push(Instruction::jump(JUMP_GREATER_EQUAL, boundary, 0, 0));
            add_tree(left, code);
            let distance = code.len() - at - 1;
            if let Ok(distance) = u8::try_from(distance) {
                code[at].if_true = distance;
            } else {
                // True falls on the long jump, false skips it.
                code[at].if_false = 1;
                code.insert(at + 1, Instruction::new(JUMP, distance as u32));
            }
            add_tree(right, code);
        }
    }
}
