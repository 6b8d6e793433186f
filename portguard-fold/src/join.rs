//! Instructions that follow one another and do the work of fewer: copies, and what is added to an address before it is used. Each register
//! keeps the numbers that are read of it later, and no other one is written.

use crate::function::Step;
use crate::instruction::{FRAME, Flow, Instruction, LOAD_WIDE, X, alu, class};
use crate::needed::Liveness;

/// How far to look for the last use of what was copied or added.
const WINDOW: usize = 64;

type Steps = [Option<Step>];

/// Joins what can be joined.
pub(crate) fn join(steps: &mut Steps) {
    let targets = targets(steps);
    for place in 0..steps.len() {
        if let Some((next, second)) = following(steps, &targets, place)
            && let Some(first) = steps[place]
        {
            let joined = constant_second(&first.instruction, &second.instruction)
                .or_else(|| one_constant(&first.instruction, &second.instruction));
            if let Some((first, second)) = joined {
                set(steps, place, first);
                set(steps, next, second);
            }
        }
    }
    for place in 0..steps.len() {
        if let Some((added, joined)) = into_address(steps, &targets, place) {
            set(steps, place, Some(joined));
            steps[added] = None;
        }
    }
    let live = Liveness::of_registers(steps);
    for place in 0..steps.len() {
        if let Some((next, second)) = following(steps, &targets, place)
            && let Some(first) = steps[place]
            && let Some(joined) = into_copy(&first.instruction, &second.instruction)
            && !live.is_read_after(steps, next, first.instruction.dst)
        {
            set(steps, place, Some(joined));
            steps[next] = None;
        }
    }
    rewrite(steps, &targets, &live, add_to_offsets);
    rewrite(steps, &targets, &live, make_in_place);
    // Registers are in use for longer now than they were.
    let live = Liveness::of_registers(steps);
    rewrite(steps, &targets, &live, use_original);
}

/// Leaves out what others can do without.
fn rewrite(steps: &mut Steps, targets: &[bool], live: &Liveness, find: Rewrite) {
    for place in 0..steps.len() {
        if let Some(changes) = find(steps, targets, live, place) {
            for (place, instruction) in changes {
                set(steps, place, Some(instruction));
            }
            steps[place] = None;
        }
    }
}

fn set(steps: &mut Steps, place: usize, instruction: Option<Instruction>) {
    steps[place] = match (steps[place], instruction) {
        (Some(step), Some(instruction)) => Some(Step {
            instruction,
            ..step
        }),
        _ => None,
    };
}

/// Where jumps lead.
fn targets(steps: &Steps) -> Vec<bool> {
    let mut targets = vec![false; steps.len() + 1];
    for step in steps.iter().flatten() {
        if let Some(target) = step.target {
            targets[target] = true;
        }
    }
    targets
}

/// The instruction that always follows, and follows nothing else.
fn following(steps: &Steps, targets: &[bool], place: usize) -> Option<(usize, Step)> {
    if steps[place]?.instruction.flow() != Flow::Next {
        return None;
    }
    for next in place + 1..steps.len() {
        if targets[next] {
            return None;
        }
        if let Some(step) = steps[next] {
            return Some((next, step));
        }
    }
    None
}

type Pair = (Option<Instruction>, Option<Instruction>);

/// `a = 5; a += b` as `a = b; a += 5`.
fn constant_second(first: &Instruction, second: &Instruction) -> Option<Pair> {
    let is_constant = first.code == class::ALU64 | alu::MOV && first.offset == 0;
    let is_same = second.dst == first.dst && second.src != first.dst;
    if !(is_constant && is_same && is_commutative(second) && second.is_wide()) {
        return None;
    }
    let copy = Instruction {
        code: first.code | X,
        src: second.src,
        immediate: 0,
        ..*first
    };
    let operation = Instruction {
        code: second.code & !X,
        src: 0,
        immediate: first.immediate,
        ..*second
    };
    Some((Some(copy), Some(operation)))
}

