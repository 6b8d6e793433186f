//! What single instructions compute, and when comparisons jump.

use super::assembler::*;
use super::{fold, machine};

/// Instructions that leave a number in a register, by way of r9.
fn number(dst: u8, number: u64) -> Vec<Slot> {
    vec![
        mov(dst, (number >> 32) as i32),
        alu(LSH, dst, 32),
        alu32(MOV, 9, number as i32),
        alu_x(OR, dst, 9),
    ]
}

/// The number that a function leaves in r1, if folding finds it; that it leaves this one is seen either way.
fn folded(body: &[Slot], expected: u64) -> Option<u64> {
    let half = |last: &[Slot]| {
        let code = [body, last, &[exit()]].concat();
        let folded = fold(&code);
        let results = [&code, &folded].map(|code| machine::run(code, [0; 5]).unwrap().result);
        (folded, results)
    };
    let (low, low_results) = half(&[alu32_x(MOV, 0, 1)]);
    let (high, high_results) = half(&[mov_x(0, 1), alu(RSH, 0, 32)]);
    assert_eq!(low_results, [expected & 0xffff_ffff; 2], "{body:x?}");
    assert_eq!(high_results, [expected >> 32; 2], "{body:x?}");
    (low.len() == 2 && high.len() == 2).then_some(expected)
}

/// What an operation leaves, with its second operand in a register and, where it fits there, as an immediate.
fn assert_computes(is_wide: bool, operation: u8, dst: u64, src: u64, expected: u64) {
    let (with_register, with_immediate): (fn(_, _, _) -> _, fn(_, _, _) -> _) = match is_wide {
        true => (alu_x, alu),
        false => (alu32_x, alu32),
    };
    // Divisions are left to the kernel.
    let constant = (!matches!(operation, DIV | MOD)).then_some(expected);
    let operands = [number(1, dst), number(2, src)].concat();
    let what = format!("{operation:#x} {dst:#x} {src:#x}");
    let code = [&operands[..], &[with_register(operation, 1, 2)]].concat();
    assert_eq!(folded(&code, expected), constant, "{what}");
    if src as i32 as u64 == src {
        let code = [&operands[..], &[with_immediate(operation, 1, src as i32)]].concat();
        assert_eq!(folded(&code, expected), constant, "{what}");
    }
}

const MINUS_1: u64 = u64::MAX;
const MIN: u64 = 1 << 63;

#[test]
fn operations_of_64_bits() {
    for (operation, dst, src, expected) in [
        (ADD, 1, 2, 3),
        (ADD, MINUS_1, 1, 0),
        (ADD, 0xffff_ffff, 1, 0x1_0000_0000),
        (ADD, 5, MINUS_1, 4),
        (SUB, 0, 1, MINUS_1),
        (SUB, 0x1_0000_0000, 1, 0xffff_ffff),
        (MUL, 0x1_0000_0001, 0x1_0000_0001, 0x2_0000_0001),
        (MUL, MINUS_1, MINUS_1, 1),
        (DIV, 7, 2, 3),
        (DIV, MINUS_1, 2, 0x7fff_ffff_ffff_ffff),
        (DIV, 7, 0, 0),
        (MOD, 7, 4, 3),
        (MOD, MINUS_1, 0, MINUS_1),
        (OR, 0xf0f0_0000_0000, 0x0f0f, 0xf0f0_0000_0f0f),
        (OR, 0, MINUS_1, MINUS_1),
        (
            AND,
            0xffff_ffff_0000_000f,
            0xffff_fff0_0000_00ff,
            0xffff_fff0_0000_000f,
        ),
        // An immediate has its sign before it.
        (
            AND,
            0x1234_5678_9abc_def0,
            0xffff_ffff_ffff_ff00,
            0x1234_5678_9abc_de00,
        ),
        (XOR, 0xff00_0000_0000_00ff, MINUS_1, 0x00ff_ffff_ffff_ff00),
        (LSH, 1, 63, MIN),
        (LSH, 3, 0, 3),
        (LSH, 0xffff_ffff, 31, 0x7fff_ffff_8000_0000),
        (RSH, MIN, 63, 1),
        (RSH, MINUS_1, 32, 0xffff_ffff),
        (ARSH, MIN, 63, MINUS_1),
        (ARSH, 0x8000_0000, 31, 1),
        (MOV, 9, MINUS_1, MINUS_1),
        (MOV, 9, 0x8000_0000, 0x8000_0000),
    ] {
        assert_computes(true, operation, dst, src, expected);
    }
}

