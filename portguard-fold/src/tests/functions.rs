//! What is left of small functions, to the instruction.

use super::assembler::*;
use super::machine::READS;
use super::{Slot, fold};

/// Asserts that folding leaves a function as it is.
fn assert_stays(code: &[Slot]) {
    assert_eq!(fold(code), code);
}

#[test]
fn a_branch_that_is_decided_goes_with_what_only_it_reached() {
    let code = [
        mov(2, 1),
        jump(JEQ, 2, 0, 3),
        load(DW, 0, 1, 0),
        alu(ADD, 0, 7),
        exit(),
        load(DW, 0, 1, 8),
        goto(-4),
    ];
    assert_eq!(fold(&code), [load(DW, 0, 1, 0), alu(ADD, 0, 7), exit()]);
    // The other way round.
    let code = [&[mov(2, 0)], &code[1..]].concat();
    assert_eq!(fold(&code), [load(DW, 0, 1, 8), alu(ADD, 0, 7), exit()]);
}

#[test]
fn what_both_ways_leave_alike_is_known_where_they_meet() {
    let code = |other| {
        [
            jump(JGT, 1, 9, 2),
            mov(2, 4),
            goto(1),
            mov(2, other),
            mov(0, 0),
            jump(JLT, 2, 5, 1),
            load(B, 0, 1, 0),
            exit(),
        ]
    };
    assert_eq!(fold(&code(4)), [mov(0, 0), exit()]);
    // Both are less than 5, but which it is, is not known.
    let left = fold(&code(3));
    assert!(left.contains(&load(B, 0, 1, 0)), "{left:x?}");
}

#[test]
fn a_loop_does_not_keep_the_number_it_began_with() {
    let code = [
        mov(2, 3),
        mov(0, 0),
        alu_x(ADD, 0, 1),
        alu(ADD, 2, -1),
        jump(JNE, 2, 0, -3),
        exit(),
    ];
    assert_stays(&code);
    // The first instruction may be one that is jumped to.
    assert_stays(&[alu(ADD, 1, -1), jump(JNE, 1, 0, -2), mov(0, 0), exit()]);
}

#[test]
fn a_function_may_end_in_a_loop() {
    let code = [
        load(DW, 2, 1, 0),
        jump(JNE, 2, 0, 2),
        mov(0, 0),
        exit(),
        load(DW, 2, 1, 8),
        goto(-5),
    ];
    assert_stays(&code);
}

#[test]
fn a_comparison_tells_what_was_compared() {
    let code = [jump(JNE, 1, 5, 2), mov_x(0, 1), exit(), mov(0, 0), exit()];
    assert_eq!(
        fold(&code),
        [jump(JNE, 1, 5, 2), mov(0, 5), exit(), mov(0, 0), exit()]
    );
    let code = [jump(JEQ, 1, 5, 2), mov(0, 0), exit(), mov_x(0, 1), exit()];
    assert_eq!(
        fold(&code),
        [jump(JEQ, 1, 5, 2), mov(0, 0), exit(), mov(0, 5), exit()]
    );
    // The lower half alone tells nothing of the upper one.
    assert_stays(&[jump32(JNE, 1, 5, 2), mov_x(0, 1), exit(), mov(0, 0), exit()]);
    let code = [
        load(W, 1, 1, 0),
        jump32(JNE, 1, -1, 2),
        mov_x(0, 1),
        exit(),
        mov(0, 0),
        exit(),
    ];
    let mut expected = code;
    expected[2] = alu32(MOV, 0, -1);
    assert_eq!(fold(&code), expected);
    // With its sign it may have an upper half.
    let mut signed = code;
    signed[0] = load_signed(H, 1, 1, 0);
    assert_eq!(
        fold(&signed),
        [
            load_signed(H, 0, 1, 0),
            jump32(JNE, 0, -1, 1),
            exit(),
            mov(0, 0),
            exit()
        ]
    );
    // Either way leads to the same: nothing is known there, and nothing is to be decided.
    assert_eq!(
        fold(&[jump(JEQ, 1, 5, 0), mov_x(0, 1), exit()]),
        [mov_x(0, 1), exit()]
    );
}

