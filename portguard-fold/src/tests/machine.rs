//! A machine that does what the standard says (RFC 9669), and nothing about how it is folded.

use super::assembler::{
    ADD, AND, ARSH, DIV, JEQ, JGE, JGT, JLE, JLT, JNE, JSET, JSGE, JSGT, JSLE, JSLT, LSH, MOD, MOV,
    MUL, NEG, OR, RSH, SUB, Slot, XOR,
};

/// Where the stack ends.
const STACK_END: u64 = 0xffff_8880_0000_1000;
/// Where the buffer begins that a function is given.
pub(super) const BUFFER: u64 = 0xffff_8881_0000_2000;

/// Helper that is given an address and a length, and reads so many bytes.
pub(super) const READS: i32 = 1;
/// Helper that makes something of all its arguments.
pub(super) const MIXES: i32 = 2;

/// What can be seen of a function from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) result: u64,
    pub(super) buffer: [u8; 64],
    /// What helpers were given.
    pub(super) calls: Vec<Vec<u8>>,
}

struct Machine {
    registers: [u64; 11],
    stack: [u8; 512],
    buffer: [u8; 64],
    calls: Vec<Vec<u8>>,
}

/// What a function does with these arguments; `None` where it touches memory that it was not given, or goes on for long.
pub(super) fn run(code: &[Slot], arguments: [u64; 5]) -> Option<Outcome> {
    // What is in registers and on the stack at first means nothing.
    let mut registers = std::array::from_fn(|number| 0x0101_0101_8181_8101 * (number as u64 + 3));
    registers[1..6].copy_from_slice(&arguments);
    registers[10] = STACK_END;
    let mut machine = Machine {
        registers,
        stack: std::array::from_fn(|place| (place * 37 + 11) as u8),
        buffer: std::array::from_fn(|place| (place * 53 + 7) as u8),
        calls: Vec::new(),
    };
    let mut place = 0;
    for _ in 0..20_000 {
        match machine.step(code, place)? {
            Some(next) => place = next,
            None => {
                return Some(Outcome {
                    result: machine.registers[0],
                    buffer: machine.buffer,
                    calls: machine.calls,
                });
            }
        }
    }
    None
}

impl Machine {
    /// Where it goes on after the instruction at a place; `None` within where the function ends.
    fn step(&mut self, code: &[Slot], place: usize) -> Option<Option<usize>> {
        let [operation, registers, a, b, immediate @ ..] = *code.get(place)?;
        let (dst, src) = match cfg!(target_endian = "big") {
            true => (registers >> 4, registers & 15),
            false => (registers & 15, registers >> 4),
        };
        let (dst, src) = (usize::from(dst), usize::from(src));
        let offset = i64::from(i16::from_ne_bytes([a, b]));
        let immediate = i32::from_ne_bytes(immediate);
        let second = match operation & 8 {
            0 => i64::from(immediate) as u64,
            _ => self.registers[src],
        };
        let first = self.registers[dst];
        let size = [4, 2, 1, 8][usize::from(operation >> 3 & 3)];
        let address = |base: usize| self.registers[base].wrapping_add(offset as u64);
        let mut next = place + 1;
        let result = match (operation, operation & 7) {
            (0x18, _) => {
                next += 1;
                let upper = u32::from_ne_bytes(*code.get(place + 1)?.last_chunk()?);
                u64::from(upper) << 32 | u64::from(immediate as u32)
            }
            (0xd4 | 0xdc | 0xd7, _) => swapped(operation, first, immediate)?,
            (_, 0x07) => compute_64(operation & 0xf0, offset, first, second)?,
            (_, 0x04) => compute_32(operation & 0xf0, offset, first as u32, second as u32)?.into(),
            (_, 0x01) => {
                let number = self.load(address(src), size)?;
                let unused = 64 - 8 * size as u32;
                match operation & 0xe0 {
                    0x60 => number,
                    0x80 => ((number << unused) as i64 >> unused) as u64,
                    _ => return None,
                }
            }
            (_, 0x02 | 0x03) if operation & 0xe0 == 0x60 => {
                let number = if operation & 7 == 2 {
                    i64::from(immediate) as u64
                } else {
                    self.registers[src]
                };
                self.store(address(dst), size, number)?;
                first
            }
            (_, 0x03) if operation & 0xe0 == 0xc0 => {
                self.atomic(address(dst), size, src, immediate)?;
                self.registers[dst]
            }
            (0x95, _) => return Some(None),
            (0x85, _) => {
                self.call(immediate)?;
                self.registers[dst]
            }
            (0x05, _) => {
                next = (next as i64 + offset) as usize;
                first
            }
            (0x06, _) => {
                next = (next as i64 + i64::from(immediate)) as usize;
                first
            }
            (_, 0x05 | 0x06) => {
                if jumps(operation, first, second)? {
                    next = (next as i64 + offset) as usize;
                }
                first
            }
            _ => return None,
        };
        self.registers[dst] = result;
        Some(Some(next))
    }

