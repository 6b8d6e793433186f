//! A function as a list of instructions whose jumps name others of the list.

use crate::instruction::{Flow, Instruction};

/// An instruction of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) instruction: Instruction,
    /// Where in the list it may go on, if not with the next one.
    pub(crate) target: Option<usize>,
    /// The slot in which it stood at first; none where it was added.
    pub(crate) origin: Option<usize>,
}

/// What is wrong with a function's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It ends within an instruction, or goes on behind its end.
    #[error("it goes on behind its end")]
    NoEnd,
    /// A jump leads out of it, or between the halves of an instruction.
    #[error("the jump in its slot {0} leads nowhere")]
    Jump(usize),
    /// A call says how far the function is away, and no relocation says which it is, or a register says where it goes on.
    #[error("the call or jump in its slot {0} does not say by name where it leads")]
    Call(usize),
    /// A jump leads too far for its offset.
    #[error("a jump in it leads too far")]
    TooFar,
}

/// Reads the code of a function.
pub(crate) fn decode(code: &[u8]) -> Result<Vec<Step>, CodeError> {
    use crate::instruction::SLOT;

    let mut steps = Vec::with_capacity(code.len() / SLOT);
    // The place in the list of each slot in which an instruction begins.
    let mut places = vec![None; code.len().div_ceil(SLOT)];
    let mut slot = 0;
    while slot * SLOT < code.len() {
        let instruction = Instruction::decode(&code[slot * SLOT..]).ok_or(CodeError::NoEnd)?;
        if instruction.leads_by_distance() {
            return Err(CodeError::Call(slot));
        }
        places[slot] = Some(steps.len());
        steps.push(Step {
            instruction,
            target: None,
            origin: Some(slot),
        });
        slot += instruction.slots();
    }
    for step in &mut steps {
        let (Flow::Goto(offset) | Flow::Branch(offset)) = step.instruction.flow() else {
            continue;
        };
        let from = step.origin.unwrap_or_default();
        let target = (from as i64 + 1 + i64::from(offset)).try_into().ok();
        let place = target.and_then(|target: usize| places.get(target).copied().flatten());
        step.target = Some(place.ok_or(CodeError::Jump(from))?);
    }
    match steps.last().map(|last| last.instruction.flow()) {
        Some(Flow::End | Flow::Goto(_)) => Ok(steps),
        _ => Err(CodeError::NoEnd),
    }
}

/// Where an instruction has come to stand: the slot before, and now.
pub(crate) type Move = (usize, usize);

/// Writes the code of a function, and where in it each instruction has come to stand.
pub(crate) fn encode(steps: &[Step]) -> Result<(Vec<u8>, Vec<Move>), CodeError> {
    let mut slots = Vec::with_capacity(steps.len());
    let mut length = 0_usize;
    for step in steps {
        slots.push(length);
        length += step.instruction.slots();
    }
    let mut code = Vec::new();
    let mut moved = Vec::new();
    for (step, slot) in steps.iter().zip(&slots) {
        let mut instruction = step.instruction;
        if let Some(target) = step.target {
            let offset = slots[target] as i64 - *slot as i64 - 1;
            // There is a jump that has its offset as its immediate.
            if matches!(instruction.flow(), Flow::Goto(_)) {
                instruction = Instruction::GOTO;
            }
            instruction.offset = offset.try_into().map_err(|_| CodeError::TooFar)?;
        }
        instruction.encode(&mut code);
        moved.extend(step.origin.map(|origin| (origin, *slot)));
    }
    Ok((code, moved))
}
