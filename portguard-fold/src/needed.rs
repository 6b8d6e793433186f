//! Taking out what computes or stores what nobody reads.

use crate::function::Step;
use crate::instruction::{FRAME, Flow, Instruction, Registers};
use crate::stack::{STACK, lowest_shared};

/// Bytes of a slot of the stack: the least that is mostly stored.
const SLOT: i32 = 4;

/// What is read later: registers, and slots of [`SLOT`] bytes of the stack from its end down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Live {
    registers: Registers,
    stack: u128,
}

/// Takes out what computes or stores what nobody reads.
pub(crate) fn keep_needed(steps: &mut [Option<Step>]) {
    let Liveness { before } = Liveness::of(steps);
    for (place, own) in steps.iter_mut().enumerate() {
        if let Some(step) = own
            && !is_needed(&step.instruction, after(place, step, &before))
        {
            *own = None;
        }
    }
}

/// What is read later, at each place. What is computed of it and not read itself does not count.
pub(crate) struct Liveness {
    before: Vec<Live>,
}

impl Liveness {
    /// Of a function.
    fn of(steps: &[Option<Step>]) -> Self {
        // All from the lowest address that is made of the stack's end up to the end.
        let shared = match lowest_shared(steps) {
            0 => 0,
            lowest => slots(lowest, -lowest),
        };
        Self {
            before: live(steps, shared),
        }
    }

    /// The same of registers alone, as if all that is stored were read.
    pub(crate) fn of_registers(steps: &[Option<Step>]) -> Self {
        Self {
            before: live(steps, u128::MAX),
        }
    }

    /// Whether what a register holds after an instruction is read.
    pub(crate) fn is_read_after(&self, steps: &[Option<Step>], place: usize, register: u8) -> bool {
        let live = match &steps[place] {
            Some(step) => after(place, step, &self.before),
            None => self.before[place + 1],
        };
        live.registers >> register & 1 != 0
    }

    /// Whether what it holds before one is.
    pub(crate) fn is_read_from(&self, place: usize, register: u8) -> bool {
        self.before[place].registers >> register & 1 != 0
    }
}

/// What is read from each instruction on.
fn live(steps: &[Option<Step>], shared: u128) -> Vec<Live> {
    let mut before = vec![Live::default(); steps.len() + 1];
    let mut changed = true;
    while changed {
        changed = false;
        for place in (0..steps.len()).rev() {
            let mut now = match &steps[place] {
                Some(step) => before_step(&step.instruction, after(place, step, &before)),
                None => before[place + 1],
            };
            now.stack |= shared;
            changed |= now != before[place];
            before[place] = now;
        }
    }
    before
}

/// What is read after an instruction.
fn after(place: usize, step: &Step, before: &[Live]) -> Live {
    let next = before[place + 1];
    let target = step.target.map_or(Live::default(), |target| before[target]);
    match step.instruction.flow() {
        Flow::Next => next,
        Flow::Goto(_) => target,
        Flow::Branch(_) => Live {
            registers: next.registers | target.registers,
            stack: next.stack | target.stack,
        },
        // Nobody sees the stack of a function that has ended.
        Flow::End => Live::default(),
    }
}

/// What is read from an instruction on, by what is read after it.
fn before_step(instruction: &Instruction, after: Live) -> Live {
    if !is_needed(instruction, after) {
        return after;
    }
    let mut live = Live {
        registers: after.registers & !instruction.writes() | instruction.reads(),
        stack: after.stack,
    };
    if let Some(touched) = touched(instruction) {
        if instruction.is_store() {
            // One that fills a part of a slot leaves the other part.
            if instruction.size() % SLOT == 0 && i32::from(instruction.offset) % SLOT == 0 {
                live.stack &= !touched;
            }
        } else {
            live.stack |= touched;
        }
    }
    live
}

/// Whether an instruction does something that is read after it, or something else than to compute or store.
fn is_needed(instruction: &Instruction, after: Live) -> bool {
    if instruction.is_store()
        && let Some(touched) = touched(instruction)
    {
        return after.stack & touched != 0;
    }
    !instruction.is_pure() || after.registers & instruction.writes() != 0
}

/// Slots of the stack that a load or a store touches by the register of its end.
fn touched(instruction: &Instruction) -> Option<u128> {
    let base = match (instruction.is_store(), instruction.is_load()) {
        (true, _) => instruction.dst,
        (_, true) => instruction.src,
        _ => return None,
    };
    (base == FRAME).then(|| slots(instruction.offset.into(), instruction.size()))
}

/// The slots of so many bytes from an offset on.
fn slots(offset: i32, size: i32) -> u128 {
    let slot = |offset: i32| (-offset - 1).clamp(0, STACK - 1) / SLOT;
    (slot(offset + size - 1)..=slot(offset)).fold(0, |slots, slot| slots | 1 << slot)
}
