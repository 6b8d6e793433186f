//! Instructions of the kernel's virtual machine (RFC 9669), as far as folding asks.

/// Bytes of a slot; an instruction takes one or two.
pub(crate) const SLOT: usize = 8;

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) code: u8,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
    /// The immediate of the second slot, where there is one.
    pub(crate) upper: i32,
}

/// Classes of instructions (RFC 9669, 3.1).
pub(crate) mod class {
    pub(crate) const LD: u8 = 0x00;
    pub(crate) const LDX: u8 = 0x01;
    pub(crate) const ST: u8 = 0x02;
    pub(crate) const STX: u8 = 0x03;
    pub(crate) const ALU: u8 = 0x04;
    pub(crate) const JMP: u8 = 0x05;
    pub(crate) const JMP32: u8 = 0x06;
    pub(crate) const ALU64: u8 = 0x07;
}

/// Operations of the classes that compute (RFC 9669, 4.1).
pub(crate) mod alu {
    pub(crate) const ADD: u8 = 0x00;
    pub(crate) const SUB: u8 = 0x10;
    pub(crate) const MUL: u8 = 0x20;
    pub(crate) const DIV: u8 = 0x30;
    pub(crate) const OR: u8 = 0x40;
    pub(crate) const AND: u8 = 0x50;
    pub(crate) const LSH: u8 = 0x60;
    pub(crate) const RSH: u8 = 0x70;
    pub(crate) const NEG: u8 = 0x80;
    pub(crate) const MOD: u8 = 0x90;
    pub(crate) const XOR: u8 = 0xa0;
    pub(crate) const MOV: u8 = 0xb0;
    pub(crate) const ARSH: u8 = 0xc0;
    pub(crate) const END: u8 = 0xd0;
}

/// Operations of the classes that jump (RFC 9669, 4.3).
pub(crate) mod jump {
    pub(crate) const JA: u8 = 0x00;
    pub(crate) const JEQ: u8 = 0x10;
    pub(crate) const JGT: u8 = 0x20;
    pub(crate) const JGE: u8 = 0x30;
    pub(crate) const JSET: u8 = 0x40;
    pub(crate) const JNE: u8 = 0x50;
    pub(crate) const JSGT: u8 = 0x60;
    pub(crate) const JSGE: u8 = 0x70;
    pub(crate) const CALL: u8 = 0x80;
    pub(crate) const EXIT: u8 = 0x90;
    pub(crate) const JLT: u8 = 0xa0;
    pub(crate) const JLE: u8 = 0xb0;
    pub(crate) const JSLT: u8 = 0xc0;
    pub(crate) const JSLE: u8 = 0xd0;
}

/// The bit of an instruction whose second operand is a register.
pub(crate) const X: u8 = 0x08;

/// A number of 64 bits, or an address, in two slots.
pub(crate) const LOAD_WIDE: u8 = 0x18;

/// The register of the stack's end.
pub(crate) const FRAME: u8 = 10;

/// Registers, by bits.
pub(crate) type Registers = u16;

/// All of them.
pub(crate) const ALL: Registers = (1 << 11) - 1;

/// Those that a function is given, and those that it may leave with anything in them besides its result.
const ARGUMENTS: Registers = 0b11_1110;

/// How an instruction goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// With the next one.
    Next,
    /// With the one so many slots beyond the next.
    Goto(i32),
    /// With either.
    Branch(i32),
    /// Not at all.
    End,
}

impl Instruction {
    /// A jump, to be given where it leads.
    pub(crate) const GOTO: Self = Self {
        code: class::JMP | jump::JA,
        dst: 0,
        src: 0,
        offset: 0,
        immediate: 0,
        upper: 0,
    };

