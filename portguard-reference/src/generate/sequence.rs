//! What happens to a host, step by step: frames that arrive and leave, time that passes, policies that take effect.

mod bans;
mod talk;

use super::language::edited;
use super::{Arrival, INTERFACES, Kind, Written, arrival, policy_of};
use crate::model::{Judgement, Model};
use crate::policy::{Policy, Prefix};
use crate::random::Random;
use crate::yaml;
use talk::Talk;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

/// After which times something changes: what is closing, what is short or closed, a TCP flow.
const LIFETIMES: [u64; 3] = [60 * SECOND, 180 * SECOND, 5 * 24 * 3600 * SECOND];
/// No comparison of times is closer than this, since no clock is exact.
const CLEARANCE: u64 = 200 * MILLISECOND;

/// Talks that go on at a time.
const MAX_TALKS: usize = 12;
/// A policy costs much more than a frame.
const MAX_POLICIES: usize = 5;

/// A host, and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// In force from the start, on [`INTERFACES`].
    pub policy: Policy,
    /// That policy, in writing.
    pub written: Written,
    /// One after the other. The first happens at time 0.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame arrives.
    Arrives(Arrival),
    /// A frame leaves.
    Leaves(Arrival),
    /// Time passes.
    Advance {
        /// How much.
        nanoseconds: u64,
    },
    /// Another policy takes effect.
    TakeEffect {
        /// The policy.
        policy: Box<Policy>,
        /// That, in writing.
        written: Written,
    },
    /// A source is banned from now on.
    Ban {
        /// The source.
        source: Prefix,
        /// For how long, unless for good.
        nanoseconds: Option<u64>,
    },
    /// A ban is taken back.
    Unban {
        /// The source.
        source: Prefix,
    },
}

/// Lets one step happen to the model, and its clock go on. The answer is the judgement of a frame that arrived.
pub fn play(model: &mut Model, now_ns: &mut u64, step: &Step) -> Option<Judgement> {
    match step {
        Step::Arrives(Arrival { interface, frame }) => {
            return Some(model.arrives(interface, frame, *now_ns));
        }
        Step::Leaves(Arrival { interface, frame }) => model.leaves(interface, frame, *now_ns),
        Step::Advance { nanoseconds } => *now_ns += nanoseconds,
        Step::TakeEffect { policy, .. } => model.take_effect((**policy).clone(), *now_ns),
        Step::Ban {
            source,
            nanoseconds,
        } => model.ban(*source, nanoseconds.map(|lasts| *now_ns + lasts)),
        Step::Unban { source } => model.unban(*source),
    }
    None
}

/// A random sequence in which so many frames arrive.
#[must_use]
pub fn sequence(arrivals: usize, random: &mut Random) -> Sequence {
    let (policy, written) = policy_of(Kind::Full, random);
    let mut story = Story::new(policy.clone());
    while story.arrivals < arrivals {
        story.go_on(random);
    }
    Sequence {
        policy,
        written,
        steps: story.steps,
    }
}

/// So many random frames that arrive, and time that passes between them: some come again and again.
#[must_use]
pub fn arrivals(policy: &Policy, count: usize, random: &mut Random) -> Vec<Step> {
    let mut story = Story::new(policy.clone());
    while story.arrivals < count {
        match random.below(100) {
            0..=79 => {
                let arrival = arrival(&story.policy, random);
                story.arrive(arrival);
            }
            80..=95 => story.repeat(random),
            _ => story.advance(random),
        }
    }
    story.steps
}

/// A sequence under way.
struct Story {
    policy: Policy,
    policies: usize,
    now_ns: u64,
    /// All that there have been.
    times: Vec<u64>,
    talks: Vec<Talk>,
    banned: Vec<Prefix>,
    steps: Vec<Step>,
    arrivals: usize,
}

impl Story {
    fn new(policy: Policy) -> Self {
        Self {
            policy,
            policies: 1,
            now_ns: 0,
            times: vec![0],
            talks: Vec::new(),
            banned: Vec::new(),
            steps: Vec::new(),
            arrivals: 0,
        }
    }

