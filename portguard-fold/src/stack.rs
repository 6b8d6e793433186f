//! Which part of the stack is read and written by another register than that of its end.

use crate::function::Step;
use crate::instruction::{FRAME, Flow, Instruction, alu};

/// Bytes of a function's stack (Linux, `MAX_BPF_STACK`).
pub(crate) const STACK: i32 = 512;

/// The least that is added to the stack's end in each register; nothing where it holds no address of the stack.
type State = [Option<i32>; 16];

/// The lowest address, from the stack's end, of what is reached by another register than that of the end, or by a function that is
/// called: all up to the end may be.
pub(crate) fn lowest_shared(steps: &[Option<Step>]) -> i32 {
    let mut states: Vec<Option<State>> = vec![None; steps.len()];
    let mut waiting = vec![(0, first())];
    let mut lowest = 0;
    while let Some((place, state)) = waiting.pop() {
        let Some(before) = states.get_mut(place) else {
            continue;
        };
        let now = match before {
            Some(before) => std::array::from_fn(|number| lower(before[number], state[number])),
            None => state,
        };
        if *before == Some(now) {
            continue;
        }
        *before = Some(now);
        let Some(step) = steps[place] else {
            waiting.push((place + 1, now));
            continue;
        };
        let next = after(&step.instruction, &now);
        lowest = lowest
            .min(reached(&step.instruction, &now))
            .min(next.iter().copied().flatten().min().unwrap_or(0));
        let flow = step.instruction.flow();
        if let Some(target) = step.target {
            waiting.push((target, next));
        }
        if matches!(flow, Flow::Next | Flow::Branch(_)) {
            waiting.push((place + 1, next));
        }
    }
    lowest
}

/// A function is given no address of its own stack but the end.
fn first() -> State {
    std::array::from_fn(|number| (number == usize::from(FRAME)).then_some(0))
}

fn lower(a: Option<i32>, b: Option<i32>) -> Option<i32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What the registers hold after an instruction.
fn after(instruction: &Instruction, before: &State) -> State {
    let mut state = *before;
    let dst = before[usize::from(instruction.dst)];
    let src = before[usize::from(instruction.src)].filter(|_| instruction.has_register());
    if instruction.is_alu() {
        let is_address = dst.is_some() || src.is_some();
        state[usize::from(instruction.dst)] = match instruction.operation() {
            // Half an address is none.
            _ if !instruction.is_wide() => None,
            alu::MOV => src,
            alu::ADD if !instruction.has_register() => {
                dst.map(|dst| dst.saturating_add(instruction.immediate).max(-STACK))
            }
            // What is added may be less than nothing.
            _ => is_address.then_some(-STACK),
        };
        return state;
    }
    for (number, value) in state.iter_mut().enumerate() {
        if number != usize::from(FRAME) && instruction.writes() >> number & 1 != 0 {
            *value = None;
        }
    }
    state
}

/// The lowest address that an instruction reaches by another register than that of the end.
fn reached(instruction: &Instruction, state: &State) -> i32 {
    let (dst, src) = (usize::from(instruction.dst), usize::from(instruction.src));
    let base = match instruction.is_load() {
        true => src,
        false => dst,
    };
    let is_access = instruction.is_load() || instruction.is_store();
    // An address that is kept in memory, and what is done by instructions that are not known here.
    let is_kept = instruction.is_store() && instruction.has_register() && state[src].is_some();
    if is_kept || instruction.reads() >> FRAME & 1 != 0 && !is_access && !instruction.is_alu() {
        return -STACK;
    }
    match state[base] {
        Some(address) if is_access && base != usize::from(FRAME) => {
            (address + i32::from(instruction.offset)).max(-STACK)
        }
        _ => 0,
    }
}
