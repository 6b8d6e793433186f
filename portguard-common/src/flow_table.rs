//! The tables of flows: where each has its place, and who has to go for another.
//!
//! TCP has a table, and everything else another one: what is sent by UDP takes no place from TCP. Within its table, a keyed digest of its addresses and ports chooses the two lines of a flow (see [`crate::places`]). What one CPU does never waits
//! for another. The kernel's own tables that forget (`BPF_MAP_TYPE_LRU_HASH`) read four lines, each of which says where the next one
//! is, and forget before they are full.

use crate::abi::{LINE_WAYS, local_port};
use crate::conceal::sign;
use crate::constant::Memory;
use crate::limits::FLOW_LINES;
use crate::mix::{Seed, mix};
use crate::places::{self, Line, LineTable};

/// How long a UDP flow or an echo lasts after the last packet sent.
pub const DATAGRAM_NS: u64 = 180 * 1_000_000_000;

/// How long a TCP flow lasts after the last packet sent.
pub const TCP_NS: u64 = 5 * 24 * 3600 * 1_000_000_000;

/// How long a TCP flow lasts after the last packet sent once this side has sent its FIN: as long as Linux keeps the
/// connection (`TCP_TIMEWAIT_LEN`).
pub const TCP_CLOSING_NS: u64 = 60 * 1_000_000_000;

/// A flow that this side started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// When a packet of it last left, in nanoseconds of the kernel's monotonic clock.
    pub last_ns: u64,
    /// Whether this side has sent its FIN.
    pub closing: bool,
}

impl Flow {
    const CLOSING: u64 = 1 << 63;

    /// One of which a packet has just left.
    #[inline(always)]
    #[must_use]
    pub const fn sent_at(last_ns: u64) -> Self {
        Self {
            last_ns,
            closing: false,
        }
    }

    /// What a place says.
    #[inline(always)]
    #[must_use]
    pub const fn of_word(word: u64) -> Self {
        Self {
            last_ns: word & !Self::CLOSING,
            closing: word & Self::CLOSING != 0,
        }
    }

    /// One word, so that it is read and written in one step.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> u64 {
        self.last_ns | (self.closing as u64) << 63
    }

    /// Whether a flow by this index of [`local_port`] is over for good. A time that lies ahead, as another CPU may have written it, is
    /// the present.
    #[inline(always)]
    #[must_use]
    pub const fn is_over(self, index: u32, now_ns: u64) -> bool {
        let lifetime = match self.closing {
            true => TCP_CLOSING_NS,
            false => lifetime(index),
        };
        now_ns.saturating_sub(self.last_ns) > lifetime
    }
}

/// How long a flow by this index of [`local_port`] lasts that this side does not close.
#[inline(always)]
const fn lifetime(index: u32) -> u64 {
    if index < local_port::UDP {
        TCP_NS
    } else {
        DATAGRAM_NS
    }
}

/// What tells flows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// A digest of everything, odd and so never 0. That of a forged packet is that of one among `n` flows with a chance of `n` to 2⁶³.
    pub digest: u64,
    /// By which index of [`local_port`] its packets leave.
    pub index: u32,
}

impl FlowKey {
    /// By what its addresses come to, this side's index of [`local_port`] and the other side's port, which is 0 for an echo.
    #[inline(always)]
    #[must_use]
    pub const fn new(seed: Seed, addresses: u64, index: u32, theirs: u16) -> Self {
        let ports = index as u64 | (theirs as u64) << 32;
        // Ports and addresses are mixed each by themselves, so that neither waits for the other.
        Self {
            digest: addresses.wrapping_add(mix(ports ^ seed[1])) | 1,
            index,
        }
    }

    /// This side's port, or the identifier of an echo.
    #[inline(always)]
    #[must_use]
    pub const fn our_port(self) -> u16 {
        self.index as u16
    }

    /// Which table it is in: the one that all functions here are to be given with this key.
    #[inline(always)]
    #[must_use]
    pub const fn table(self) -> Memory {
        if self.index < local_port::UDP {
            Memory::TcpFlows
        } else {
            Memory::OtherFlows
        }
    }

    /// The two lines of its table in which it may have a place.
    #[inline(always)]
    #[must_use]
    pub const fn lines(self) -> [u32; 2] {
        let [high, low] = places::choices(self.digest);
        [high % FLOW_LINES, low % FLOW_LINES]
    }
}

/// What the addresses of both sides come to: ours, theirs.
#[inline(always)]
#[must_use]
pub const fn mix_v4(seed: Seed, ours: [u8; 4], theirs: [u8; 4]) -> u64 {
    let (ours, theirs) = (u32::from_ne_bytes(ours), u32::from_ne_bytes(theirs));
    mix((ours as u64) << 32 ^ theirs as u64 ^ seed[0])
}

