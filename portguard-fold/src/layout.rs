//! In which order the instructions of a function stand.

use crate::function::{CodeError, Step};
use crate::instruction::{Flow, Instruction};

/// A jump that stands where nothing stood before.
const GOTO: Step = Step {
    instruction: Instruction::GOTO,
    target: None,
    origin: None,
};

/// Takes out what goes on with the same instruction either way.
pub(crate) fn drop_idle_branches(steps: &mut [Option<Step>]) -> Result<(), CodeError> {
    for place in (0..steps.len()).rev() {
        if let Some(Step {
            instruction,
            target: Some(target),
            ..
        }) = steps[place]
            && matches!(instruction.flow(), Flow::Branch(_))
            && settled(steps, target)? == settled(steps, place + 1)?
        {
            steps[place] = None;
        }
    }
    Ok(())
}

/// The instructions that are left, one after another: where one always goes on with another one, that follows it if it does not
/// stand elsewhere already.
pub(crate) fn arranged(steps: &[Option<Step>]) -> Result<Vec<Step>, CodeError> {
    let mut order = Vec::with_capacity(steps.len());
    let mut placed = vec![None; steps.len()];
    let mut waiting = vec![0];
    while let Some(first) = waiting.pop() {
        let mut place = settled(steps, first)?;
        // A chain begins only with what nothing has been placed before.
        if placed[place].is_some() {
            continue;
        }
        loop {
            let step = steps[place].ok_or(CodeError::NoEnd)?;
            if placed[place].is_some() {
                order.push((GOTO, Some(place)));
                break;
            }
            let target = match step.target {
                Some(target) => Some(settled(steps, target)?),
                None => None,
            };
            match (step.instruction.flow(), target) {
                (Flow::Goto(_), Some(target)) => {
                    place = target;
                    continue;
                }
                (Flow::Branch(_), Some(target)) => {
                    placed[place] = Some(order.len());
                    order.push((step, Some(target)));
                    waiting.push(target);
                    place = settled(steps, place + 1)?;
                }
                (flow, _) => {
                    placed[place] = Some(order.len());
                    order.push((step, None));
                    if flow == Flow::End {
                        break;
                    }
                    place = settled(steps, place + 1)?;
                }
            }
        }
    }
    order
        .into_iter()
        .map(|(step, target)| {
            let target = match target {
                Some(target) => Some(placed[target].ok_or(CodeError::NoEnd)?),
                None => None,
            };
            Ok(Step { target, ..step })
        })
        .collect()
}

/// The instruction with which it goes on at a place: behind what was taken out, and where jumps lead that lead nowhere else.
fn settled(steps: &[Option<Step>], place: usize) -> Result<usize, CodeError> {
    let mut place = place;
    // A jump to itself, which no kernel takes, would never settle.
    for _ in 0..=steps.len() {
        match steps.get(place).ok_or(CodeError::NoEnd)? {
            None => place += 1,
            Some(step) => match (step.instruction.flow(), step.target) {
                (Flow::Goto(_), Some(target)) => place = target,
                _ => return Ok(place),
            },
        }
    }
    Err(CodeError::NoEnd)
}