    /// The instruction at the beginning of some bytes; `None` where they end within it.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (code, [dst, src], offset, immediate) = fields(bytes)?;
        let upper = match code {
            LOAD_WIDE => fields(bytes.get(SLOT..)?)?.3,
            _ => 0,
        };
        Some(Self {
            code,
            dst,
            src,
            offset,
            immediate,
            upper,
        })
    }

    /// Puts its bytes behind others.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let registers = match cfg!(target_endian = "big") {
            true => self.dst << 4 | self.src,
            false => self.src << 4 | self.dst,
        };
        bytes.extend([self.code, registers]);
        bytes.extend(self.offset.to_ne_bytes());
        bytes.extend(self.immediate.to_ne_bytes());
        if self.slots() == 2 {
            bytes.extend([0; 4]);
            bytes.extend(self.upper.to_ne_bytes());
        }
    }

    /// Slots that it takes.
    pub(crate) const fn slots(&self) -> usize {
        match self.code {
            LOAD_WIDE => 2,
            _ => 1,
        }
    }

    pub(crate) const fn class(&self) -> u8 {
        self.code & 7
    }

    /// What is done, of a class that computes or jumps.
    pub(crate) const fn operation(&self) -> u8 {
        self.code & 0xf0
    }

    /// Whether it computes, in a way that is known here.
    pub(crate) const fn is_alu(&self) -> bool {
        matches!(self.class(), class::ALU | class::ALU64) && self.operation() <= alu::END
    }

    /// Whether it copies a register, all 64 bits of it.
    pub(crate) const fn is_copy(&self) -> bool {
        self.code == class::ALU64 | alu::MOV | X && self.offset == 0
    }

    /// Whether it jumps, calls or ends.
    const fn is_jump(&self) -> bool {
        matches!(self.class(), class::JMP | class::JMP32)
    }

    /// Whether it works on all 64 bits, of an instruction that computes or compares.
    pub(crate) const fn is_wide(&self) -> bool {
        matches!(self.class(), class::ALU64 | class::JMP)
    }

    /// Whether its second operand is a register, of one that computes, compares or stores.
    pub(crate) const fn has_register(&self) -> bool {
        match self.class() {
            class::STX => true,
            class::ALU | class::ALU64 => {
                self.code & X != 0 && !matches!(self.operation(), alu::NEG | alu::END)
            }
            _ => self.is_comparison() && self.code & X != 0,
        }
    }

    /// Whether it compares.
    pub(crate) const fn is_comparison(&self) -> bool {
        self.is_jump()
            && matches!(
                self.operation(),
                jump::JEQ..=jump::JSGE | jump::JLT..=jump::JSLE
            )
    }

    /// Whether it reads memory.
    pub(crate) const fn is_load(&self) -> bool {
        self.class() == class::LDX
    }

    /// Whether it writes memory and no register.
    pub(crate) const fn is_store(&self) -> bool {
        matches!(self.class(), class::ST | class::STX) && self.is_plain_access()
    }

    /// Whether memory is read or written just as it is, of an instruction that does either (RFC 9669, 5.1).
    pub(crate) const fn is_plain_access(&self) -> bool {
        /// The mode of these.
        const MEM: u8 = 0x60;
        self.code & 0xe0 == MEM
    }

    /// Bytes that a load or a store touches.
    pub(crate) const fn size(&self) -> i32 {
        match self.code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            0x10 => 1,
            _ => 8,
        }
    }

    /// How it goes on.
    pub(crate) const fn flow(&self) -> Flow {
        if !self.is_jump() {
            return Flow::Next;
        }
        match (self.operation(), self.class()) {
            (jump::JA, class::JMP) => Flow::Goto(self.offset as i32),
            (jump::JA, _) => Flow::Goto(self.immediate),
            (jump::CALL, _) => Flow::Next,
            (jump::EXIT, _) => Flow::End,
            _ => Flow::Branch(self.offset as i32),
        }
    }

    /// Whether it calls a function by how far away that is, or goes on where a register says: it would lead elsewhere once code is moved.
    pub(crate) const fn leads_by_distance(&self) -> bool {
        /// A call of a function of the program, by its second register's number (RFC 9669, 4.3).
        const LOCAL: u8 = 1;
        /// What stands for a distance until a relocation is resolved.
        const UNRESOLVED: i32 = -1;
        let is_register = self.code & X != 0;
        match (self.is_jump(), self.operation()) {
            (true, jump::CALL) => is_register || self.src == LOCAL && self.immediate != UNRESOLVED,
            (true, jump::JA) => is_register,
            _ => false,
        }
    }

    /// Whether it calls one of the kernel's functions that are given nothing (`enum bpf_func_id` of linux/bpf.h).
    const fn asks_without_arguments(&self) -> bool {
        const KTIME_GET_NS: i32 = 5;
        const GET_SMP_PROCESSOR_ID: i32 = 8;
        const JIFFIES64: i32 = 118;
        const KTIME_GET_BOOT_NS: i32 = 125;
        /// The kernel's own, by number; those of the program have another number here.
        const KERNEL: u8 = 0;
        let is_known = matches!(
            self.immediate,
            KTIME_GET_NS | GET_SMP_PROCESSOR_ID | JIFFIES64 | KTIME_GET_BOOT_NS
        );
        self.src == KERNEL && is_known
    }

    /// Registers that it may read.
    pub(crate) const fn reads(&self) -> Registers {
        let (dst, src) = (1 << self.dst, 1 << self.src);
        let second = if self.has_register() { src } else { 0 };
        match self.class() {
            _ if self.is_alu() => match self.operation() {
                alu::MOV => second,
                _ => dst | second,
            },
            class::LD if self.code == LOAD_WIDE => 0,
            class::LDX => src,
            class::ST | class::STX if self.is_store() => dst | second,
            _ if self.is_comparison() => dst | second,
            _ => match (self.operation(), self.is_jump()) {
                (jump::JA, true) => 0,
                (jump::CALL, true) if self.asks_without_arguments() => 0,
                (jump::CALL, true) => ARGUMENTS,
                (jump::EXIT, true) => 1,
                // Operations on memory that another CPU sees whole, and what is newer than this.
                _ => ALL,
            },
        }
    }

    /// Registers of which it leaves nothing as it was: what is told by [`Self::reads`] of the others stays true.
    pub(crate) const fn writes(&self) -> Registers {
        match self.class() {
            _ if self.is_pure() => 1 << self.dst,
            class::ST | class::STX if self.is_store() => 0,
            _ if self.is_comparison() => 0,
            _ => match (self.operation(), self.is_jump()) {
                (jump::JA | jump::EXIT, true) => 0,
                (jump::CALL, true) => ARGUMENTS | 1,
                // It reads all of them, so none of them is free before it.
                _ => ALL & !(1 << FRAME),
            },
        }
    }

    /// Whether it does nothing but write its register.
    pub(crate) const fn is_pure(&self) -> bool {
        self.is_alu() || self.is_load() || self.code == LOAD_WIDE
    }
}

/// What stands in one slot: the code, the registers, the offset and the immediate.
fn fields(bytes: &[u8]) -> Option<(u8, [u8; 2], i16, i32)> {
    let slot: &[u8; SLOT] = bytes.first_chunk()?;
    let &[code, registers, offset @ .., _, _, _, _] = slot;
    let &[.., a, b, c, d] = slot;
    let [low, high] = [registers & 0xf, registers >> 4];
    let registers = match cfg!(target_endian = "big") {
        true => [high, low],
        false => [low, high],
    };
    Some((
        code,
        registers,
        i16::from_ne_bytes(offset),
        i32::from_ne_bytes([a, b, c, d]),
    ))
}
