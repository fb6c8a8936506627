//! Classic BPF as seccomp takes it: the instructions, and a search tree over call numbers.
//!
//! Jumps go forward only, conditional ones by at most 255 instructions. Programs are therefore
//! built from their end: what is jumped to exists before the jump, ends that are alike are shared,
//! and where one is out of reach it is repeated, or a long jump to it is put in between. Short
//! programs matter, since the kernel translates each for every container that starts (0.1 us an
//! instruction). (linux/filter.h, Documentation/networking/filter.rst)

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

/// A place in a program under construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// A program, the last instruction first.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<Instruction>,
    /// The nearest place where each end is.
    ends: Vec<(Leaf, Label)>,
}

impl Assembler {
    /// How far a conditional jump may go, with room for a long jump to be put in between.
    const REACH: usize = 253;

    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label.0 - 1
    }

    fn push(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len() - 1)
    }

    /// Makes a place reachable for a conditional jump.
    fn reachable(&mut self, label: Label) -> Label {
        match self.distance(label) {
            0..=Self::REACH => label,
            far => self.push(Instruction::new(JUMP, far as u32)),
        }
    }

    /// Adds an end, or finds one like it within reach.
    fn end(&mut self, leaf: &Leaf) -> Label {
        let known = self.ends.iter().position(|(known, _)| known == leaf);
        if let Some(index) = known
            && self.distance(self.ends[index].1) <= Self::REACH
        {
            return self.ends[index].1;
        }
        let label = match leaf {
            Leaf::Return(action) => self.push(Instruction::ret(*action)),
            Leaf::Code(code) => {
                self.reversed.extend(code.iter().rev());
                Label(self.reversed.len() - 1)
            }
        };
        match known {
            Some(index) => self.ends[index].1 = label,
            None => self.ends.push((leaf.clone(), label)),
        }
        label
    }

    /// Adds a return.
    pub(super) fn ret(&mut self, action: Action) -> Label {
        self.end(&Leaf::Return(action))
    }

    /// Adds an instruction that goes on with what was added last, which must be `next`.
    pub(super) fn before(&mut self, next: Label, instruction: Instruction) -> Label {
        if self.distance(next) != 0 {
            let far = self.distance(next);
            self.push(Instruction::new(JUMP, far as u32));
        }
        self.push(instruction)
    }

    /// Adds a comparison of the accumulator with a choice of places.
    pub(super) fn branch(
        &mut self,
        code: u16,
        operand: u32,
        if_true: Label,
        if_false: Label,
    ) -> Label {
        let if_true = self.reachable(if_true);
        let if_false = self.reachable(if_false);
        let [if_true, if_false] = [if_true, if_false].map(|label| self.distance(label) as u8);
        self.push(Instruction::jump(code, operand, if_true, if_false))
    }

    /// Adds a search for the number in the accumulator; the first range starts at the smallest
    /// number there can be.
    pub(super) fn search(&mut self, ranges: &[Range]) -> Label {
        match ranges {
            [only] => self.end(&only.leaf),
            _ => {
                let (low, high) = ranges.split_at(ranges.len() / 2);
                let boundary = high[0].first;
                let high = self.search(high);
                let low = self.search(low);
                self.branch(JUMP_GREATER_EQUAL, boundary, high, low)
            }
        }
    }

    /// Returns the program, which starts with what was added last.
    pub(super) fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }
}
