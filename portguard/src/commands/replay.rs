//! `portguard replay`

use crate::capture::Capture;
use crate::cli::Replay;
use crate::dataplane::{Generation, LoadOptions, generation::Run};
use crate::exit::{Failure, Outcome};
use crate::output::{self, problems};
use crate::policy_file;

use anyhow::anyhow;
use portguard_common::packet::Malformed;
use portguard_policy::{Fate, Outcome as Decided, Policy};

/// Length of an Ethernet header: the kernel runs nothing shorter.
const ETHERNET_LEN: usize = 14;

/// Runs each frame of a capture through the loaded program and shows what it decided.
///
/// # Errors
///
/// [`Failure`] when the policy or the capture is refused, or the kernel refuses the program. Frames
/// before a damage in the capture are shown.
pub fn replay(arguments: &Replay) -> Outcome {
    let loaded = policy_file::load(&arguments.policy)
        .map_err(|error| Failure::refused(anyhow!(problems::policy_error(&error))))?;
    let mut capture = Capture::open(&arguments.capture).map_err(Failure::refused)?;
    let options = LoadOptions {
        trace: true,
        count_all_buffers: true,
        ..LoadOptions::default()
    };
    let generation = Generation::load(&loaded.tables, &options).map_err(Failure::system)?;
    let mut printer = output::Replay::new(&loaded.policy, arguments.format);
    let mut number = 0;
    while let Some(frame) = capture.next_frame().map_err(Failure::refused)? {
        number += 1;
        let run = if frame.bytes.len() < ETHERNET_LEN {
            too_short(&loaded.policy)
        } else {
            generation.run(&frame.bytes).map_err(Failure::system)?
        };
        printer.frame(number, &frame, &run)?;
    }
    printer.finish()
}

/// What the policy says of a frame that no driver would hand to the program.
fn too_short(policy: &Policy) -> Run {
    Run {
        dropped: policy.malformed == Fate::Drop && policy.enforce,
        answer: None,
        outcome: Decided::Malformed(Malformed::EthernetShort),
        shadows: Vec::new(),
    }
}