#[test]
fn constants_become_immediates() {
    let code = [
        mov(2, 7),
        alu_x(ADD, 1, 2),
        alu32_x(XOR, 1, 2),
        mov_x(0, 1),
        exit(),
    ];
    assert_eq!(
        fold(&code),
        [alu(ADD, 1, 7), alu32(XOR, 1, 7), mov_x(0, 1), exit()]
    );
    // Those of comparisons too, on whichever side.
    let code = |comparison| [mov(2, 7), comparison, mov(0, 0), exit(), mov(0, 1), exit()];
    for (before, after) in [
        (jump_x(JGT, 1, 2, 2), jump(JGT, 1, 7, 2)),
        (jump_x(JGT, 2, 1, 2), jump(JLT, 1, 7, 2)),
        (jump_x(JGE, 2, 1, 2), jump(JLE, 1, 7, 2)),
        (jump_x(JLT, 2, 1, 2), jump(JGT, 1, 7, 2)),
        (jump_x(JLE, 2, 1, 2), jump(JGE, 1, 7, 2)),
        (jump_x(JSGT, 2, 1, 2), jump(JSLT, 1, 7, 2)),
        (jump_x(JSGE, 2, 1, 2), jump(JSLE, 1, 7, 2)),
        (jump_x(JSLT, 2, 1, 2), jump(JSGT, 1, 7, 2)),
        (jump_x(JSLE, 2, 1, 2), jump(JSGE, 1, 7, 2)),
        (jump_x(JSET, 2, 1, 2), jump(JSET, 1, 7, 2)),
        (jump32_x(JEQ, 2, 1, 2), jump32(JEQ, 1, 7, 2)),
        (jump32_x(JNE, 2, 1, 2), jump32(JNE, 1, 7, 2)),
    ] {
        assert_eq!(fold(&code(before)), code(after)[1..]);
    }
}

#[test]
fn what_does_not_fit_an_immediate_stays_in_a_register() {
    // 2^31 has no place among immediates of 64 bits, but among those of 32 bits.
    let code = [
        alu32(MOV, 2, i32::MIN),
        alu_x(ADD, 1, 2),
        mov_x(0, 1),
        exit(),
    ];
    assert_stays(&code);
    let code = [
        alu32(MOV, 2, i32::MIN),
        alu32_x(ADD, 1, 2),
        mov_x(0, 1),
        exit(),
    ];
    assert_eq!(fold(&code), [alu32(ADD, 1, i32::MIN), mov_x(0, 1), exit()]);
    // Neither has one of 33 bits.
    let code = [
        mov(2, 1),
        alu(LSH, 2, 32),
        alu_x(ADD, 1, 2),
        mov_x(0, 1),
        exit(),
    ];
    assert_stays(&code);
    // The kernel takes no shift by more than there are bits, and no division by nothing.
    assert_stays(&[mov(2, 64), alu_x(LSH, 1, 2), mov_x(0, 1), exit()]);
    assert_stays(&[mov(2, 0), alu_x(DIV, 1, 2), mov_x(0, 1), exit()]);
}

#[test]
fn what_changes_nothing_goes() {
    for idle in [
        alu(ADD, 1, 0),
        alu(SUB, 1, 0),
        alu(OR, 1, 0),
        alu(XOR, 1, 0),
        alu(LSH, 1, 0),
        alu(RSH, 1, 0),
        alu(ARSH, 1, 0),
        alu(AND, 1, -1),
        alu(MUL, 1, 1),
    ] {
        assert_eq!(fold(&[idle, mov_x(0, 1), exit()]), [mov_x(0, 1), exit()]);
        // The same of 32 bits takes away the upper half, unless nothing was there.
        let mut narrow = idle;
        narrow[0] = idle[0] & 0xf8 | 0x04;
        assert_stays(&[narrow, mov_x(0, 1), exit()]);
        let code = [load(W, 1, 1, 0), narrow, mov_x(0, 1), exit()];
        assert_eq!(fold(&code), [load(W, 0, 1, 0), exit()]);
    }
}

