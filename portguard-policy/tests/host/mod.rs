//! A host without a kernel: what outlives a packet is in plain maps, what arrives and leaves is judged by the same source
//! that the kernel runs.

mod bans;
mod flows;
mod view;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use portguard_common::abi::{Bucket, Limit, Setting, counter};
use portguard_common::answer::answer;
use portguard_common::ban::{Address, is_banned};
use portguard_common::bucket;
use portguard_common::classify::{Source, Verdict};
use portguard_common::flow::{Candidate, Flows as _, is_reply};
use portguard_common::packet::parse;
use portguard_policy::{BanTarget, ClosedPorts, Evaluator, Policy, State, Tables};

use self::bans::BanTable;
use self::flows::FlowTables;
use crate::generated::outcome_name;

/// The first moment: no clock of a kernel stands at 0, which means never.
const START_NS: u64 = 1_000_000_000_000;

/// What becomes of a frame that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) dropped: bool,
    /// Name of the outcome.
    pub(crate) outcome: String,
    /// Names of the rules that only count it.
    pub(crate) shadows: Vec<String>,
    pub(crate) answered: bool,
}

/// A host, whatever policy is in force.
#[derive(Debug, Default)]
pub(crate) struct Host {
    flows: FlowTables,
    bans: BanTable,
    buckets: RefCell<HashMap<BucketOf, Bucket>>,
    /// Dropped packets by protocol and destination port.
    pub(crate) drops: RefCell<BTreeMap<(u8, Option<u16>), u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BucketOf {
    Rule(u32),
    Source(u32, bool, u64),
    Fragments,
    Answers,
}

impl Host {
    /// So much time after the first moment.
    pub(crate) fn set_time(&self, now_ns: u64) {
        self.flows.now_ns.set(START_NS + now_ns);
        self.bans.now_ns.set(START_NS + now_ns);
    }

    /// A source is banned for so long, or for good.
    pub(crate) fn ban(&mut self, source: BanTarget, nanoseconds: Option<u64>) {
        self.bans.add(source, nanoseconds);
    }

    /// A ban is taken back.
    pub(crate) fn unban(&mut self, source: BanTarget) {
        self.bans.remove(source);
    }

    /// A frame arrives while a policy is in force.
    pub(crate) fn arrives(
        &self,
        policy: &Policy,
        tables: &Tables,
        interface: &str,
        frame: &[u8],
    ) -> Fate {
        let memory = Memory { host: self, tables };
        let evaluation = Evaluator::new(tables, interface, memory)
            .frame(frame)
            .expect("sound tables");
        let judgement = &evaluation.judgement;
        if judgement.drop != counter::NONE {
            let key = dropped_by(judgement.drop);
            *self.drops.borrow_mut().entry(key).or_default() += 1;
        }
        let name = |rule: usize| policy.rules[rule].name.clone();
        let enforced = tables.settings[Setting::Enforce as usize] != 0;
        Fate {
            dropped: enforced && judgement.verdict != Verdict::Pass,
            outcome: outcome_name(evaluation.outcome, name),
            shadows: evaluation.shadows.iter().copied().map(name).collect(),
            answered: enforced && judgement.verdict == Verdict::Reject && self.answers(frame),
        }
    }

    /// A frame leaves while a policy is in force.
    pub(crate) fn leaves(&self, tables: &Tables, interface: &str, frame: &[u8]) {
        // Without replies nobody looks at what leaves.
        if tables.settings[Setting::Replies as usize] != 0
            && let Ok(headers) = parse(&frame)
        {
            let view = view::View::new(tables, interface);
            self.flows.sent(&frame, &headers, &view);
        }
    }

    /// These ports close.
    pub(crate) fn close(&self, ports: &ClosedPorts) {
        self.flows.close(ports.iter());
    }

    /// Whether a rejected frame is answered: 100 are in a second, and at once.
    fn answers(&self, frame: &[u8]) -> bool {
        const INTERVAL_NS: u64 = 10_000_000;
        let Ok(headers) = parse(&frame) else {
            return false;
        };
        let frame_bytes = u32::try_from(frame.len()).expect("a short frame");
        answer(&frame, &headers, frame_bytes).is_some()
            && self.take(BucketOf::Answers, INTERVAL_NS, 99 * INTERVAL_NS)
    }

    fn take(&self, key: BucketOf, interval_ns: u64, tolerance_ns: u64) -> bool {
        let mut buckets = self.buckets.borrow_mut();
        let bucket = buckets.entry(key).or_default();
        let now_ns = self.flows.now_ns();
        let taken = bucket::take(*bucket, now_ns, interval_ns, tolerance_ns);
        *bucket = taken.unwrap_or(*bucket);
        taken.is_some()
    }
}

/// The protocol and port of an index of the table of drops: 65,536 for TCP, UDP and SCTP each, then protocols.
fn dropped_by(index: u32) -> (u8, Option<u16>) {
    match (index >> 16, index as u16) {
        (0, port) => (6, Some(port)),
        (1, port) => (17, Some(port)),
        (2, port) => (132, Some(port)),
        (_, protocol) => (u8::try_from(protocol).expect("a protocol"), None),
    }
}

/// The host's memory under one policy.
struct Memory<'h> {
    host: &'h Host,
    tables: &'h Tables,
}

impl State for Memory<'_> {
    fn take_limit_token(&self, limit: &Limit, source: Source) -> bool {
        let key = if limit.has(Limit::PER_SOURCE) {
            BucketOf::Source(limit.bucket, source.v6, source.bits)
        } else {
            BucketOf::Rule(limit.bucket)
        };
        self.host.take(key, limit.interval_ns, limit.tolerance_ns)
    }

    fn take_fragment_token(&self) -> bool {
        let half = |setting: Setting| u64::from(self.tables.settings[setting as usize]);
        let word = |low, high| half(low) | half(high) << 32;
        let interval_ns = word(Setting::FragmentIntervalLow, Setting::FragmentIntervalHigh);
        let tolerance_ns = word(
            Setting::FragmentToleranceLow,
            Setting::FragmentToleranceHigh,
        );
        self.host
            .take(BucketOf::Fragments, interval_ns, tolerance_ns)
    }

    fn is_banned(&self, source: Address) -> bool {
        is_banned(&self.host.bans, source)
    }

    fn is_reply(&self, frame: &[u8], packet: &Candidate) -> bool {
        is_reply(&frame, packet, &self.host.flows)
    }
}

/// A clock that is set by hand.
type Clock = Cell<u64>;