    fn go_on(&mut self, random: &mut Random) {
        match random.below(1000) {
            0..=309 => {
                let arrival = arrival(&self.policy, random);
                self.arrive(arrival);
            }
            310..=519 => self.reply(random),
            520..=709 => self.send(random),
            710..=849 => self.exchange(random),
            850..=909 => self.repeat(random),
            910..=944 => self.advance(random),
            945..=959 => self.outlive(random),
            960..=969 => self.ban(random),
            970..=978 if self.policies < MAX_POLICIES => self.take_effect(random),
            _ => self.talk(random),
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        self.arrivals += 1;
        self.steps.push(Step::Arrives(arrival));
    }

    fn talk(&mut self, random: &mut Random) {
        if self.talks.len() == MAX_TALKS {
            let oldest = random.below(MAX_TALKS);
            self.talks.swap_remove(oldest);
        }
        self.talks.push(Talk::new(&self.policy, random));
    }

    /// A packet of a talk leaves.
    fn send(&mut self, random: &mut Random) {
        if self.talks.is_empty() {
            self.talk(random);
        }
        let index = random.below(self.talks.len());
        let leaving = self.talks[index].leaving(&self.policy, random);
        self.steps.push(Step::Leaves(leaving));
    }

    /// What the other side of a talk sends, or what looks like it.
    fn reply(&mut self, random: &mut Random) {
        if self.talks.is_empty() {
            self.talk(random);
        }
        let index = random.below(self.talks.len());
        let arriving = self.talks[index].arriving(&self.policy, random);
        self.arrive(arriving);
    }

    /// A talk begins, and the other side has its say at once.
    fn exchange(&mut self, random: &mut Random) {
        if self.talks.is_empty() || random.one_in(3) {
            self.talk(random);
        }
        let index = random.below(self.talks.len());
        let opening = self.talks[index].opening(random);
        self.steps.push(Step::Leaves(opening));
        for _ in 0..=random.below(3) {
            let arriving = self.talks[index].arriving(&self.policy, random);
            self.arrive(arriving);
        }
    }

    /// The same frame again and again, or others from the same source: what a limit is for.
    fn repeat(&mut self, random: &mut Random) {
        let recent: Vec<Arrival> = self
            .steps
            .iter()
            .rev()
            .take(40)
            .filter_map(|step| match step {
                Step::Arrives(arrival) => Some(arrival.clone()),
                _ => None,
            })
            .collect();
        if recent.is_empty() {
            return;
        }
        let index = random.below(recent.len());
        for _ in 0..=random.below(6) {
            self.arrive(recent[index].clone());
        }
    }

    /// A talk begins, perhaps ends, and the other side speaks when that is nearly over or just over.
    fn outlive(&mut self, random: &mut Random) {
        let among = self.talks.len().max(1);
        let tcp: Vec<usize> = (0..self.talks.len())
            .filter(|&index| self.talks[index].is_tcp())
            .collect();
        let index = if tcp.is_empty() || random.one_in(4) {
            random.below(among)
        } else {
            random.pick(&tcp)
        };
        let Some(talk) = self.talks.get(index).cloned() else {
            return self.talk(random);
        };
        self.steps.push(Step::Leaves(talk.opening(random)));
        let lifetime = if !talk.is_tcp() {
            LIFETIMES[1]
        } else if random.one_in(2) {
            self.steps.push(Step::Leaves(talk.closing(random)));
            LIFETIMES[0]
        } else {
            LIFETIMES[2]
        };
        let end = self.now_ns + lifetime;
        self.advance_to(random.pick(&[end - SECOND / 2, end + SECOND / 2, end + SECOND / 2]));
        for _ in 0..=random.below(3) {
            let arriving = talk.arriving(&self.policy, random);
            self.arrive(arriving);
        }
    }

    fn advance(&mut self, random: &mut Random) {
        let now_ns = if random.one_in(3) {
            // Just before or just after something is over.
            let since = self.times[self.times.len().saturating_sub(1 + random.below(3))];
            let lifetime = random.pick(&[LIFETIMES[0], LIFETIMES[1], LIFETIMES[1]]);
            let end = since + lifetime;
            random.pick(&[end - SECOND / 2, end + SECOND / 2])
        } else {
            let seconds = random.pick(&[1, 1, 1, 1, 2, 2, 5, 30, 61, 100]);
            self.now_ns + random.pick(&[seconds * SECOND, SECOND / 2])
        };
        self.advance_to(now_ns);
    }

    /// To this time or a little later.
    fn advance_to(&mut self, now_ns: u64) {
        let mut now_ns = now_ns.max(self.now_ns + SECOND / 2);
        while self.is_near(now_ns) {
            now_ns += SECOND / 2;
        }
        self.advance_exactly_to(now_ns);
    }

    /// Whether it is close to the end of something's lifetime.
    fn is_near(&self, now_ns: u64) -> bool {
        self.times.iter().any(|&time| {
            LIFETIMES
                .iter()
                .any(|lifetime| now_ns.abs_diff(time + lifetime) < CLEARANCE)
        })
    }

    fn advance_exactly_to(&mut self, now_ns: u64) {
        self.steps.push(Step::Advance {
            nanoseconds: now_ns - self.now_ns,
        });
        self.now_ns = now_ns;
        self.times.push(now_ns);
    }

    fn take_effect(&mut self, random: &mut Random) {
        let policy = if random.one_in(3) {
            let (fresh, _) = policy_of(Kind::Full, random);
            // The same interfaces are guarded all along, with replies or without.
            Policy {
                interfaces: self.policy.interfaces.clone(),
                replies: self.policy.replies,
                ..fresh
            }
        } else {
            edited(&self.policy, random)
        };
        let written = yaml::write(&policy, Kind::Full, random);
        self.policies += 1;
        self.policy = policy.clone();
        self.steps.push(Step::TakeEffect {
            policy: Box::new(policy),
            written,
        });
    }
}

/// The model of a sequence before its first step.
impl Sequence {
    /// The host at time 0.
    #[must_use]
    pub fn model(&self) -> Model {
        Model::on(self.policy.clone(), &INTERFACES)
    }
}