#[test]
fn what_nobody_reads_goes() {
    let code = [
        load(DW, 3, 1, 0),
        alu(MUL, 3, 5),
        wide(4, 1),
        upper(2),
        be(4, 32),
        mov_x(0, 1),
        exit(),
    ];
    assert_eq!(fold(&code), [mov_x(0, 1), exit()]);
    // A function that is called may read its arguments, and leaves nothing in them; those of r6 to r9 it leaves.
    let code = [
        mov(5, 5),
        mov(6, 6),
        mov(7, 7),
        call(9),
        alu_x(ADD, 0, 6),
        exit(),
    ];
    assert_eq!(fold(&code), [mov(5, 5), call(9), alu(ADD, 0, 6), exit()]);
    // What is in r1 then is not known.
    assert_stays(&[mov(1, 5), call(9), alu_x(ADD, 0, 1), exit()]);
}

#[test]
fn a_store_to_the_stack_that_nobody_reads_goes() {
    let code = [
        store(DW, 10, -8, 1),
        store_x(W, 10, -16, 1),
        mov_x(0, 1),
        exit(),
    ];
    assert_eq!(fold(&code), [mov_x(0, 1), exit()]);
    // One that is overwritten first, if all of it is.
    let code = |second| [store_x(DW, 10, -8, 1), second, load(DW, 0, 10, -8), exit()];
    assert_eq!(
        fold(&code(store_x(DW, 10, -8, 2))),
        code(store_x(DW, 10, -8, 2))[1..]
    );
    assert_stays(&code(store_x(W, 10, -8, 2)));
    assert_stays(&code(store_x(H, 10, -6, 2)));
    assert_stays(&code(store_x(H, 10, -8, 2)));
    // Each half of it by itself.
    let code = |offset| {
        let stores = [store_x(DW, 10, -8, 1), store_x(W, 10, offset, 2)];
        [stores[0], stores[1], load(W, 0, 10, -8), exit()]
    };
    assert_eq!(fold(&code(-8)), code(-8)[1..]);
    assert_eq!(fold(&code(-4)), [code(-4)[0], code(-4)[2], exit()]);
    let code = [
        store_x(DW, 10, -8, 1),
        store_x(DW, 10, -12, 2),
        load(W, 0, 10, -4),
        exit(),
    ];
    assert_eq!(fold(&code), [code[0], code[2], exit()]);
    // One that lies across both fills neither.
    let code = [
        store_x(DW, 10, -8, 1),
        store_x(W, 10, -6, 2),
        load(DW, 0, 10, -8),
        exit(),
    ];
    assert_stays(&code);
    // Any byte of it is enough.
    assert_stays(&[store_x(DW, 10, -16, 1), load(B, 0, 10, -9), exit()]);
    assert_stays(&[store_x(B, 10, -9, 1), load(DW, 0, 10, -16), exit()]);
    // Not another slot.
    let code = [store_x(DW, 10, -16, 1), load(DW, 0, 10, -8), exit()];
    assert_eq!(fold(&code), code[1..]);
}

#[test]
fn a_store_to_the_stack_that_is_read_by_another_way_stays() {
    let address = [mov_x(2, 10), alu(ADD, 2, -16)];
    let stored = store_x(DW, 10, -16, 1);
    assert_stays(
        &[
            &[stored],
            &address[..],
            &[atomic(DW, 2, 0, 1, 1), mov_x(0, 1), exit()],
        ]
        .concat(),
    );
    // Below every address that is made nobody reads.
    let below = [store_x(DW, 10, -24, 1)];
    let code = [&[stored], &address[..], &[call(READS), exit()]].concat();
    assert_stays(&code);
    assert_eq!(fold(&[&below, &code[..]].concat()), code);
    // An address may be lowered later, or by what is not known.
    for lowered in [
        vec![alu_x(SUB, 2, 1), load(DW, 0, 2, 0)],
        vec![alu_x(ADD, 2, 1), load(DW, 0, 2, 0)],
        vec![load(DW, 0, 2, 0), alu(ADD, 2, -4), jump(JNE, 0, 0, -3)],
        vec![store_x(DW, 1, 0, 2), mov(0, 0)],
    ] {
        assert_stays(&[&below, &address[..], &lowered, &[exit()]].concat());
    }
    // One that is known is that of the end, and another offset.
    for lowered in [
        vec![alu(ADD, 2, -8), load(DW, 0, 2, 0)],
        vec![load(DW, 0, 2, -8)],
        vec![mov_x(3, 2), alu(ADD, 3, -8), load(DW, 0, 3, 0)],
    ] {
        let code = [&below, &address[..], &lowered, &[exit()]].concat();
        assert_eq!(fold(&code), [below[0], load(DW, 0, 10, -24), exit()]);
    }
    assert_stays(&[below[0], store_x(DW, 1, 0, 10), mov(0, 0), exit()]);
    // What is stored by another register is not looked at.
    assert_stays(&[store(DW, 1, 0, 5), mov(0, 0), exit()]);
}

