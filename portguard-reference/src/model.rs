//! The order of judgement (`docs/policy.md`, under that heading).

mod answers;
mod buckets;
mod closing;
mod counters;
mod flows;

use std::net::IpAddr;

use crate::frame::{self, Frame, Malformed, Packet, TCP};
use crate::matching::{EssentialKind, essential, matches, means, trusts};
use crate::policy::{
    Action, Essential, Fragments, Policy, Prefix, Replies, Rule, Verdict, names_interface,
};

use answers::AnswerBudget;
use buckets::{Buckets, Key};
pub use counters::{Counter, Counters};
pub use flows::{End, Ends, Flow, Reply};
use flows::{Flows, Lookup};

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is dropped.
    pub dropped: bool,
    /// The one outcome that it adds to.
    pub outcome: Outcome,
    /// Names of the rules that would have dropped it but only count, in file order.
    pub shadows: Vec<String>,
    /// Whether its sender gets an answer.
    pub answered: bool,
    /// As what it would have been a reply, were its flow not over, and how that ended.
    pub late: Option<(Reply, End)>,
}

/// What decided a frame (`docs/policy.md`, "Counters").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule of this name; of a limit, what it let pass.
    Rule(String),
    /// The limit of this name, for what was beyond it.
    Limited(String),
    /// `default: pass`.
    DefaultPass,
    /// `default: drop`.
    DefaultDrop,
    /// Its source is trusted.
    Trusted,
    /// Its source is banned.
    Banned,
    /// A reply, which something would have dropped.
    Reply(Reply),
    /// Essential traffic that no rule decided.
    Essential,
    /// `non_ip`.
    NonIp,
    /// `fragments`.
    LaterFragment,
    /// `malformed`, with the reason.
    Malformed(Malformed),
}

impl Outcome {
    /// The rule that decided.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Rule(name) | Self::Limited(name) => Some(name),
            _ => None,
        }
    }

    /// Name of the one counter that this adds to.
    #[must_use]
    pub fn counter(&self) -> String {
        match self {
            Self::Rule(name) => format!("rule {name}"),
            Self::Limited(name) => format!("rule {name}, limited"),
            Self::DefaultPass => "default-pass".to_owned(),
            Self::DefaultDrop => "default-drop".to_owned(),
            Self::Trusted => "trusted".to_owned(),
            Self::Banned => "banned".to_owned(),
            Self::Reply(_) => "reply".to_owned(),
            Self::Essential => "essential".to_owned(),
            Self::NonIp => "non-ip".to_owned(),
            Self::LaterFragment => "later-fragment".to_owned(),
            Self::Malformed(reason) => format!("malformed:{}", reason.name()),
        }
    }
}

/// Judges one frame that arrives at the interface `eth0` of a host on which nothing has happened yet.
#[must_use]
pub fn judge(policy: &Policy, frame: &[u8]) -> Judgement {
    Model::new(policy.clone()).arrives("eth0", frame, 0)
}

/// A host with a policy in force, and all that it remembers.
#[derive(Clone, Debug)]
pub struct Model {
    policy: Policy,
    interfaces: Vec<String>,
    flows: Flows,
    buckets: Buckets,
    budget: AnswerBudget,
    /// With their ends, if they have one.
    bans: Vec<(Prefix, Option<u64>)>,
    counters: Counters,
}

