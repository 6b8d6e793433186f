//! What is computed of constants alone is known before the program runs (M. N. Wegman and F. K. Zadeck, Constant Propagation with
//! Conditional Branches, 1991).

use crate::function::Step;
use crate::instruction::{Flow, Instruction, X, alu, class, jump};
use crate::value::{Value, computed, decided, immediate};

/// What is known of each register that an instruction can name; there are only eleven.
type State = [Value; 16];

/// Puts what is known into the instructions, and takes out what is not reached. Of a jump whose one way is not reached
/// nothing but the jump is left.
pub(crate) fn fold(steps: &mut [Option<Step>]) {
    let states = states(steps);
    for (place, state) in states.iter().enumerate() {
        let Some(step) = steps[place] else { continue };
        steps[place] = state.and_then(|state| simplified(step, &state));
    }
}

/// What is known before each instruction; nothing where it is not reached.
fn states(steps: &[Option<Step>]) -> Vec<Option<State>> {
    let mut states = vec![None; steps.len()];
    let mut waiting = vec![0];
    if let Some(first) = states.first_mut() {
        *first = Some([Value::Any; 16]);
    }
    while let Some(place) = waiting.pop() {
        let Some(state) = states[place] else { continue };
        let mut reach = |place: usize, state: &State| {
            let Some(before) = states.get_mut(place) else {
                return;
            };
            let now = match before {
                Some(before) => std::array::from_fn(|number| before[number].or(state[number])),
                None => *state,
            };
            if *before != Some(now) {
                *before = Some(now);
                waiting.push(place);
            }
        };
        let Some(step) = steps[place] else {
            reach(place + 1, &state);
            continue;
        };
        let jumps = match (step.instruction.flow(), step.target) {
            (Flow::End, _) => continue,
            (Flow::Next, _) | (_, None) => Some(false),
            (Flow::Goto(_), _) => Some(true),
            (Flow::Branch(_), _) => {
                let (dst, src) = operands(&step.instruction, &state);
                decided(&step.instruction, dst, src)
            }
        };
        if let Some(target) = step.target
            && jumps != Some(false)
        {
            reach(target, &learned(&step.instruction, &state, true));
        }
        if jumps != Some(true) {
            reach(
                place + 1,
                &learned(&step.instruction, &after(&step.instruction, &state), false),
            );
        }
    }
    states
}

/// What is known of an instruction's operands.
fn operands(instruction: &Instruction, state: &State) -> (Value, Value) {
    let src = match instruction.has_register() {
        true => state[usize::from(instruction.src)],
        false => Value::Known(immediate(instruction)),
    };
    (state[usize::from(instruction.dst)], src)
}

/// What is known after an instruction.
fn after(instruction: &Instruction, state: &State) -> State {
    let mut state = *state;
    if instruction.is_alu() {
        let (dst, src) = operands(instruction, &state);
        state[usize::from(instruction.dst)] = computed(instruction, dst, src);
        return state;
    }
    for (number, value) in state.iter_mut().enumerate() {
        if instruction.writes() >> number & 1 != 0 {
            *value = Value::Any;
        }
    }
    // The addresses of a frame in its context are told to be of 32 bits (linux/bpf.h, `struct xdp_md`), and are not. No compiler computes with half of
    // one, or compares it.
    if instruction.is_load() && instruction.is_plain_access() && instruction.size() < 8 {
        state[usize::from(instruction.dst)] = Value::Narrow;
    }
    state
}

/// What a comparison tells of the register that was compared.
fn learned(instruction: &Instruction, state: &State, jumps: bool) -> State {
    let mut state = *state;
    let operation = match jumps {
        true => jump::JEQ,
        false => jump::JNE,
    };
    if !instruction.is_comparison() || instruction.operation() != operation {
        return state;
    }
    let (dst, src) = operands(instruction, &state);
    let number = match (instruction.is_wide(), src) {
        (true, Value::Known(number)) => number,
        (false, Value::Known(number)) if dst.is_narrow() => number & u64::from(u32::MAX),
        _ => return state,
    };
    state[usize::from(instruction.dst)] = Value::Known(number);
    state
}

