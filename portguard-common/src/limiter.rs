//! Asking the limits that a packet comes to, one after another.

use crate::abi::{Limit, counter};
use crate::classify::Source;
use crate::limits::LIMITS_OF_A_PACKET;

/// The table of limits, and their buckets.
pub trait Limits {
    /// Most limits that one packet of this policy has to ask. Frozen, so that the verifier goes round no more often
    /// than that.
    fn most(&self) -> u32;
    /// A limit.
    fn limit(&self, index: u32) -> Limit;
    /// Takes a token of the limit at an index for a packet of a source; `false` when the rate is used up.
    fn take_token(&self, index: u32, limit: &Limit, source: Source) -> bool;
    /// Counts a packet that a rule which only counts would have dropped, being beyond its limit.
    fn count_beyond(&self, limit: &Limit);
}

/// What the limits of a cell say of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The counter of the deciding rule's packets beyond its limit, if this is one; else [`counter::NONE`].
    pub over: u32,
    /// Which limits the packet is beyond, bit by bit from the first.
    pub beyond: u32,
}

/// Takes a token for each limit of a cell, of which the first has this index.
#[inline(always)]
pub fn ask<L: Limits>(limits: &L, first: u32, source: Source) -> Asked {
    let mut asked = Asked {
        over: counter::NONE,
        beyond: 0,
    };
    for place in 0..LIMITS_OF_A_PACKET as u32 {
        if place >= limits.most() {
            break;
        }
        let index = first + place;
        let limit = limits.limit(index);
        if !limits.take_token(index, &limit, source) {
            asked.beyond |= 1 << place;
            if limit.has(Limit::DECIDES) {
                asked.over = limit.counter;
            } else {
                limits.count_beyond(&limit);
            }
        }
        if limits.most() == 1 || limit.has(Limit::LAST) {
            break;
        }
    }
    asked
}