impl Model {
    /// A host with this policy and the interface `eth0`.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self::on(policy, &["eth0"])
    }

    /// A host with this policy and these interfaces.
    #[must_use]
    pub fn on(policy: Policy, interfaces: &[&str]) -> Self {
        Self {
            policy,
            interfaces: interfaces.iter().map(|&name| name.to_owned()).collect(),
            flows: Flows::default(),
            buckets: Buckets::default(),
            budget: AnswerBudget::default(),
            bans: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A flow that was open before portguard started.
    pub fn started(&mut self, flow: Flow, now_ns: u64) {
        self.flows.start(flow, now_ns);
    }

    /// Drops everything from here, until that time or for good. One of several bans of a source that lasts longest
    /// counts.
    pub fn ban(&mut self, source: Prefix, until_ns: Option<u64>) {
        self.bans.push((source, until_ns));
    }

    /// Takes all bans of this very source back.
    pub fn unban(&mut self, source: Prefix) {
        self.bans.retain(|&(banned, _)| banned != source);
    }

    /// Another policy takes effect.
    pub fn take_effect(&mut self, policy: Policy, now_ns: u64) {
        let guarded: Vec<&str> = self
            .interfaces
            .iter()
            .map(String::as_str)
            .filter(|name| names_interface(&policy.interfaces, name))
            .filter(|name| names_interface(&self.policy.interfaces, name))
            .collect();
        let closed = closing::closing(&self.policy, &policy, &guarded);
        self.flows.close(closed, now_ns);
        self.policy = policy;
    }

    /// A frame leaves, made here or forwarded, beginning with its Ethernet header.
    pub fn leaves(&mut self, interface: &str, frame: &[u8], now_ns: u64) {
        if let Ok(Frame::Packet(packet)) = frame::read(frame) {
            self.flows.sent(&self.policy, interface, &packet, now_ns);
        }
    }

    /// A frame arrives, beginning with its Ethernet header.
    pub fn arrives(&mut self, interface: &str, frame: &[u8], now_ns: u64) -> Judgement {
        let read = frame::read(frame);
        let mut judgement = match &read {
            Ok(Frame::NonIp { spared }) => {
                let spared = *spared || self.policy.non_ip == Verdict::Pass;
                decided(!spared, Outcome::NonIp)
            }
            Err(reason) => decided(
                self.policy.malformed == Verdict::Drop,
                Outcome::Malformed(*reason),
            ),
            Ok(Frame::Packet(packet)) => self.packet(interface, packet, now_ns),
        };
        if let Ok(Frame::Packet(packet)) = &read {
            judgement.answered = self.policy.enforce
                && self.rejects(&judgement)
                && answers::may_be_answered(packet, frame)
                && self.budget.take(now_ns);
        }
        self.counters
            .add(&judgement, read.as_ref().ok(), frame.len());
        // "Dry runs": everything is judged and counted as if enforced, then passed.
        judgement.dropped &= self.policy.enforce;
        judgement
    }

    fn rejects(&self, judgement: &Judgement) -> bool {
        judgement.dropped
            && judgement.outcome.rule().is_some_and(|name| {
                let is_reject = |rule: &Rule| rule.name == name && rule.action == Action::Reject;
                self.policy.rules.iter().any(is_reject)
            })
    }

    fn packet(&mut self, interface: &str, packet: &Packet, now_ns: u64) -> Judgement {
        if is_trusted(&self.policy, packet.source, interface) {
            return decided(false, Outcome::Trusted);
        }
        let is_banned = |&(prefix, until): &(Prefix, Option<u64>)| {
            prefix.contains(packet.source) && until.is_none_or(|until| now_ns < until)
        };
        if self.bans.iter().any(is_banned) {
            return decided(true, Outcome::Banned);
        }
        let mut shadows = Vec::new();
        let mut judgement = self.rules(interface, packet, now_ns, &mut shadows);
        judgement.shadows = shadows;
        // A later fragment has neither ports nor a type, and so is no reply to anything.
        if self.policy.replies == Replies::Pass && judgement.dropped {
            match self.flows.reply(packet, now_ns) {
                Lookup::Reply(reply) => {
                    judgement.outcome = Outcome::Reply(reply);
                    judgement.dropped = false;
                }
                Lookup::Late(reply, end) => judgement.late = Some((reply, end)),
                Lookup::Unknown => {}
            }
        }
        judgement
    }

    /// From the rules on, without replies.
    fn rules(
        &mut self,
        interface: &str,
        packet: &Packet,
        now_ns: u64,
        shadows: &mut Vec<String>,
    ) -> Judgement {
        let exempt = exempt(&self.policy, packet);
        for rule in &self.policy.rules {
            if !applies(&self.policy, rule, packet, interface, exempt) {
                continue;
            }
            let drops = match rule.action {
                Action::Pass => false,
                Action::Drop | Action::Reject => true,
                // Of TCP only attempts count. A later fragment is none.
                Action::Limit(_) if packet.protocol == TCP && !packet.is_attempt() => false,
                Action::Limit(limit) => {
                    let key = Key::of(&rule.name, limit.per, packet.source);
                    !self.buckets.take(key, limit.rate, limit.burst(), now_ns)
                }
            };
            if !rule.enforce {
                if drops {
                    shadows.push(rule.name.clone());
                }
                continue;
            }
            let name = rule.name.clone();
            let outcome = match rule.action {
                Action::Limit(_) if drops => Outcome::Limited(name),
                _ => Outcome::Rule(name),
            };
            return decided(drops, outcome);
        }
        if exempt.is_some() {
            return decided(false, Outcome::Essential);
        }
        if packet.is_later_fragment() {
            let drops = match self.policy.fragments {
                Fragments::Pass => false,
                Fragments::Drop => true,
                Fragments::Rate(rate) => {
                    let burst = rate.usual_burst();
                    !self.buckets.take(Key::Fragments, rate, burst, now_ns)
                }
            };
            return decided(drops, Outcome::LaterFragment);
        }
        match self.policy.default {
            Verdict::Pass => decided(false, Outcome::DefaultPass),
            Verdict::Drop => decided(true, Outcome::DefaultDrop),
        }
    }
}

fn decided(dropped: bool, outcome: Outcome) -> Judgement {
    Judgement {
        dropped,
        outcome,
        shadows: Vec::new(),
        answered: false,
        late: None,
    }
}

/// As what a packet is exempt from rules that do not mean it.
fn exempt(policy: &Policy, packet: &Packet) -> Option<EssentialKind> {
    match policy.essential {
        Essential::Pass => essential(packet),
        Essential::Rules => None,
    }
}

fn applies(
    policy: &Policy,
    rule: &Rule,
    packet: &Packet,
    interface: &str,
    exempt: Option<EssentialKind>,
) -> bool {
    matches(policy, rule, packet, interface)
        && exempt.is_none_or(|kind| means(rule, kind, packet.is_ipv6()))
}

fn is_trusted(policy: &Policy, source: IpAddr, interface: &str) -> bool {
    policy
        .trusted
        .iter()
        .any(|entry| trusts(entry, source, interface))
}

/// Whether a whole packet that arrives would be dropped by something other than a limit or a ban, replies aside.
fn is_refused(policy: &Policy, packet: &Packet, interface: &str) -> bool {
    if is_trusted(policy, packet.source, interface) {
        return false;
    }
    let exempt = exempt(policy, packet);
    let decider = policy
        .rules
        .iter()
        .find(|rule| rule.enforce && applies(policy, rule, packet, interface, exempt));
    match decider.map(|rule| rule.action) {
        Some(Action::Drop | Action::Reject) => true,
        Some(Action::Pass | Action::Limit(_)) => false,
        None => exempt.is_none() && policy.default == Verdict::Drop,
    }
}
