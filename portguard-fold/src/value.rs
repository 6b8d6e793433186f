//! What is known of a register's number, and what instructions make of it.

use crate::instruction::{Instruction, alu, jump};

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// All.
    Known(u64),
    /// That it has at most 32 bits.
    Narrow,
    /// Nothing.
    Any,
}

impl Value {
    /// What is known of a number that is one or the other.
    pub(crate) fn or(self, other: Self) -> Self {
        match self == other {
            true => self,
            false if self.is_narrow() && other.is_narrow() => Self::Narrow,
            false => Self::Any,
        }
    }

    /// The number, where it is known.
    pub(crate) const fn known(self) -> Option<u64> {
        match self {
            Self::Known(number) => Some(number),
            Self::Narrow | Self::Any => None,
        }
    }

    /// Whether it has at most 32 bits.
    pub(crate) const fn is_narrow(self) -> bool {
        match self {
            Self::Known(number) => number <= u32::MAX as u64,
            Self::Narrow => true,
            Self::Any => false,
        }
    }
}

/// What an instruction that computes leaves, by what is known of its operands.
pub(crate) fn computed(instruction: &Instruction, dst: Value, src: Value) -> Value {
    let is_wide = instruction.is_wide();
    if instruction.operation() == alu::END {
        // Bytes are swapped of as many bits as the immediate says.
        return match instruction.immediate {
            64 => Value::Any,
            _ => Value::Narrow,
        };
    }
    // Another form of the same operation, by sign.
    let is_plain = instruction.offset == 0;
    let number = is_plain
        .then(|| match is_wide {
            true => compute_64(instruction.operation(), dst.known(), src.known()),
            false => {
                let low = |value: Value| value.known().map(|number| number as u32);
                compute_32(instruction.operation(), low(dst), low(src)).map(u64::from)
            }
        })
        .flatten();
    match number {
        Some(number) => Value::Known(number),
        None if !is_wide => Value::Narrow,
        None if is_plain && instruction.operation() == alu::MOV => src,
        None => Value::Any,
    }
}

/// The second operand of an instruction that has it as an immediate.
pub(crate) const fn immediate(instruction: &Instruction) -> u64 {
    instruction.immediate as i64 as u64
}

macro_rules! compute {
    ($name:ident, $unsigned:ty, $signed:ty) => {
        fn $name(
            operation: u8,
            dst: Option<$unsigned>,
            src: Option<$unsigned>,
        ) -> Option<$unsigned> {
            if operation == alu::MOV {
                return src;
            }
            // Whatever the other one is.
            if matches!(operation, alu::AND | alu::MUL) && (dst == Some(0) || src == Some(0)) {
                return Some(0);
            }
            if operation == alu::NEG {
                return dst.map(<$unsigned>::wrapping_neg);
            }
            let (dst, src) = (dst?, src?);
            let bits = <$unsigned>::BITS as $unsigned;
            Some(match operation {
                alu::ADD => dst.wrapping_add(src),
                alu::SUB => dst.wrapping_sub(src),
                alu::MUL => dst.wrapping_mul(src),
                alu::OR => dst | src,
                alu::AND => dst & src,
                alu::XOR => dst ^ src,
                alu::LSH if src < bits => dst << src,
                alu::RSH if src < bits => dst >> src,
                alu::ARSH if src < bits => (dst as $signed >> src) as $unsigned,
                _ => return None,
            })
        }
    };
}

compute!(compute_64, u64, i64);
compute!(compute_32, u32, i32);

/// Whether an instruction that compares jumps, by what is known of its operands.
pub(crate) fn decided(instruction: &Instruction, dst: Value, src: Value) -> Option<bool> {
    let (dst, src) = (dst.known()?, src.known()?);
    let (dst, src) = match instruction.is_wide() {
        true => (dst, src),
        // The order of numbers of 32 bits is that of the same ones with their sign put before them, with or without a sign.
        false => (extended(dst), extended(src)),
    };
    let signed = (dst.cast_signed(), src.cast_signed());
    Some(match instruction.operation() {
        jump::JEQ => dst == src,
        jump::JNE => dst != src,
        jump::JGT => dst > src,
        jump::JGE => dst >= src,
        jump::JLT => dst < src,
        jump::JLE => dst <= src,
        jump::JSGT => signed.0 > signed.1,
        jump::JSGE => signed.0 >= signed.1,
        jump::JSLT => signed.0 < signed.1,
        jump::JSLE => signed.0 <= signed.1,
        jump::JSET => dst & src != 0,
        _ => return None,
    })
}

/// The lower half with its sign before it.
const fn extended(number: u64) -> u64 {
    number as i32 as i64 as u64
}
