//! Random functions do the same, folded and not.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::assembler::*;
use super::fold;
use super::machine::{BUFFER, MIXES, READS, run};

/// Keeps the address of the buffer.
const OUTER: u8 = 7;
/// Addresses of the stack are made in it.
const ADDRESS: u8 = 8;
/// Counts the rounds of loops.
const COUNTER: u8 = 9;
const FRAME: u8 = 10;

/// Instructions that stand together.
#[derive(Clone, Debug)]
enum Part {
    Plain(Vec<Slot>),
    /// A comparison that leads so many parts further.
    Branch(Slot, usize),
    /// So many parts behind it so often.
    Loop(usize, i32),
}

/// Numbers at whose edges something changes, and any other.
fn immediate() -> impl Strategy<Value = i32> {
    let edges = vec![
        0,
        1,
        -1,
        2,
        7,
        8,
        31,
        32,
        63,
        255,
        0xffff,
        i32::MAX,
        i32::MIN,
        i32::MIN + 1,
    ];
    prop_oneof![4 => select(edges), 1 => any::<i32>()]
}

/// A register to compute in.
fn dst() -> impl Strategy<Value = u8> {
    0_u8..7
}

/// A register to read: addresses now and then.
fn src() -> impl Strategy<Value = u8> {
    prop_oneof![20 => 0_u8..7, 1 => 7_u8..11]
}

fn size() -> impl Strategy<Value = u8> {
    select(vec![B, H, W, DW, DW])
}

/// Places of the stack, so few that they meet; not all of them aligned.
fn stack() -> impl Strategy<Value = i16> {
    prop_oneof![4 => (-5_i16..-1).prop_map(|slot| slot * 8), 1 => -40_i16..-7]
}

fn computation() -> impl Strategy<Value = Slot> {
    let operations = vec![ADD, SUB, MUL, OR, AND, XOR, DIV, MOD, MOV, MOV];
    let shifts = vec![LSH, RSH, ARSH];
    let ends = (dst(), select(vec![16, 32, 64]), 0..3).prop_map(|(dst, bits, form)| match form {
        0 => be(dst, bits),
        1 => le(dst, bits),
        _ => bswap(dst, bits),
    });
    // Moves and divisions by sign; there is no move of 32 bits within 32 bits.
    let forms = vec![
        (0xb8_u8, 8_i16),
        (0xb8, 16),
        (0xb8, 32),
        (0x38, 1),
        (0x98, 1),
    ];
    let signed = (any::<bool>(), select(forms), dst(), src());
    let signed = signed.prop_map(|(is_wide, (code, offset), dst, src)| match is_wide {
        true => slot(code | 7, dst, src, offset, 0),
        false => slot(code | 4, dst, src, offset.min(16), 0),
    });
    prop_oneof![
        6 => (select(operations.clone()), dst(), immediate()).prop_map(|(code, dst, number)| alu(code, dst, number)),
        6 => (select(operations.clone()), dst(), immediate()).prop_map(|(code, dst, number)| alu32(code, dst, number)),
        6 => (select(operations.clone()), dst(), src()).prop_map(|(code, dst, src)| alu_x(code, dst, src)),
        6 => (select(operations), dst(), src()).prop_map(|(code, dst, src)| alu32_x(code, dst, src)),
        2 => (select(shifts.clone()), dst(), 0..64).prop_map(|(code, dst, bits)| alu(code, dst, bits)),
        2 => (select(shifts.clone()), dst(), 0..32).prop_map(|(code, dst, bits)| alu32(code, dst, bits)),
        2 => (select(shifts.clone()), dst(), src()).prop_map(|(code, dst, src)| alu_x(code, dst, src)),
        2 => (select(shifts), dst(), src()).prop_map(|(code, dst, src)| alu32_x(code, dst, src)),
        1 => (any::<bool>(), dst()).prop_map(|(wide, dst)| slot(if wide { 0x87 } else { 0x84 }, dst, 0, 0, 0)),
        2 => ends,
        2 => signed,
    ]
}