/// `a += 5; a += 6` as `a += 11`; likewise of masks.
fn one_constant(first: &Instruction, second: &Instruction) -> Option<Pair> {
    let is_same = first.code == second.code && first.dst == second.dst;
    let is_constant = first.is_alu() && !first.has_register();
    if !is_same || !is_constant || first.offset != 0 || second.offset != 0 {
        return None;
    }
    let immediate = match first.operation() {
        alu::ADD if first.is_wide() => first.immediate.checked_add(second.immediate)?,
        alu::ADD => first.immediate.wrapping_add(second.immediate),
        // With the sign before them, both masks have as many bits.
        alu::AND => first.immediate & second.immediate,
        _ => return None,
    };
    let joined = Instruction {
        immediate,
        ..*second
    };
    Some((None, Some(joined)))
}

/// `a = address; a += 5` as `a = address + 5`, where nothing reads `a` between the two; likewise of a number in two slots. The answer is where something
/// was added.
fn into_address(steps: &Steps, targets: &[bool], place: usize) -> Option<(usize, Instruction)> {
    /// The address of a map's value, by the map's descriptor and an offset (RFC 9669, 5.4).
    const MAP_VALUE: u8 = 2;
    let mut joined = steps[place]?.instruction;
    if joined.code != LOAD_WIDE {
        return None;
    }
    let offset = match joined.src {
        // A number, or what a relocation is added to: nothing may be carried into the upper half, which has no part in that.
        0 => &mut joined.immediate,
        MAP_VALUE => &mut joined.upper,
        _ => return None,
    };
    let mut next = place;
    let added = loop {
        let (following, step) = following(steps, targets, next)?;
        next = following;
        let touched = step.instruction.reads() | step.instruction.writes();
        if touched >> joined.dst & 1 != 0 {
            break step.instruction;
        }
    };
    let is_constant = added.code == class::ALU64 | alu::ADD && added.dst == joined.dst;
    if !is_constant || *offset < 0 || added.immediate < 0 {
        return None;
    }
    *offset = offset.checked_add(added.immediate)?;
    Some((next, joined))
}

/// `a += b; b = a` as `b += a`, where `a` is not read later.
fn into_copy(first: &Instruction, second: &Instruction) -> Option<Instruction> {
    let is_move = second.is_alu()
        && second.operation() == alu::MOV
        && second.has_register()
        && second.offset == 0
        // A result of 32 bits has no upper half, however it is copied.
        && (second.is_wide() || !first.is_wide());
    let is_back = (second.dst, second.src) == (first.src, first.dst) && first.dst != first.src;
    (is_commutative(first) && is_move && is_back).then_some(Instruction {
        dst: first.src,
        src: first.dst,
        ..*first
    })
}

/// Whether it has two registers, and it does not matter which is which.
fn is_commutative(instruction: &Instruction) -> bool {
    instruction.is_alu()
        && instruction.has_register()
        && instruction.offset == 0
        && matches!(
            instruction.operation(),
            alu::ADD | alu::MUL | alu::OR | alu::AND | alu::XOR
        )
}

type Changes = Vec<(usize, Instruction)>;

/// What to put in the place of other instructions, where one is left out.
type Rewrite = fn(&Steps, &[bool], &Liveness, usize) -> Option<Changes>;

/// `a += 8; b = *(a + 0)` as `b = *(a + 8)`, where nothing but such accesses reads `a` later.
fn add_to_offsets(
    steps: &Steps,
    targets: &[bool],
    live: &Liveness,
    place: usize,
) -> Option<Changes> {
    let added = steps[place]?.instruction;
    if added.code != class::ALU64 | alu::ADD || added.dst == FRAME {
        return None;
    }
    let address = added.dst;
    rewritten(steps, targets, live, place, address, |instruction| {
        let mut instruction = *instruction;
        let offset = i32::from(instruction.offset).checked_add(added.immediate)?;
        let is_base = match (instruction.is_load(), instruction.is_store()) {
            (true, _) => instruction.is_plain_access() && instruction.src == address,
            (_, true) => {
                let stores_it = instruction.has_register() && instruction.src == address;
                instruction.dst == address && !stores_it
            }
            _ => false,
        };
        instruction.offset = i16::try_from(offset).ok()?;
        is_base.then_some(instruction)
    })
}

