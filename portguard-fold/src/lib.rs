//! Makes kernel programs shorter by what a policy leaves constant in them.
//!
//! A policy's numbers are operands of instructions. The kernel's verifier leaves out what they switch off, but not what is computed of
//! them, nor what was computed for the part that is off. That is done here, before a program is loaded: what is known is computed, what nobody
//! reads is left out, and what is left is put in order. Programs decide the same as before, and the verifier has less to check.

mod constants;
mod function;
mod instruction;
mod join;
mod layout;
mod needed;
mod object_file;
mod stack;
#[cfg(test)]
mod tests;
mod value;

pub use function::CodeError;
pub use object_file::{FoldError, fold};

use std::cmp::Ordering;

use function::Step;

/// The same function in fewer instructions, or as many.
fn folded(function: Vec<Step>) -> Result<Vec<Step>, CodeError> {
    let known = shortened(function, |steps| {
        constants::fold(steps);
        layout::drop_idle_branches(steps)
    })?;
    shortened(known, |steps| {
        join::join(steps);
        Ok(())
    })
}

/// What is left of a function once nothing more can be taken out in this way, and what nobody reads then.
fn shortened(
    function: Vec<Step>,
    change: impl Fn(&mut [Option<Step>]) -> Result<(), CodeError>,
) -> Result<Vec<Step>, CodeError> {
    let mut function = function;
    loop {
        let mut steps: Vec<Option<Step>> = function.iter().copied().map(Some).collect();
        change(&mut steps)?;
        needed::keep_needed(&mut steps);
        let shorter = layout::arranged(&steps)?;
        // Each round takes something out, or is the last one. One that takes nothing out may add jumps, for which there is no room.
        match shorter.len().cmp(&function.len()) {
            Ordering::Less => function = shorter,
            Ordering::Equal => return Ok(shorter),
            Ordering::Greater => return Ok(function),
        }
    }
}