/// Loads and stores at a register that holds an address.
fn access(base: u8, place: impl Strategy<Value = i16>) -> impl Strategy<Value = Slot> {
    let operations = vec![0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1];
    let chosen = (0..10, size(), dst(), src(), immediate(), select(operations));
    (chosen, place).prop_map(
        move |((form, size, dst, src, number, operation), place)| match form {
            0..4 => load(size, dst, base, place),
            4 if size != DW => load_signed(size, dst, base, place),
            5 => store(size, base, place, number),
            6 if base != OUTER || src < OUTER => atomic(
                if size == DW { DW } else { W },
                base,
                place,
                src.min(6),
                operation,
            ),
            _ => store_x(size, base, place, src),
        },
    )
}

fn comparison() -> impl Strategy<Value = Slot> {
    let operations = vec![
        JEQ, JEQ, JNE, JNE, JGT, JGE, JSET, JSGT, JSGE, JLT, JLE, JSLT, JSLE,
    ];
    (0..4, select(operations), dst(), src(), immediate()).prop_map(
        |(form, code, dst, src, number)| match form {
            0 => jump(code, dst, number, 0),
            1 => jump32(code, dst, number, 0),
            2 => jump_x(code, dst, src, 0),
            _ => jump32_x(code, dst, src, 0),
        },
    )
}

/// What is done by way of an address of the stack that is made of its end.
fn by_address() -> impl Strategy<Value = Vec<Slot>> {
    let made = |place: i16| vec![mov_x(ADDRESS, FRAME), alu(ADD, ADDRESS, place.into())];
    let near = (
        stack(),
        access(ADDRESS, prop_oneof![2 => Just(0_i16), 1 => -16_i16..1]),
    );
    let read = (stack(), 1..8).prop_map(move |(place, length)| {
        [
            made(place),
            vec![mov_x(1, ADDRESS), mov(2, length), call(READS)],
        ]
        .concat()
    });
    // From an array's end to its beginning.
    let walk = (access(ADDRESS, Just(0_i16)), 1..5).prop_map(move |(access, rounds)| {
        let body = vec![
            access,
            alu(ADD, ADDRESS, -8),
            alu(ADD, COUNTER, -1),
            jump(JNE, COUNTER, 0, -4),
        ];
        [vec![mov(COUNTER, rounds)], made(-8), body].concat()
    });
    let lowered =
        (dst(), 0..5, access(ADDRESS, Just(0_i16))).prop_map(move |(dst, index, access)| {
            let lower = vec![
                mov(dst, index),
                call(MIXES),
                alu(AND, 0, 3),
                alu(LSH, 0, 3),
                alu_x(SUB, ADDRESS, 0),
            ];
            [made(-8), lower, vec![access]].concat()
        });
    // An address that was kept in memory.
    let kept = (stack(), access(ADDRESS, Just(0_i16))).prop_map(move |(place, access)| {
        let kept = vec![
            store_x(DW, FRAME, -64, ADDRESS),
            load(DW, ADDRESS, FRAME, -64),
        ];
        [made(place), kept, vec![access]].concat()
    });
    prop_oneof![
        6 => near.prop_map(move |(place, access)| [made(place), vec![access]].concat()),
        3 => read,
        3 => walk,
        3 => lowered,
        2 => kept,
    ]
}