/// What reads a copy reads the original, where that is there as long as the copy is read.
fn use_original(steps: &Steps, targets: &[bool], live: &Liveness, place: usize) -> Option<Changes> {
    let copied = steps[place]?.instruction;
    if !copied.is_copy() || copied.dst == copied.src {
        return None;
    }
    let (copy, original) = (copied.dst, copied.src);
    let mut is_there = true;
    rewritten(steps, targets, live, place, copy, |instruction| {
        // Asked of each instruction in turn.
        if !is_there {
            return None;
        }
        is_there = instruction.writes() >> original & 1 == 0;
        let mut instruction = *instruction;
        if instruction.reads() >> copy & 1 == 0 {
            return Some(instruction);
        }
        let is_known = names_its_registers(&instruction);
        let changes_copy = instruction.is_alu() && instruction.dst == copy;
        if !is_known || changes_copy {
            return None;
        }
        let reads_dst = instruction.is_store() || instruction.is_comparison();
        if reads_dst && instruction.dst == copy {
            instruction.dst = original;
        }
        if (instruction.has_register() || instruction.is_load()) && instruction.src == copy {
            instruction.src = original;
        }
        Some(instruction)
    })
}

/// What makes the original makes the copy, where nothing but the copy is read later.
fn make_in_place(
    steps: &Steps,
    targets: &[bool],
    live: &Liveness,
    place: usize,
) -> Option<Changes> {
    let copied = steps[place]?.instruction;
    let (copy, original) = (copied.dst, copied.src);
    if !copied.is_copy() || copy == original || original == FRAME {
        return None;
    }
    if live.is_read_after(steps, place, original) {
        return None;
    }
    let renamed = |register| match register == original {
        true => copy,
        false => register,
    };
    let mut changes = Vec::new();
    for before in (place.saturating_sub(WINDOW)..place).rev() {
        if targets[before + 1] {
            return None;
        }
        let Some(step) = steps[before] else { continue };
        let instruction = step.instruction;
        let is_elsewhere = match (instruction.flow(), step.target) {
            (Flow::Next, _) => false,
            (Flow::Branch(_), Some(target)) => {
                live.is_read_from(target, copy) || live.is_read_from(target, original)
            }
            _ => true,
        };
        let touched = instruction.reads() | instruction.writes();
        let (reads, writes) = (
            instruction.reads() >> original & 1 != 0,
            instruction.writes() >> original & 1 != 0,
        );
        // A load may read by the register that it writes; what is computed is made of it.
        let is_made_here = instruction.is_pure() && writes && (!reads || instruction.is_load());
        // What makes it may read what was in the place of the copy before.
        let is_copy_free =
            touched >> copy & 1 == 0 || is_made_here && instruction.writes() >> copy & 1 == 0;
        if is_elsewhere || !is_copy_free {
            return None;
        }
        if !reads && !writes {
            continue;
        }
        if !is_made_here && !names_its_registers(&instruction) {
            return None;
        }
        let mut renaming = instruction;
        renaming.dst = renamed(instruction.dst);
        if !is_made_here && (instruction.has_register() || instruction.is_load()) {
            renaming.src = renamed(instruction.src);
        }
        changes.push((before, renaming));
        if is_made_here {
            return Some(changes);
        }
    }
    None
}

/// Whether all registers that an instruction reads and writes are those that it names.
const fn names_its_registers(instruction: &Instruction) -> bool {
    instruction.is_alu()
        || instruction.is_load()
        || instruction.is_store()
        || instruction.is_comparison()
}

/// The instructions behind a place until a register is read no more, each as it is rewritten; `None` where one cannot be, or where others
/// lead there, too.
fn rewritten(
    steps: &Steps,
    targets: &[bool],
    live: &Liveness,
    place: usize,
    register: u8,
    mut rewrite: impl FnMut(&Instruction) -> Option<Instruction>,
) -> Option<Changes> {
    let mut changes = Vec::new();
    for next in place + 1..steps.len().min(place + WINDOW) {
        if targets[next] {
            return None;
        }
        let Some(step) = steps[next] else { continue };
        let instruction = step.instruction;
        let is_read = instruction.reads() >> register & 1 != 0;
        match rewrite(&instruction) {
            Some(rewritten) if is_read => changes.push((next, rewritten)),
            None if is_read => return None,
            // Whether it can be rewritten makes no difference.
            _ => {}
        }
        let is_written = instruction.writes() >> register & 1 != 0;
        if is_written || !live.is_read_after(steps, next, register) {
            return Some(changes);
        }
        let goes_on = match (instruction.flow(), step.target) {
            (Flow::Next, _) => true,
            (Flow::Branch(_), Some(target)) => !live.is_read_from(target, register),
            _ => false,
        };
        if !goes_on {
            return None;
        }
    }
    None
}