#[test]
fn what_is_not_known_is_left_alone_with_all_that_it_may_read() {
    // An operation that the instruction set does not have, one of packets that it had once, and a jump that may be taken (Linux, `may_goto`).
    for unknown in [slot(0xe7, 1, 0, 0, 0), slot(0x20, 0, 0, 0, 0)] {
        let code = [
            mov(6, 1),
            mov(9, 2),
            store(DW, 10, -8, 7),
            unknown,
            mov_x(0, 6),
            exit(),
        ];
        assert_stays(&code);
    }
    let may_goto = slot(0xe5, 0, 0, 2, 0);
    assert_stays(&[mov(6, 1), may_goto, mov(0, 0), exit(), mov_x(0, 7), exit()]);
    // What was there before an operation on memory comes to a register.
    for (operation, result) in [(0x01, 3), (0xe1, 3), (0xf1, 0)] {
        assert_stays(&[
            mov(3, 1),
            mov(0, 1),
            mov(6, 5),
            atomic(DW, 1, 0, 3, operation),
            alu_x(LSH, 1, result),
            mov_x(0, 1),
            exit(),
        ]);
    }
    // A register that does not exist is the kernel's to refuse.
    assert_stays(&[mov_x(0, 15), exit()]);
}

#[test]
fn no_order_is_longer_than_the_first_one() {
    // The second branch's target, placed before the first one's, has no room behind it for what goes on with it.
    let code = [
        jump(JEQ, 1, 0, 3),
        jump(JEQ, 1, 1, 3),
        mov(0, 0),
        exit(),
        load(DW, 1, 1, 0),
        load(DW, 0, 1, 0),
        exit(),
    ];
    assert_stays(&code);
    // Twice the same, and a jump of 32 bits of offset, which is left as one of 16.
    let code = |jump_to_end| {
        [
            jump(JEQ, 1, 0, 4),
            jump(JEQ, 1, 1, 4),
            jump(JEQ, 1, 2, 5),
            jump(JEQ, 1, 3, 5),
            jump_to_end,
            load(DW, 1, 1, 0),
            load(DW, 0, 1, 0),
            exit(),
            load(DW, 1, 1, 8),
            load(DW, 0, 1, 8),
            exit(),
            mov(0, 0),
            exit(),
        ]
    };
    assert_eq!(fold(&code(slot(0x06, 0, 0, 0, 6))), code(goto(6)));
}

#[test]
fn what_is_added_one_after_another_is_added_at_once() {
    let code = |first, second| [first, second, mov_x(0, 1), exit()];
    let both = |first, second, sum| {
        assert_eq!(fold(&code(first, second)), [sum, mov_x(0, 1), exit()]);
    };
    both(alu(ADD, 1, 5), alu(ADD, 1, -7), alu(ADD, 1, -2));
    both(alu(AND, 1, -193), alu(AND, 1, 0xffff), alu(AND, 1, 0xff3f));
    both(
        alu32(AND, 1, -193),
        alu32(AND, 1, 0xffff),
        alu32(AND, 1, 0xff3f),
    );
    // The sum of 32 bits goes round, that of 64 has no room in an instruction.
    let most = i32::MAX;
    both(alu32(ADD, 1, most), alu32(ADD, 1, most), alu32(ADD, 1, -2));
    assert_stays(&code(alu(ADD, 1, most), alu(ADD, 1, 1)));
    // Different registers, widths and operations.
    assert_stays(&[
        alu(ADD, 1, 5),
        alu(ADD, 2, 6),
        alu_x(ADD, 1, 2),
        mov_x(0, 1),
        exit(),
    ]);
    assert_stays(&code(alu(ADD, 1, 5), alu32(ADD, 1, 6)));
    assert_stays(&code(alu(MUL, 1, 5), alu(ADD, 1, 6)));
    // Where the second one is jumped to, it stands by itself.
    assert_stays(&[
        jump(JEQ, 2, 0, 1),
        alu(ADD, 1, 5),
        alu(ADD, 1, 6),
        mov_x(0, 1),
        exit(),
    ]);
}