/// The same of IPv6 addresses, each in two halves.
#[inline(always)]
#[must_use]
pub const fn mix_v6(seed: Seed, ours: ([u8; 8], [u8; 8]), theirs: ([u8; 8], [u8; 8])) -> u64 {
    let ours = mix(mix(u64::from_ne_bytes(ours.0) ^ seed[0]) ^ u64::from_ne_bytes(ours.1));
    let theirs = mix(mix(u64::from_ne_bytes(theirs.0) ^ seed[1]) ^ u64::from_ne_bytes(theirs.1));
    ours.wrapping_add(theirs)
}

/// The place of a flow.
#[inline(always)]
pub fn find<T: LineTable>(table: &T, key: FlowKey) -> Option<(T::Line, u32)> {
    places::find(table, key.digest, key.lines())
}

/// What is known of a flow.
#[inline(always)]
pub fn flow<T: LineTable>(table: &T, key: FlowKey) -> Option<Flow> {
    places::word(table, key.digest, key.lines()).map(Flow::of_word)
}

/// The digest of a place that is about to be somebody's, and stays so if its process is killed just then.
const CLAIMED: u64 = 2;

/// How often to try when other CPUs take the same place at the same moment.
const TRIES: u32 = 4;

/// Adds a flow that has no place. Where neither line has a free one, the flow that has sent nothing for the longest time goes. Whether it was
/// added: where other CPUs were faster each time, it was not, and its replies are dropped.
#[inline(always)]
pub fn add<T: LineTable>(table: &T, key: FlowKey, now_ns: u64) -> bool {
    let [first, second] = key.lines();
    let (Some(first), Some(second)) = (table.line(first), table.line(second)) else {
        return false;
    };
    for _ in 0..TRIES {
        let (own, other) = (
            survey(first, key.index, now_ns),
            survey(second, key.index, now_ns),
        );
        // A look-up begins with the first one, so a flow goes there unless it is nearly full. Beyond that both fill up alike: where half of
        // all places are taken, three flows in ten thousand find both lines full.
        let (line, place) = if own.taken < LINE_WAYS - 1 || own.rank <= other.rank {
            (first, own)
        } else {
            (second, other)
        };
        // Meanwhile it is nobody's: otherwise who goes would look like one that has just sent, or who comes like one that is over.
        if line.replace_digest(place.way, place.digest, CLAIMED) {
            line.set_word(place.way, Flow::sent_at(now_ns).word());
            return line.replace_digest(place.way, CLAIMED, key.digest);
        }
    }
    false
}

/// Removes a flow, from both places where two CPUs added it at the same moment.
#[inline(always)]
pub fn remove<T: LineTable>(table: &T, key: FlowKey) {
    for index in key.lines() {
        let Some(line) = table.line(index) else {
            return;
        };
        for way in 0..LINE_WAYS {
            if line.digest(way) == key.digest {
                line.replace_digest(way, key.digest, 0);
            }
        }
    }
}

/// The best place of a line for another flow.
#[derive(Clone, Copy)]
struct Place {
    way: u32,
    /// Who is there.
    digest: u64,
    /// How many places of the line are somebody's, and not those of flows that are over.
    taken: u32,
    /// By which lines are compared: how many are taken, then when the flow that is there last sent something.
    rank: u64,
}

/// Without a branch: the verifier would follow each way through all places.
#[inline(always)]
fn survey<L: Line>(line: L, index: u32, now_ns: u64) -> Place {
    let lifetime = lifetime(index);
    let (mut best, mut best_digest, mut taken) = (u64::MAX >> 1, 0, 0_u64);
    for way in 0..LINE_WAYS {
        let (digest, word) = (line.digest(way), line.word(way));
        let flow = Flow::of_word(word);
        // Less the difference, where it is closing.
        let sooner = (word >> 63).wrapping_mul(L::conceal(lifetime.wrapping_sub(TCP_CLOSING_NS)));
        let ends_ns = flow.last_ns.wrapping_add(lifetime).wrapping_sub(sooner);
        // All bits, or none.
        let is_over = sign(L::conceal(ends_ns.wrapping_sub(now_ns)));
        let is_taken = L::conceal(digest & 1).wrapping_neg() & !is_over;
        // All bits for a place that is claimed: the largest number, which is never better.
        let is_claimed = L::conceal(!digest & digest >> 1 & 1).wrapping_neg();
        taken = taken.wrapping_sub(is_taken | is_claimed);
        // One that is over counts as one of long ago.
        let place = flow.last_ns & is_taken & !WAY | u64::from(way) | is_claimed >> 1;
        let is_better = sign(L::conceal(place.wrapping_sub(best)));
        best ^= (best ^ place) & is_better;
        best_digest ^= (best_digest ^ digest) & is_better;
    }
    Place {
        way: (best & WAY) as u32,
        digest: best_digest,
        taken: taken as u32,
        rank: taken << 60 | best >> 3,
    }
}

/// The bits of the number of a place.
const WAY: u64 = LINE_WAYS as u64 - 1;
