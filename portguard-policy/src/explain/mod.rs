//! What happens to one packet, and why.
//!
//! The verdict comes from the tables: the packet's frame is judged by the very source that the kernel runs. The rules
//! themselves are asked only why they did not match.

mod description;
mod near;
mod packet;
mod values;
mod words;

use std::ops::ControlFlow;

use portguard_common::abi::{Builtin, Setting};
use portguard_common::classify::service;
use portguard_common::flow::Candidate;
use portguard_common::packet::{Headers, parse, protocol};

pub use self::description::Description;
pub use self::near::{Mismatch, NearMiss};
pub use self::packet::{Assumption, Named};
use crate::compile::{Outcome, Tables};
use crate::evaluate::{Evaluation, Evaluator, Stateless};
use crate::packet::{Packet, Payload};
use crate::policy::{Policy, Transport};
use crate::survey::{Decision, Effect, Pair, Region, Work, interfaces_of};

/// What happens to one packet.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The packet.
    pub packet: Packet,
    /// What was not stated of it.
    pub assumed: Vec<Assumption>,
    /// The names of its numbers.
    pub names: Vec<Named>,
    /// What was decided, were it enforced: rates are not used up, nothing was started from this side and nobody is
    /// banned.
    pub evaluation: Evaluation,
    /// What becomes of it, its state left aside.
    pub effect: Effect,
    /// If it is or may be dropped: which packets like it are replies, and pass then.
    pub replies: Option<Replies>,
    /// The rules that match and only count (`enforce: false`), in order.
    pub counted: Vec<usize>,
    /// The earlier rules that match but for a field or two, the nearest first.
    pub near: Vec<NearMiss>,
    /// How many more there are.
    pub near_left_out: usize,
    /// Other packets of the same description that something else decides, one for each thing that does.
    pub others: Vec<Other>,
    /// Not all of these were looked for: the rules combine fields in too many ways.
    pub others_unknown: bool,
}

/// Another packet of the same description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// The packet.
    pub packet: Packet,
    /// What decides it.
    pub decision: Decision,
}

/// Which packets pass, though their rule drops them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// This very packet, if it is a reply.
    This,
    /// A new connection is no reply, but other packets of connections that this side opened are.
    NotTheFirst,
}

/// The tables cannot be read: a defect of portguard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tables of the policy are broken")]
pub struct Broken;

/// Near misses that are told.
const NEAR: usize = 5;

/// Other outcomes that are told.
const OTHERS: usize = 5;

/// Explains what happens to the packet of a description; what it does not state is assumed. `tables` are those of the
/// policy, compiled for the interface that the description names, if it names one.
///
/// # Errors
///
/// [`Broken`]
pub fn explain(
    policy: &Policy,
    tables: &Tables,
    description: &Description,
) -> Result<Explanation, Broken> {
    let (packet, assumed) = packet::complete(policy, tables, description);
    let frame = packet.frame();
    let evaluation = evaluate(tables, &packet, &frame)?;
    let headers = parse(&frame.as_slice()).map_err(|_unparsed| Broken)?;
    let decision = decision(tables, &headers, &evaluation);
    let asked = match evaluation.outcome {
        Outcome::Rule(index) | Outcome::Limited(index) => index,
        // No rule is asked then.
        Outcome::Builtin(Builtin::Trusted) => 0,
        _ => policy.rules.len(),
    };
    let (counted, mut near) = near::compare(policy, &packet, &headers, asked);
    let near_left_out = near.len().saturating_sub(NEAR);
    near.truncate(NEAR);
    let (others, others_unknown) = others(tables, description, evaluation.outcome);
    let may_be_dropped = decision.effect != Effect::Pass;
    let exempt = tables.settings[Setting::Replies as usize] != 0 && may_be_dropped;
    let replies = Candidate::new(&headers).filter(|_| exempt);
    let replies = replies.and_then(|_| kind_of_replies(&packet));
    Ok(Explanation {
        names: packet::names(policy, &packet),
        packet,
        assumed,
        evaluation,
        effect: decision.effect,
        replies,
        counted,
        near,
        near_left_out,
        others,
        others_unknown,
    })
}

/// Judges a packet by its frame.
fn evaluate(tables: &Tables, packet: &Packet, frame: &[u8]) -> Result<Evaluation, Broken> {
    let interface = packet.interface.as_deref().unwrap_or_default();
    let evaluator = Evaluator::new(tables, interface, Stateless);
    evaluator.frame(frame).ok_or(Broken)
}

fn decision(tables: &Tables, headers: &Headers, evaluation: &Evaluation) -> Decision {
    let exempt = tables.settings[Setting::Essential as usize] != 0;
    let essential = service(headers, exempt).is_essential();
    let cell = evaluation.judgement.cell;
    let decision = Decision::new(tables, cell, essential, headers.later_fragment);
    if headers.later_fragment && headers.protocol == protocol::TCP {
        decision.of_no_attempt()
    } else {
        decision
    }
}

/// What else decides packets of a description, and whether some of it may be missing.
fn others(tables: &Tables, description: &Description, known: Outcome) -> (Vec<Other>, bool) {
    let pair = Pair::new(tables, tables);
    let interfaces = interfaces_of(&[tables]);
    let region = if description.later_fragment {
        Region::of_later_fragments(&description.traffic, interfaces)
    } else {
        Region::of(&description.traffic, interfaces)
    };
    let mut others: Vec<Other> = Vec::new();
    let looked = pair.survey(&region, &mut Work::new(), |found| {
        let [decision, _] = found.decisions;
        let is_known = |own: &Other| own.decision.outcome == decision.outcome;
        if decision.outcome != known && !others.iter().any(is_known) {
            let mut packet = found.packet();
            let mut is_meant = true;
            if let Some(hop_limit) = description.hop_limit {
                packet.hop_limit = hop_limit;
                let own = evaluate(tables, &packet, &packet.frame());
                is_meant = own.is_ok_and(|own| own.outcome == decision.outcome);
            }
            if is_meant {
                others.push(Other { packet, decision });
            }
        }
        if others.len() < OTHERS {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    (others, looked.is_err())
}

/// Whether a packet may be a reply, if its protocol has any.
fn kind_of_replies(packet: &Packet) -> Option<Replies> {
    match packet.payload {
        Payload::Ports {
            transport: Transport::Tcp,
            ..
        } => Some(Replies::NotTheFirst),
        Payload::Ports { .. } => Some(Replies::This),
        Payload::Icmp { kind, .. } => {
            let can_be = if packet.source.is_ipv4() {
                matches!(kind, 0 | 3 | 11 | 12)
            } else {
                matches!(kind, 129 | 1..=4)
            };
            can_be.then_some(Replies::This)
        }
        _ => None,
    }
}