#[test]
fn what_is_added_to_an_address_is_added_to_the_offset() {
    let code = |rest: &[Slot]| [&[alu(ADD, 1, 100)], rest, &[exit()]].concat();
    let folded = |rest: &[Slot], expected: &[Slot]| {
        assert_eq!(fold(&code(rest)), [expected, &[exit()]].concat());
    };
    folded(&[load(DW, 0, 1, 8)], &[load(DW, 0, 1, 108)]);
    folded(
        &[
            load(DW, 2, 1, 0),
            alu(ADD, 2, 1),
            store_x(DW, 1, 0, 2),
            mov(0, 1),
        ],
        &[
            load(DW, 2, 1, 100),
            alu(ADD, 2, 1),
            store_x(DW, 1, 100, 2),
            mov(0, 1),
        ],
    );
    folded(
        &[store(W, 1, -4, 7), load(DW, 1, 1, 0), mov_x(0, 1)],
        &[store(W, 1, 96, 7), load(DW, 0, 1, 100)],
    );
    // Something else is done with the address, here or where a branch leads.
    assert_stays(&code(&[load(DW, 0, 1, 8), alu_x(ADD, 0, 1)]));
    assert_stays(&code(&[store_x(DW, 1, 0, 1), mov(0, 1)]));
    assert_stays(&code(&[atomic(DW, 1, 0, 2, 0), mov(0, 1)]));
    assert_stays(&code(&[load(DW, 0, 1, 8), jump(JEQ, 0, 0, 1), mov_x(0, 1)]));
    assert_stays(&code(&[jump(JEQ, 2, 0, 1), load(DW, 1, 1, 8), mov_x(0, 1)]));
    // The offset would have no room.
    assert_stays(&code(&[load(DW, 0, 1, i16::MAX - 50)]));
    // Another way leads to the access.
    assert_stays(&[
        jump(JEQ, 2, 0, 1),
        alu(ADD, 1, 100),
        load(DW, 0, 1, 8),
        exit(),
    ]);
}

#[test]
fn what_reads_a_copy_reads_the_original() {
    let code = |rest: &[Slot]| [&[mov_x(6, 1)], rest, &[exit()]].concat();
    let folded = |rest: &[Slot], expected: &[Slot]| {
        assert_eq!(fold(&code(rest)), [expected, &[exit()]].concat());
    };
    folded(&[load(DW, 0, 6, 8)], &[load(DW, 0, 1, 8)]);
    folded(
        &[store_x(DW, 6, 8, 6), store(B, 6, 0, 1), mov_x(0, 6)],
        &[mov_x(0, 1), store_x(DW, 0, 8, 0), store(B, 0, 0, 1)],
    );
    folded(
        &[mov(0, 7), jump_x(JGT, 6, 2, 1), alu_x(ADD, 0, 6)],
        &[mov(0, 7), jump_x(JGT, 1, 2, 1), alu_x(ADD, 0, 1)],
    );
    // The last one that reads it may write to either.
    folded(&[load(DW, 1, 6, 8), mov_x(0, 1)], &[load(DW, 0, 1, 8)]);
    folded(&[load(DW, 6, 6, 8), mov_x(0, 6)], &[load(DW, 0, 1, 8)]);
    // The original is gone before.
    let both = [store_x(DW, 7, 0, 6), store_x(DW, 7, 8, 1), mov(0, 1)];
    assert_stays(&code(&[&[alu(ADD, 1, 1)], &both[..]].concat()));
    let called = [mov_x(6, 3), call(READS), mov_x(0, 6), exit()];
    assert_stays(&called);
    // The copy is changed, or read where other ways lead, too.
    assert_stays(&code(&[&[alu(ADD, 6, 1)], &both[..]].concat()));
    assert_stays(&code(&[
        mov(0, 7),
        jump(JGT, 2, 9, 1),
        mov(0, 8),
        alu_x(ADD, 0, 6),
    ]));
    // Of a half there is no copy, unless there is nothing in the other one.
    assert_stays(&[alu32_x(MOV, 6, 1), load(DW, 0, 6, 8), exit()]);
    let narrow = [
        load(H, 2, 1, 0),
        alu32_x(MOV, 6, 2),
        alu_x(ADD, 1, 6),
        load(B, 0, 1, 0),
        exit(),
    ];
    assert_eq!(
        fold(&narrow),
        [load(H, 6, 1, 0), alu_x(ADD, 1, 6), load(B, 0, 1, 0), exit()]
    );
}