/// What one instruction could do.
fn joinable() -> impl Strategy<Value = Vec<Slot>> {
    let commutative = || select(vec![ADD, MUL, OR, AND, XOR]);
    let copy = (dst(), dst()).prop_map(|(dst, src)| vec![mov_x(dst, src)]);
    let back = (commutative(), dst(), dst())
        .prop_map(|(code, dst, src)| vec![alu_x(code, dst, src), mov_x(src, dst)]);
    let twice = (select(vec![ADD, AND]), dst(), immediate(), immediate())
        .prop_map(|(code, dst, first, second)| vec![alu(code, dst, first), alu(code, dst, second)]);
    let constant = (commutative(), dst(), immediate(), dst())
        .prop_map(|(code, dst, number, src)| vec![mov(dst, number), alu_x(code, dst, src)]);
    let accesses = vec(access(ADDRESS, 0_i16..24), 1..4);
    let by_copy = (0..32, accesses).prop_map(|(number, accesses)| {
        let made = vec![mov_x(ADDRESS, OUTER), alu(ADD, ADDRESS, number)];
        [made, accesses].concat()
    });
    prop_oneof![
        8 => copy,
        2 => back,
        2 => twice,
        2 => constant,
        3 => by_copy,
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let plain = |slots| Part::Plain(slots);
    prop_oneof![
        24 => computation().prop_map(|slot| Part::Plain(vec![slot])),
        2 => (dst(), any::<i32>(), any::<i32>()).prop_map(|(dst, low, high)| Part::Plain(vec![wide(dst, low), upper(high)])),
        10 => access(FRAME, stack()).prop_map(|slot| Part::Plain(vec![slot])),
        4 => access(OUTER, 0_i16..56).prop_map(|slot| Part::Plain(vec![slot])),
        4 => by_address().prop_map(plain),
        16 => joinable().prop_map(plain),
        1 => Just(Part::Plain(vec![call(MIXES)])),
        1 => Just(Part::Plain(vec![exit()])),
        9 => (comparison(), 0_usize..9).prop_map(|(slot, parts)| Part::Branch(slot, parts)),
        1 => (0_usize..9).prop_map(|parts| Part::Branch(goto(0), parts)),
        1 => (1_usize..5, 1..4).prop_map(|(parts, rounds)| Part::Loop(parts, rounds)),
    ]
}

/// Some inputs known, some not; then parts; then some of what was computed comes out.
fn function() -> impl Strategy<Value = Vec<Slot>> {
    let known = vec((1_u8..6, immediate()), 0..5);
    let results = vec((0_u8..7, 0_i16..8), 0..3);
    (known, vec(part(), 1..40), results).prop_map(|(known, parts, results)| {
        let mut parts = parts;
        parts.insert(0, Part::Plain(vec![mov_x(OUTER, 1)]));
        let known = known.into_iter().map(|(dst, number)| mov(dst, number));
        parts.insert(1, Part::Plain(known.collect()));
        let results = results
            .into_iter()
            .map(|(src, place)| store_x(DW, OUTER, place * 8, src));
        parts.push(Part::Plain(results.chain([exit()]).collect()));
        assembled(&parts)
    })
}

/// The slots of parts, with the offsets of their jumps.
fn assembled(parts: &[Part]) -> Vec<Slot> {
    // A loop's end stands before the part that follows it. There is one counter, so that no loop has a place within another one.
    let mut ends = vec![None; parts.len()];
    let mut last = 0;
    for (number, part) in parts.iter().enumerate() {
        if let Part::Loop(length, _) = part
            && number >= last
        {
            last = (number + 1 + length).min(parts.len() - 1);
            ends[last] = Some(number);
        }
    }
    let mut starts = Vec::new();
    let mut length = 0;
    for (number, part) in parts.iter().enumerate() {
        length += 2 * usize::from(ends[number].is_some());
        starts.push(length);
        length += match part {
            Part::Plain(slots) => slots.len(),
            Part::Branch(..) | Part::Loop(..) => 1,
        };
    }
    let mut slots = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        if let Some(first) = ends[number] {
            slots.push(alu(ADD, COUNTER, -1));
            let back = starts[first] as i16 + 1 - slots.len() as i16 - 1;
            slots.push(jump(JSGT, COUNTER, 0, back));
        }
        match part {
            Part::Plain(own) => slots.extend(own),
            Part::Loop(_, rounds) => {
                let has_end = ends.contains(&Some(number));
                slots.push(mov(if has_end { COUNTER } else { 0 }, *rounds));
            }
            Part::Branch(own, further) => {
                let target = starts[(number + 1 + further).min(parts.len() - 1)];
                let mut own = *own;
                let offset = (target - slots.len() - 1) as i16;
                own[2..4].copy_from_slice(&offset.to_ne_bytes());
                slots.push(own);
            }
        }
    }
    slots
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_function_does_the_same_folded(
        function in function(),
        others in prop_oneof![Just([0_u64; 4]), Just([1, 2, u64::MAX, 1 << 32]), any::<[u64; 4]>()],
    ) {
        let [a, b, c, d] = others;
        let arguments = [BUFFER, a, b, c, d];
        let before = run(&function, arguments);
        prop_assume!(before.is_some());
        let once = fold(&function);
        prop_assert_eq!(run(&once, arguments), before.clone(), "{:x?}", once);
        prop_assert!(once.len() <= function.len());
        let twice = fold(&once);
        prop_assert_eq!(run(&twice, arguments), before, "{:x?}", twice);
        prop_assert!(twice.len() <= once.len());
    }
}
