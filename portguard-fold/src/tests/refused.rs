//! Functions whose code is not whole.

use super::assembler::*;
use crate::function::{CodeError, decode};

#[test]
fn code_that_leads_out_of_its_function_is_refused() {
    for (code, expected) in [
        (vec![mov(0, 0)], CodeError::NoEnd),
        (vec![], CodeError::NoEnd),
        (vec![jump(JEQ, 1, 0, -1)], CodeError::NoEnd),
        (vec![exit(), wide(0, 1)], CodeError::NoEnd),
        (vec![goto(1), exit()], CodeError::Jump(0)),
        (vec![mov(0, 0), goto(-3), exit()], CodeError::Jump(1)),
        (
            vec![jump(JEQ, 1, 0, 1), wide(0, 1), upper(0), exit()],
            CodeError::Jump(0),
        ),
        (
            vec![mov(0, 0), slot(0x85, 0, 1, 0, 2), exit()],
            CodeError::Call(1),
        ),
        (vec![slot(0x8d, 1, 0, 0, 0), exit()], CodeError::Call(0)),
        (vec![slot(0x0d, 1, 0, 0, 0), exit()], CodeError::Call(0)),
    ] {
        assert_eq!(decode(&code.concat()), Err(expected));
    }
    assert_eq!(decode(&exit()[..7]), Err(CodeError::NoEnd));
    assert_eq!(
        decode(&[&exit()[..], &[0x95]].concat()),
        Err(CodeError::NoEnd)
    );
    // A jump in a circle never comes to an end.
    let circle = decode(&[goto(-1)].concat()).unwrap();
    assert_eq!(crate::folded(circle), Err(CodeError::NoEnd));
}

#[test]
fn a_jump_that_leads_too_far_is_an_error() {
    // What fills the way is left there, since it is read; the copy goes.
    let far = |length: usize| {
        let fill = vec![load(DW, 1, 1, 0); length];
        let code = [
            &[jump(JEQ, 2, 0, 0)][..],
            &fill,
            &[mov_x(0, 1), exit(), mov(0, 0), exit()],
        ]
        .concat();
        let mut steps = decode(&code.concat()).unwrap();
        steps[0].target = Some(length + 3);
        crate::function::encode(&crate::folded(steps).unwrap())
    };
    assert!(far(32_766).is_ok());
    assert_eq!(far(32_767).unwrap_err(), CodeError::TooFar);
}