#[test]
fn a_result_is_computed_where_it_is_wanted() {
    let code = |first, second, rest: &[Slot]| [&[first, second], rest, &[exit()]].concat();
    let tail = [alu(MUL, 2, 3), store_x(DW, 7, 0, 2), mov(0, 1)];
    let folded = |first, second, expected| {
        assert_eq!(
            fold(&code(first, second, &tail)),
            [&[expected], &tail[..], &[exit()]].concat()
        );
    };
    folded(alu_x(ADD, 1, 2), mov_x(2, 1), alu_x(ADD, 2, 1));
    folded(alu32_x(XOR, 1, 2), alu32_x(MOV, 2, 1), alu32_x(XOR, 2, 1));
    // It matters which is which, or the first is read later.
    assert_stays(&code(alu_x(SUB, 1, 2), mov_x(2, 1), &tail));
    assert_stays(&code(
        alu_x(ADD, 1, 2),
        mov_x(2, 1),
        &[alu(MUL, 2, 3), store_x(DW, 7, 0, 2), mov_x(0, 1)],
    ));
    // A copy of the lower half is no copy of the sum.
    assert_stays(&code(alu_x(ADD, 1, 2), alu32_x(MOV, 2, 1), &tail));
    // Nor is one with the sign of its last byte put before it (`MOVSX`).
    let signed = slot(0xbf, 2, 1, 8, 0);
    assert_stays(&code(alu_x(ADD, 1, 2), signed, &tail));
    // A number that is known comes second.
    assert_eq!(
        fold(&code(mov(2, 14), alu_x(ADD, 2, 1), &[load(H, 0, 2, 0)])),
        [load(H, 0, 1, 14), exit()]
    );
}

#[test]
fn what_is_given_to_a_function_that_is_given_nothing_goes() {
    const GET_SMP_PROCESSOR_ID: i32 = 8;
    let code = [mov(1, 7), mov(2, 8), call(GET_SMP_PROCESSOR_ID), exit()];
    assert_eq!(fold(&code), code[2..]);
    assert_stays(&[mov(1, 7), mov(2, 8), call(READS), exit()]);
    // The kernel has other functions with the same numbers.
    let by_type = slot(0x85, 0, 2, 0, GET_SMP_PROCESSOR_ID);
    assert_stays(&[mov(1, 7), mov(2, 8), by_type, exit()]);
}