#[test]
fn operations_of_32_bits_leave_nothing_above_them() {
    for (operation, dst, src, expected) in [
        (ADD, 0xffff_ffff, 1, 0),
        (ADD, 0x1_0000_0002, 0x1_0000_0003, 5),
        (ADD, MINUS_1, 0, 0xffff_ffff),
        (SUB, 0, 1, 0xffff_ffff),
        (MUL, 0x1_0001, 0x1_0001, 0x2_0001),
        (DIV, MINUS_1, 2, 0x7fff_ffff),
        (DIV, 0x7_0000_0007, 0, 0),
        (MOD, 0x7_0000_0007, 0, 7),
        (OR, 0xffff_ffff_0000_0001, 2, 3),
        (AND, MINUS_1, MINUS_1, 0xffff_ffff),
        (XOR, 0xffff_ffff_0000_0001, 0, 1),
        (XOR, 0, MINUS_1, 0xffff_ffff),
        (LSH, 1, 31, 0x8000_0000),
        (LSH, 3, 31, 0x8000_0000),
        (LSH, 0xffff_ffff_0000_0001, 0, 1),
        (RSH, 0xffff_ffff_8000_0000, 31, 1),
        (ARSH, 0x8000_0000, 31, 0xffff_ffff),
        (ARSH, 0xffff_ffff_4000_0000, 30, 1),
        (MOV, 9, MINUS_1, 0xffff_ffff),
        (MOV, MINUS_1, 0x5_0000_0006, 6),
    ] {
        assert_computes(false, operation, dst, src, expected);
    }
}

#[test]
fn of_a_shift_by_more_than_there_are_bits_only_some_bits_count() {
    for (code, expected) in [
        (alu_x(LSH, 1, 2), 3 << 1),
        (alu32_x(LSH, 1, 2), 3 << 1),
        (alu_x(RSH, 1, 2), 1),
    ] {
        let code = [number(1, 3), number(2, 65), vec![code]].concat();
        assert_eq!(folded(&code, expected), None);
    }
}

#[test]
fn numbers_lose_their_sign_and_keep_it() {
    for (code, before, expected) in [
        (slot(0x87, 1, 0, 0, 0), 1, MINUS_1),
        (slot(0x87, 1, 0, 0, 0), MIN, MIN),
        (slot(0x84, 1, 0, 0, 0), 1, 0xffff_ffff),
        (slot(0x84, 1, 0, 0, 0), 0x1_0000_0000, 0),
    ] {
        let code = [number(1, before), vec![code]].concat();
        assert_eq!(folded(&code, expected), Some(expected));
    }
    // With a sign: moves by 8, 16 and 32 bits, divisions by the offset 1.
    for (code, expected) in [
        (slot(0xbf, 1, 2, 8, 0), 0xffff_ffff_ffff_ff80),
        (slot(0xbf, 1, 2, 16, 0), 0xffff_ffff_ffff_8080),
        (slot(0xbf, 1, 2, 32, 0), 0xffff_ffff_8080_8080),
        (slot(0xbc, 1, 2, 8, 0), 0xffff_ff80),
        (slot(0xbc, 1, 2, 16, 0), 0xffff_8080),
        (slot(0x37, 1, 0, 1, -2), MINUS_1 - 2),
        (slot(0x97, 1, 0, 1, -2), 1),
        (slot(0x34, 1, 0, 1, -2), 0xffff_fffd),
    ] {
        let code = [number(1, 7), number(2, 0x8080_8080), vec![code]].concat();
        assert_eq!(folded(&code, expected), None);
    }
}

#[test]
fn bytes_are_swapped_of_as_many_bits_as_the_immediate_says() {
    let swaps = [
        (16, 0x8877, 0x7788),
        (32, 0x8877_6655, 0x5566_7788),
        (64, 0x8877_6655_4433_2211, 0x1122_3344_5566_7788),
    ];
    for (bits, swapped, same) in swaps {
        let (big, little) = match cfg!(target_endian = "big") {
            true => (same, swapped),
            false => (swapped, same),
        };
        for (code, expected) in [
            (be(1, bits), big),
            (le(1, bits), little),
            (bswap(1, bits), swapped),
        ] {
            let code = [number(1, 0x1122_3344_5566_7788), vec![code]].concat();
            assert_eq!(folded(&code, expected), None);
        }
    }
}