/// An instruction with what is known put into it; nothing where nothing of it is left.
fn simplified(step: Step, state: &State) -> Option<Step> {
    let instruction = step.instruction;
    let (dst, src) = operands(&instruction, state);
    if instruction.is_comparison() {
        let kept = with_immediate(instruction, dst, src);
        return match decided(&instruction, dst, src) {
            Some(true) => Some(Step {
                instruction: Instruction::GOTO,
                ..step
            }),
            Some(false) => None,
            None => Some(Step {
                instruction: kept,
                ..step
            }),
        };
    }
    if !instruction.is_alu() {
        return Some(step);
    }
    let result = computed(&instruction, dst, src);
    let instruction = match result
        .known()
        .and_then(|number| load(instruction.dst, number))
    {
        // It has this number already.
        Some(_) if result == dst => return None,
        Some(load) => load,
        None => copy_of_all(with_immediate(instruction, dst, src), src),
    };
    match changes_nothing(&instruction, dst) {
        true => None,
        false => Some(Step {
            instruction,
            ..step
        }),
    }
}

/// The shortest instruction that leaves a number in a register, if one slot is enough.
fn load(dst: u8, number: u64) -> Option<Instruction> {
    let (class, immediate) = match i32::try_from(number.cast_signed()) {
        Ok(immediate) => (class::ALU64, immediate),
        Err(_) => (class::ALU, u32::try_from(number).ok()?.cast_signed()),
    };
    Some(Instruction {
        code: class | alu::MOV,
        dst,
        immediate,
        ..Instruction::GOTO
    })
}

/// The same with an operand that is known as its immediate, if it fits there.
fn with_immediate(instruction: Instruction, dst: Value, src: Value) -> Instruction {
    if !instruction.has_register() {
        return instruction;
    }
    let fitting = |number: u64| match instruction.is_wide() {
        true => i32::try_from(number.cast_signed()).ok(),
        false => Some((number as u32).cast_signed()),
    };
    let bits = if instruction.is_wide() { 64 } else { 32 };
    if let Some(immediate) = src.known().and_then(fitting) {
        let is_taken = match instruction.is_alu().then(|| instruction.operation()) {
            // The verifier takes no shift by more than there are bits, and no division by nothing.
            Some(alu::LSH | alu::RSH | alu::ARSH) => (0..bits).contains(&immediate),
            Some(alu::DIV | alu::MOD | alu::MOV) => false,
            _ => true,
        };
        if is_taken {
            return Instruction {
                code: instruction.code & !X,
                src: 0,
                immediate,
                ..instruction
            };
        }
    }
    if instruction.is_comparison()
        && let Some(immediate) = dst.known().and_then(fitting)
    {
        return Instruction {
            code: instruction.code & 0x07 | swapped(instruction.operation()),
            dst: instruction.src,
            src: 0,
            immediate,
            ..instruction
        };
    }
    instruction
}

/// A copy of the lower half as one of the whole, where there is nothing in the upper one.
fn copy_of_all(instruction: Instruction, src: Value) -> Instruction {
    let is_copy = instruction.code == class::ALU | alu::MOV | X && instruction.offset == 0;
    match is_copy && src.is_narrow() {
        true => Instruction {
            code: class::ALU64 | alu::MOV | X,
            ..instruction
        },
        false => instruction,
    }
}

/// The comparison of the operands the other way round.
const fn swapped(operation: u8) -> u8 {
    match operation {
        jump::JGT => jump::JLT,
        jump::JGE => jump::JLE,
        jump::JLT => jump::JGT,
        jump::JLE => jump::JGE,
        jump::JSGT => jump::JSLT,
        jump::JSGE => jump::JSLE,
        jump::JSLT => jump::JSGT,
        jump::JSLE => jump::JSGE,
        same => same,
    }
}

/// Whether an instruction that computes leaves its register as it is.
fn changes_nothing(instruction: &Instruction, dst: Value) -> bool {
    if instruction.is_copy() {
        return instruction.dst == instruction.src;
    }
    let neutral = match instruction.operation() {
        alu::ADD | alu::SUB | alu::OR | alu::XOR | alu::LSH | alu::RSH | alu::ARSH => 0,
        alu::AND => -1,
        alu::MUL => 1,
        _ => return false,
    };
    let is_neutral = !instruction.has_register() && instruction.immediate == neutral;
    // One of 32 bits takes away the upper half.
    is_neutral && (instruction.is_wide() || dst.is_narrow())
}
