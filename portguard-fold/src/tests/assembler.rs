//! Instructions as they stand in memory (RFC 9669, 3 to 5).

/// Eight bytes: most instructions have one slot.
pub(super) type Slot = [u8; 8];

// What is computed (RFC 9669, 4.1).
pub(super) const ADD: u8 = 0x00;
pub(super) const SUB: u8 = 0x10;
pub(super) const MUL: u8 = 0x20;
pub(super) const DIV: u8 = 0x30;
pub(super) const OR: u8 = 0x40;
pub(super) const AND: u8 = 0x50;
pub(super) const LSH: u8 = 0x60;
pub(super) const RSH: u8 = 0x70;
pub(super) const NEG: u8 = 0x80;
pub(super) const MOD: u8 = 0x90;
pub(super) const XOR: u8 = 0xa0;
pub(super) const MOV: u8 = 0xb0;
pub(super) const ARSH: u8 = 0xc0;

// When it jumps (RFC 9669, 4.3).
pub(super) const JEQ: u8 = 0x10;
pub(super) const JGT: u8 = 0x20;
pub(super) const JGE: u8 = 0x30;
pub(super) const JSET: u8 = 0x40;
pub(super) const JNE: u8 = 0x50;
pub(super) const JSGT: u8 = 0x60;
pub(super) const JSGE: u8 = 0x70;
pub(super) const JLT: u8 = 0xa0;
pub(super) const JLE: u8 = 0xb0;
pub(super) const JSLT: u8 = 0xc0;
pub(super) const JSLE: u8 = 0xd0;

// How many bytes are loaded or stored (RFC 9669, 5).
pub(super) const W: u8 = 0x00;
pub(super) const H: u8 = 0x08;
pub(super) const B: u8 = 0x10;
pub(super) const DW: u8 = 0x18;

/// A slot of a code, registers, an offset and an immediate.
pub(super) fn slot(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> Slot {
    let registers = match cfg!(target_endian = "big") {
        true => dst << 4 | src,
        false => src << 4 | dst,
    };
    let mut slot = [code, registers, 0, 0, 0, 0, 0, 0];
    slot[2..4].copy_from_slice(&offset.to_ne_bytes());
    slot[4..].copy_from_slice(&immediate.to_ne_bytes());
    slot
}

/// 64 bits and an immediate.
pub(super) fn alu(operation: u8, dst: u8, immediate: i32) -> Slot {
    slot(operation | 0x07, dst, 0, 0, immediate)
}

/// 64 bits and a register.
pub(super) fn alu_x(operation: u8, dst: u8, src: u8) -> Slot {
    slot(operation | 0x0f, dst, src, 0, 0)
}

/// 32 bits and an immediate.
pub(super) fn alu32(operation: u8, dst: u8, immediate: i32) -> Slot {
    slot(operation | 0x04, dst, 0, 0, immediate)
}

/// 32 bits and a register.
pub(super) fn alu32_x(operation: u8, dst: u8, src: u8) -> Slot {
    slot(operation | 0x0c, dst, src, 0, 0)
}

pub(super) fn mov(dst: u8, immediate: i32) -> Slot {
    alu(MOV, dst, immediate)
}

pub(super) fn mov_x(dst: u8, src: u8) -> Slot {
    alu_x(MOV, dst, src)
}

/// The first slot of a number of 64 bits, or of what a relocation names.
pub(super) fn wide(dst: u8, low: i32) -> Slot {
    slot(0x18, dst, 0, 0, low)
}

/// The second one.
pub(super) fn upper(high: i32) -> Slot {
    slot(0, 0, 0, 0, high)
}

/// Bytes in the order of big-endian numbers.
pub(super) fn be(dst: u8, bits: i32) -> Slot {
    slot(0xdc, dst, 0, 0, bits)
}

pub(super) fn le(dst: u8, bits: i32) -> Slot {
    slot(0xd4, dst, 0, 0, bits)
}

/// Bytes in the opposite order.
pub(super) fn bswap(dst: u8, bits: i32) -> Slot {
    slot(0xd7, dst, 0, 0, bits)
}

pub(super) fn jump(operation: u8, dst: u8, immediate: i32, offset: i16) -> Slot {
    slot(operation | 0x05, dst, 0, offset, immediate)
}

pub(super) fn jump_x(operation: u8, dst: u8, src: u8, offset: i16) -> Slot {
    slot(operation | 0x0d, dst, src, offset, 0)
}

pub(super) fn jump32(operation: u8, dst: u8, immediate: i32, offset: i16) -> Slot {
    slot(operation | 0x06, dst, 0, offset, immediate)
}

pub(super) fn jump32_x(operation: u8, dst: u8, src: u8, offset: i16) -> Slot {
    slot(operation | 0x0e, dst, src, offset, 0)
}

pub(super) fn goto(offset: i16) -> Slot {
    slot(0x05, 0, 0, offset, 0)
}

/// A function of the kernel, by its number.
pub(super) fn call(helper: i32) -> Slot {
    slot(0x85, 0, 0, 0, helper)
}

pub(super) fn exit() -> Slot {
    slot(0x95, 0, 0, 0, 0)
}

pub(super) fn load(size: u8, dst: u8, src: u8, offset: i16) -> Slot {
    slot(0x61 | size, dst, src, offset, 0)
}

/// With the sign of what is loaded before it.
pub(super) fn load_signed(size: u8, dst: u8, src: u8, offset: i16) -> Slot {
    slot(0x81 | size, dst, src, offset, 0)
}

pub(super) fn store(size: u8, dst: u8, offset: i16, immediate: i32) -> Slot {
    slot(0x62 | size, dst, 0, offset, immediate)
}

pub(super) fn store_x(size: u8, dst: u8, offset: i16, src: u8) -> Slot {
    slot(0x63 | size, dst, src, offset, 0)
}

/// At once, for every processor; what is done is the immediate (RFC 9669, 5.3).
pub(super) fn atomic(size: u8, dst: u8, offset: i16, src: u8, operation: i32) -> Slot {
    slot(0xc3 | size, dst, src, offset, operation)
}