    fn call(&mut self, helper: i32) -> Option<()> {
        let given = match helper {
            READS => {
                let (first, length) = (self.registers[1], self.registers[2]);
                let length = (length <= 64).then_some(length)?;
                let bytes = (first..first + length).map(|address| self.load(address, 1));
                bytes
                    .map(|byte| byte.map(|byte| byte as u8))
                    .collect::<Option<Vec<u8>>>()?
            }
            MIXES => self.registers[1..6]
                .iter()
                .flat_map(|number| number.to_ne_bytes())
                .collect(),
            _ => return None,
        };
        let sum = given.iter().fold(helper as u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.calls.push(given);
        self.registers[0] = sum;
        // What is left of arguments means nothing.
        for number in 1..6 {
            self.registers[number] = 0xdead_0000_beef_0000 + number as u64;
        }
        Some(())
    }

    fn atomic(&mut self, address: u64, size: usize, src: usize, operation: i32) -> Option<()> {
        let old = self.load(address, size)?;
        let own = self.registers[src];
        let fetches = operation & 1 != 0;
        let new = match operation & 0xf0 {
            0x00 => old.wrapping_add(own),
            0x40 => old | own,
            0x50 => old & own,
            0xa0 => old ^ own,
            0xe0 => own,
            // Compared with r0, which gets what was there.
            0xf0 => {
                let expected = if size == 4 {
                    self.registers[0] & 0xffff_ffff
                } else {
                    self.registers[0]
                };
                self.registers[0] = old;
                return self.store(address, size, if old == expected { own } else { old });
            }
            _ => return None,
        };
        self.store(address, size, new)?;
        if fetches {
            self.registers[src] = old;
        }
        Some(())
    }

    fn memory(&mut self, address: u64, size: usize) -> Option<&mut [u8]> {
        let start = STACK_END - self.stack.len() as u64;
        let (memory, base): (&mut [u8], u64) = match address < STACK_END {
            true => (&mut self.stack, start),
            false => (&mut self.buffer, BUFFER),
        };
        let place = usize::try_from(address.checked_sub(base)?).ok()?;
        memory.get_mut(place..place.checked_add(size)?)
    }

    fn load(&mut self, address: u64, size: usize) -> Option<u64> {
        let bytes = self.memory(address, size)?;
        Some(match *bytes {
            [a] => a.into(),
            [a, b] => u16::from_ne_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
            _ => u64::from_ne_bytes(*bytes.first_chunk()?),
        })
    }

    fn store(&mut self, address: u64, size: usize, number: u64) -> Option<()> {
        let bytes = self.memory(address, size)?;
        match size {
            1 => bytes.copy_from_slice(&(number as u8).to_ne_bytes()),
            2 => bytes.copy_from_slice(&(number as u16).to_ne_bytes()),
            4 => bytes.copy_from_slice(&(number as u32).to_ne_bytes()),
            _ => bytes.copy_from_slice(&number.to_ne_bytes()),
        }
        Some(())
    }
}

/// RFC 9669, 4.2.
fn swapped(operation: u8, number: u64, bits: i32) -> Option<u64> {
    let swaps = match operation {
        0xd4 => cfg!(target_endian = "big"),
        0xdc => cfg!(target_endian = "little"),
        _ => true,
    };
    Some(match (bits, swaps) {
        (16, true) => (number as u16).swap_bytes().into(),
        (32, true) => (number as u32).swap_bytes().into(),
        (64, true) => number.swap_bytes(),
        (16, false) => number as u16 as u64,
        (32, false) => number as u32 as u64,
        (64, false) => number,
        _ => return None,
    })
}

macro_rules! compute {
    ($name:ident, $unsigned:ty, $signed:ty) => {
        /// RFC 9669, 4.1.
        pub(super) fn $name(
            operation: u8,
            offset: i64,
            dst: $unsigned,
            src: $unsigned,
        ) -> Option<$unsigned> {
            let signed = (dst as $signed, src as $signed);
            Some(match (operation, offset) {
                (ADD, 0) => dst.wrapping_add(src),
                (SUB, 0) => dst.wrapping_sub(src),
                (MUL, 0) => dst.wrapping_mul(src),
                (DIV, 0) => dst.checked_div(src).unwrap_or(0),
                (MOD, 0) => dst.checked_rem(src).unwrap_or(dst),
                (DIV, 1) if src == 0 => 0,
                (DIV, 1) => signed.0.wrapping_div(signed.1) as $unsigned,
                (MOD, 1) if src == 0 => dst,
                (MOD, 1) => signed.0.wrapping_rem(signed.1) as $unsigned,
                (OR, 0) => dst | src,
                (AND, 0) => dst & src,
                (XOR, 0) => dst ^ src,
                (NEG, 0) => dst.wrapping_neg(),
                (MOV, 0) => src,
                (MOV, 8) => src as i8 as $unsigned,
                (MOV, 16) => src as i16 as $unsigned,
                (MOV, 32) => src as i32 as $unsigned,
                // So many bits as a shift can have are looked at.
                (LSH, 0) => dst.wrapping_shl(src as u32),
                (RSH, 0) => dst.wrapping_shr(src as u32),
                (ARSH, 0) => signed.0.wrapping_shr(src as u32) as $unsigned,
                _ => return None,
            })
        }
    };
}

compute!(compute_64, u64, i64);
compute!(compute_32, u32, i32);

/// RFC 9669, 4.3.
pub(super) fn jumps(operation: u8, dst: u64, src: u64) -> Option<bool> {
    let (dst, src, signed) = match operation & 7 {
        0x05 => (dst, src, (dst as i64, src as i64)),
        _ => {
            let (dst, src) = (dst as u32, src as u32);
            let signed = (i64::from(dst as i32), i64::from(src as i32));
            (dst.into(), src.into(), signed)
        }
    };
    Some(match operation & 0xf0 {
        JEQ => dst == src,
        JNE => dst != src,
        JGT => dst > src,
        JGE => dst >= src,
        JLT => dst < src,
        JLE => dst <= src,
        JSET => dst & src != 0,
        JSGT => signed.0 > signed.1,
        JSGE => signed.0 >= signed.1,
        JSLT => signed.0 < signed.1,
        JSLE => signed.0 <= signed.1,
        _ => return None,
    })
}
