//! Tests from the standard of the instruction set (RFC 9669), by slots as they stand in memory.

mod assembler;
mod functions;
mod machine;
mod object_file;
mod random;
mod refused;
mod single;

use assembler::Slot;

/// The slots of a function, folded.
fn fold(slots: &[Slot]) -> Vec<Slot> {
    let steps = crate::function::decode(&slots.concat()).unwrap();
    let (code, _) = crate::function::encode(&crate::folded(steps).unwrap()).unwrap();
    code.as_chunks().0.to_vec()
}