#[test]
fn bytes_of_64_bits_leave_something_above_32() {
    for (swap, is_narrow) in [(16, true), (32, true), (64, false)] {
        let cut = alu32(AND, 1, -1);
        for swap in [be(1, swap), le(1, swap), bswap(1, swap)] {
            let (code, shorter) = (
                [swap, cut, mov_x(0, 1), exit()],
                [swap, mov_x(0, 1), exit()],
            );
            let expected = if is_narrow { &shorter[..] } else { &code };
            assert_eq!(fold(&code), expected);
        }
    }
}

#[test]
fn zero_is_what_and_and_multiplication_by_it_leave() {
    for code in [
        alu(AND, 1, 0),
        alu(MUL, 1, 0),
        alu32(AND, 1, 0),
        alu32(MUL, 1, 0),
    ] {
        assert_eq!(fold(&[code, mov_x(0, 1), exit()]), [mov(0, 0), exit()]);
    }
    let code = [mov(2, 0), alu_x(AND, 2, 1), mov_x(0, 2), exit()];
    assert_eq!(fold(&code), [mov(0, 0), exit()]);
    // An or with all bits, and a remainder, are left to the kernel; but neither is wrong.
    for code in [alu(OR, 1, -1), alu(MOD, 1, 1)] {
        let code = [code, mov_x(0, 1), exit()];
        assert_eq!(fold(&code), code);
    }
}

#[test]
fn comparisons_jump_as_the_standard_says() {
    // Those of 64 bits, and of the lower 32 bits of the same numbers.
    for (operation, dst, src, wide, narrow) in [
        (JEQ, 5, 5, true, true),
        (JEQ, 0x1_0000_0005, 5, false, true),
        (JEQ, 0xffff_ffff, MINUS_1, false, true),
        (JNE, 5, 5, false, false),
        (JNE, 0x1_0000_0005, 5, true, false),
        (JGT, 5, 5, false, false),
        (JGT, MINUS_1, 5, true, true),
        (JGT, 0x1_0000_0000, 5, true, false),
        (JGT, 0x7fff_ffff, 0x8000_0000, false, false),
        (JGE, 5, 5, true, true),
        (JGE, 5, MINUS_1, false, false),
        (JGE, 0x8000_0000, 0x7fff_ffff, true, true),
        (JLT, 5, 5, false, false),
        (JLT, 5, MINUS_1, true, true),
        (JLT, 0x1_0000_0000, 5, false, true),
        (JLE, 5, 5, true, true),
        (JLE, MINUS_1, 5, false, false),
        (JSGT, 0, MINUS_1, true, true),
        (JSGT, 0xffff_ffff, 0, true, false),
        (JSGT, 5, 5, false, false),
        (JSGE, MINUS_1, 0, false, false),
        (JSGE, 5, 5, true, true),
        (JSGE, 0x8000_0000, 1, true, false),
        (JSLT, MINUS_1, 0, true, true),
        (JSLT, 0x8000_0000, 0, false, true),
        (JSLT, MIN, 0, true, false),
        (JSLE, MIN, 0, true, true),
        (JSLE, 1, 0xffff_ffff, true, false),
        (JSLE, 1, MINUS_1, false, false),
        (JSET, 6, 2, true, true),
        (JSET, 4, 2, false, false),
        (JSET, 0x1_0000_0000, MINUS_1, true, false),
        (JSET, 0x8000_0000, 0x8000_0000, true, true),
    ] {
        type Jump = (
            fn(u8, u8, u8, i16) -> Slot,
            fn(u8, u8, i32, i16) -> Slot,
            bool,
        );
        let forms: [Jump; 2] = [(jump_x, jump, wide), (jump32_x, jump32, narrow)];
        for (with_register, with_immediate, expected) in forms {
            let ends = [mov(0, 0), exit(), mov(0, 1), exit()];
            let mut comparisons = vec![with_register(operation, 1, 2, 2)];
            if src as i32 as u64 == src {
                comparisons.push(with_immediate(operation, 1, src as i32, 2));
            }
            for comparison in comparisons {
                let code = [&number(1, dst)[..], &number(2, src), &[comparison], &ends].concat();
                let what = format!("{operation:#x} {dst:#x} {src:#x}");
                assert_eq!(fold(&code), [mov(0, expected.into()), exit()], "{what}");
                let result = machine::run(&code, [0; 5]).unwrap().result;
                assert_eq!(result, expected.into(), "{what}");
            }
        }
    }
}