#[test]
fn what_is_added_to_an_address_is_a_part_of_it() {
    // By the source register: a number, or what a relocation is added to; the address of a map's value; a map.
    const NUMBER: u8 = 0;
    const VALUE: u8 = 2;
    const MAP: u8 = 1;
    let address = |src, low, high| [slot(0x18, 6, src, 0, low), upper(high)];
    let rest = [alu_x(ADD, 6, 1), load(H, 0, 6, 0), exit()];
    let folded = |address: [Slot; 2], between: &[Slot], added, expected: [Slot; 2]| {
        let code = [&address, between, &[alu(ADD, 6, added)], &rest].concat();
        assert_eq!(fold(&code), [&expected, between, &rest].concat());
    };
    folded(address(NUMBER, 8, 3), &[], 100, address(NUMBER, 108, 3));
    folded(address(VALUE, 8, 3), &[], 100, address(VALUE, 8, 103));
    folded(
        address(NUMBER, 0, 0),
        &[],
        i32::MAX,
        address(NUMBER, i32::MAX, 0),
    );
    // What does not touch it may stand between the two.
    let between = [load(DW, 1, 1, 0), store_x(DW, 7, 0, 1)];
    folded(
        address(NUMBER, 8, 3),
        &between,
        100,
        address(NUMBER, 108, 3),
    );
    let stays = |address: [Slot; 2], rest: &[Slot]| {
        assert_stays(&[&address, rest, &[load(H, 0, 6, 0), exit()]].concat());
    };
    let added = |number| [alu(ADD, 6, number), alu_x(ADD, 6, 1)];
    // It would be carried into the upper half, or taken from it.
    stays(address(NUMBER, i32::MAX, 0), &added(1));
    stays(address(NUMBER, -1, 0), &added(1));
    stays(address(NUMBER, 8, 0), &added(-8));
    stays(address(VALUE, 8, i32::MAX), &added(1));
    // A map is a number of the kernel's own.
    stays(address(MAP, 8, 0), &added(1));
    // It is read in between, or another way leads there.
    let read = [store_x(DW, 7, 0, 6)];
    stays(address(NUMBER, 8, 0), &[&read[..], &added(1)].concat());
    let branch = [jump(JEQ, 1, 0, 1), alu(MUL, 1, 3)];
    stays(address(NUMBER, 8, 0), &[&branch[..], &added(1)].concat());
    // Half of it, or a register.
    stays(address(NUMBER, 8, 0), &[alu32(ADD, 6, 1), alu_x(ADD, 6, 1)]);
    stays(address(NUMBER, 8, 0), &[alu_x(ADD, 6, 2), alu_x(ADD, 6, 1)]);
}

#[test]
fn what_is_copied_is_made_where_it_is_wanted() {
    let rest = [alu(MUL, 6, 3), store_x(DW, 7, 0, 6), mov(0, 1), exit()];
    let code = |made: &[Slot]| [made, &[mov_x(6, 2)], &rest].concat();
    let folded = |made: &[Slot], expected: &[Slot]| {
        assert_eq!(fold(&code(made)), [expected, &rest].concat());
    };
    folded(&[load(DW, 2, 1, 0)], &[load(DW, 6, 1, 0)]);
    folded(&[load(DW, 2, 2, 0)], &[load(DW, 6, 2, 0)]);
    folded(&[load(DW, 2, 6, 0)], &[load(DW, 6, 6, 0)]);
    folded(&[wide(2, 5), upper(6)], &[wide(6, 5), upper(6)]);
    let used = [alu(MUL, 2, 3), alu_x(XOR, 2, 1), store_x(DW, 1, 0, 2)];
    let renamed = [alu(MUL, 6, 3), alu_x(XOR, 6, 1), store_x(DW, 1, 0, 6)];
    folded(
        &[&[load(DW, 2, 1, 0)], &used[..]].concat(),
        &[&[load(DW, 6, 1, 0)], &renamed[..]].concat(),
    );
    // A branch that leads to where neither is read.
    folded(
        &[load(DW, 2, 1, 0), jump(JGT, 2, 9, 3)],
        &[load(DW, 6, 1, 0), jump(JGT, 6, 9, 2)],
    );
    // The place of the copy is in use.
    assert_stays(&code(&[mov(6, 1), load(DW, 2, 1, 0), store_x(DW, 1, 0, 6)]));
    // What is copied is read later, here or where a branch leads.
    let read = [store_x(DW, 7, 8, 2), mov(0, 1), exit()];
    let twice = [load(DW, 2, 1, 0), mov_x(6, 2)];
    assert_stays(&[&twice, &rest[..2], &read[..]].concat());
    let branch = [load(DW, 2, 1, 0), jump(JGT, 1, 9, 5), mov_x(6, 2)];
    assert_stays(&[&branch[..], &rest[..], &read[..]].concat());
    // It is made in two ways, or by what names no register.
    assert_stays(&code(&[
        load(DW, 2, 1, 0),
        jump(JEQ, 1, 0, 1),
        alu(MUL, 2, 3),
    ]));
    assert_stays(&[&[call(READS), mov_x(6, 0)], &rest[..]].concat());
}
