//! What a policy and bans do with sessions: asked of the compiled tables, by the kernel's own classifier.

use std::collections::BTreeSet;
use std::net::IpAddr;

use portguard_common::abi::Builtin;
use portguard_common::classify::Verdict;
use portguard_policy::{
    Evaluator, Outcome, Packet, Payload, Place, Prefix, RuleAction, Stateless, Transport,
};

use crate::host::sessions::Session;
use crate::policy_file::Loaded;

use super::arrival::{Arrival, Arrived};

/// What filters: a policy on some interfaces, and bans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filter<'a> {
    /// Its tables are those for the interfaces that it guards.
    pub(super) loaded: &'a Loaded,
    /// Indices of the interfaces.
    pub(super) guarded: &'a BTreeSet<u32>,
    pub(super) banned: &'a [Prefix],
}

/// What drops a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decider {
    Rule {
        name: String,
        place: Place,
        rejects: bool,
    },
    Default,
    Ban(Prefix),
}

/// A session that would be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) session: Session,
    /// Where.
    pub(super) arrival: Arrival,
    /// What drops its packets.
    pub(super) data: Option<Decider>,
    /// What drops a new connection from the same address.
    pub(super) new_connection: Option<Decider>,
}

impl Cut {
    /// The rule that cuts it, if a rule does.
    pub(super) fn rule(&self) -> Option<&str> {
        let deciders = [&self.data, &self.new_connection];
        deciders
            .into_iter()
            .flatten()
            .find_map(|decider| match decider {
                Decider::Rule { name, .. } => Some(name.as_str()),
                Decider::Default | Decider::Ban(_) => None,
            })
    }
}

/// The sessions that `next` cuts and `in_force` does not, the caller's own first. Only what the one passes that the other
/// drops counts: a session that is dead already is no reason to refuse anything.
pub(super) fn cuts(
    in_force: Option<Filter<'_>>,
    next: Filter<'_>,
    sessions: &[Arrived],
) -> Vec<Cut> {
    let becomes_cut = |arrived: &Arrived| {
        arrived.by.iter().find_map(|arrival| {
            let newly = |kind| {
                let before =
                    in_force.and_then(|filter| filter.drops(arrived.session, arrival, kind));
                let after = next.drops(arrived.session, arrival, kind);
                after.filter(|_| before.is_none())
            };
            let (data, new_connection) = (newly(Kind::Data), newly(Kind::NewConnection));
            (data.is_some() || new_connection.is_some()).then(|| Cut {
                session: arrived.session,
                arrival: arrival.clone(),
                data,
                new_connection,
            })
        })
    };
    let mut cuts: Vec<Cut> = sessions.iter().filter_map(becomes_cut).collect();
    cuts.sort_by_key(|cut| (!cut.session.own, cut.session));
    cuts
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Data,
    NewConnection,
}

impl Filter<'_> {
    /// What drops such a packet of a session at a device.
    fn drops(&self, session: Session, arrival: &Arrival, kind: Kind) -> Option<Decider> {
        let policy = &self.loaded.policy;
        if !policy.enforce || !self.guarded.contains(&arrival.index) {
            return None;
        }
        let source = match kind {
            Kind::Data => session.peer.port(),
            Kind::NewConnection => another(session.peer.port()),
        };
        let packet = Packet {
            source: session.peer.ip(),
            destination: session.local.ip(),
            payload: Payload::Ports {
                transport: Transport::Tcp,
                source,
                destination: session.local.port(),
            },
            hop_limit: HOP_LIMIT,
            interface: Some(arrival.name.clone()),
            vlan: arrival.vlan,
        };
        let frame = match kind {
            Kind::Data => packet.frame_of_open_connection(),
            Kind::NewConnection => packet.frame(),
        };
        // No rate is used up, and nothing was started from this side.
        let evaluation =
            Evaluator::new(&self.loaded.tables, &arrival.name, Stateless).frame(&frame)?;
        if evaluation.outcome == Outcome::Builtin(Builtin::Trusted) {
            return None;
        }
        let holds = |prefix: &&Prefix| contains(prefix, session.peer.ip());
        if let Some(ban) = self.banned.iter().find(holds) {
            return Some(Decider::Ban(*ban));
        }
        if evaluation.judgement.verdict == Verdict::Pass {
            return None;
        }
        let rule = match evaluation.outcome {
            Outcome::Rule(index) | Outcome::Limited(index) => policy.rules.get(index),
            _ => None,
        };
        Some(rule.map_or(Decider::Default, |rule| Decider::Rule {
            name: rule.name.clone(),
            place: rule.place.clone(),
            rejects: rule.action == RuleAction::Reject,
        }))
    }
}

/// Any: no rule asks for it, but for essential traffic.
const HOP_LIMIT: u8 = 64;

/// A client connects again from another port.
const fn another(port: u16) -> u16 {
    match port.checked_add(1) {
        Some(next) => next,
        None => port - 1,
    }
}

fn contains(prefix: &Prefix, address: IpAddr) -> bool {
    prefix.is_ipv4() == address.is_ipv4() && (prefix.first()..=prefix.last()).contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_file::{self, PolicyFile};

    const ETH0: u32 = 2;
    const PEER: &str = "198.51.100.9:40022";

    fn loaded(text: &str) -> Loaded {
        let file = PolicyFile::alone("policy.yaml".into(), text.into());
        // The names of its interfaces are those that the tables are for.
        policy_file::compile(file).expect("a policy")
    }

    fn policy(settings: &str, rules: &[&str]) -> Loaded {
        let rules: String = rules
            .iter()
            .map(|rule| format!("  - {{{rule}}}\n"))
            .collect();
        let rules = if rules.is_empty() {
            " []\n".into()
        } else {
            format!("\n{rules}")
        };
        loaded(&format!(
            "version: 1\ninterfaces: [eth0, eth1]\n{settings}rules:{rules}"
        ))
    }

    fn arrived(peer: &str, vlan: u16) -> Arrived {
        Arrived {
            session: Session {
                peer: peer.parse().expect("an address"),
                local: "192.0.2.1:2222".parse().expect("an address"),
                bound: None,
                own: false,
            },
            by: vec![Arrival {
                index: ETH0,
                name: "eth0".into(),
                vlan,
            }],
        }
    }

    /// What drops the data and a new connection of the usual session.
    fn judged(loaded: &Loaded) -> [Option<Decider>; 2] {
        both(None, loaded, &arrived(PEER, 0))
    }

    fn both(old: Option<&Loaded>, new: &Loaded, session: &Arrived) -> [Option<Decider>; 2] {
        let guarded = BTreeSet::from([ETH0]);
        let filter = |loaded| Filter {
            loaded,
            guarded: &guarded,
            banned: &[],
        };
        let session = std::slice::from_ref(session);
        match cuts(old.map(filter), filter(new), session).pop() {
            Some(cut) => [cut.data, cut.new_connection],
            None => [None, None],
        }
    }

    fn rule(name: &str, line: usize) -> Option<Decider> {
        Some(Decider::Rule {
            name: name.into(),
            place: Place { file: None, line },
            rejects: false,
        })
    }

    #[test]
    fn what_drops_is_named_with_its_line() {
        let no_ssh = policy(
            "",
            &[
                "name: a, action: pass, ports: [80]",
                "name: no-ssh, action: drop, ports: [2222/tcp]",
            ],
        );
        assert_eq!(judged(&no_ssh), [rule("no-ssh", 5), rule("no-ssh", 5)]);
        let source = policy(
            "",
            &["name: net, action: drop, protocol: any, from: [198.51.100.0/24]"],
        );
        assert_eq!(judged(&source), [rule("net", 4), rule("net", 4)]);
        let only_22 = policy(
            "default: drop\n",
            &["name: ssh, action: pass, ports: [22/tcp]"],
        );
        assert_eq!(
            judged(&only_22),
            [Some(Decider::Default), Some(Decider::Default)]
        );
        let rejects = policy("", &["name: r, action: reject, ports: [2222/tcp]"]);
        let [data, _] = judged(&rejects);
        assert!(
            matches!(data, Some(Decider::Rule { rejects: true, .. })),
            "{data:?}"
        );
    }

    #[test]
    fn what_keeps_a_session_cuts_nothing() {
        let kept = [
            policy(
                "default: drop\n",
                &["name: ssh, action: pass, ports: [2222/tcp]"],
            ),
            // Not enforced, the file or the rule.
            policy("default: drop\nenforce: false\n", &[]),
            policy(
                "",
                &["name: x, action: drop, ports: [2222/tcp], enforce: false"],
            ),
            policy(
                "default: drop\ntrusted: [198.51.100.9]\n",
                &["name: x, action: drop, protocol: any"],
            ),
            // A ceiling may hold a packet up, and does not cut.
            policy(
                "",
                &["name: x, action: limit, ports: [2222/tcp], rate: 1/m"],
            ),
            // Other interfaces, tags, families, protocols, sources.
            policy(
                "",
                &["name: x, action: drop, protocol: any, interfaces: [eth1]"],
            ),
            policy("", &["name: x, action: drop, protocol: any, vlan: [10]"]),
            policy(
                "",
                &["name: x, action: drop, protocol: any, from: [\"::/0\"]"],
            ),
            policy("", &["name: x, action: drop, ports: [2222/udp]"]),
            policy(
                "",
                &["name: x, action: drop, protocol: any, from: [198.51.100.8]"],
            ),
        ];
        for loaded in &kept {
            assert_eq!(judged(loaded), [None, None], "{}", loaded.file.text);
        }
        // The tag that the session has.
        let tagged = both(None, &kept[6], &arrived(PEER, 10));
        assert_eq!(tagged, [rule("x", 4), rule("x", 4)]);
    }

    #[test]
    fn data_and_a_new_connection_are_judged_each_for_itself() {
        // A client connects again from another port.
        let this_port = policy(
            "",
            &["name: x, action: drop, protocol: tcp, ports: any, source_ports: [40022]"],
        );
        assert_eq!(judged(&this_port), [rule("x", 4), None]);
        let others = policy(
            "",
            &[
                "name: this, action: pass, protocol: tcp, ports: any, source_ports: [40022]",
                "name: x, action: drop, ports: [2222/tcp]",
            ],
        );
        assert_eq!(judged(&others), [None, rule("x", 5)]);
        assert_eq!((another(40_022), another(65_535)), (40_023, 65_534));
    }

    #[test]
    fn an_interface_that_is_not_guarded_cuts_nothing() {
        let loaded = policy("default: drop\n", &[]);
        let filter = |guarded| Filter {
            loaded: &loaded,
            guarded,
            banned: &[],
        };
        let session = [arrived(PEER, 0)];
        let (none, other, both) = (
            BTreeSet::new(),
            BTreeSet::from([3]),
            BTreeSet::from([3, ETH0]),
        );
        assert_eq!(cuts(None, filter(&other), &session), []);
        assert_eq!(cuts(None, filter(&both), &session).len(), 1);
        // Guarded from now on.
        assert_eq!(cuts(Some(filter(&none)), filter(&both), &session).len(), 1);
    }

    #[test]
    fn any_member_of_a_bridge_that_would_drop_counts() {
        let loaded = policy(
            "",
            &["name: x, action: drop, ports: [2222/tcp], interfaces: [eth1]"],
        );
        let mut session = arrived(PEER, 0);
        session.by.push(Arrival {
            index: 3,
            name: "eth1".into(),
            vlan: 0,
        });
        let guarded = BTreeSet::from([ETH0, 3]);
        let filter = Filter {
            loaded: &loaded,
            guarded: &guarded,
            banned: &[],
        };
        let cut = cuts(None, filter, &[session]).pop().expect("is cut");
        assert_eq!(cut.arrival.name, "eth1");
    }

    #[test]
    fn what_is_cut_already_is_not_cut_again() {
        let drops = policy("default: drop\n", &[]);
        let also = policy("", &["name: x, action: drop, ports: [2222/tcp]"]);
        let passes = policy("", &[]);
        let session = arrived(PEER, 0);
        assert_eq!(both(Some(&drops), &also, &session), [None, None]);
        assert_eq!(
            both(Some(&passes), &also, &session),
            [rule("x", 4), rule("x", 4)]
        );
        // Its packets are dropped already, but until now it could have connected again.
        let this_port = policy(
            "",
            &["name: x, action: drop, protocol: tcp, ports: any, source_ports: [40022]"],
        );
        assert_eq!(
            both(Some(&this_port), &also, &session),
            [None, rule("x", 4)]
        );
    }

    #[test]
    fn bans_cut_whom_nobody_trusts() {
        let prefix = |text: &str, length| {
            Prefix::new(text.parse().expect("an address"), length).expect("a prefix")
        };
        let bans = [
            prefix("192.0.2.0", 24),
            prefix("198.51.100.0", 24),
            prefix("2001:db8::", 32),
        ];
        let guarded = BTreeSet::from([ETH0]);
        let sessions = [PEER, "203.0.113.1:1", "[2001:db8::9]:1", "[2001:db9::9]:1"]
            .map(|peer| arrived(peer, 0));
        let cut = |loaded: &Loaded,
                   before: &[Prefix],
                   after: &[Prefix]|
         -> Vec<(String, Option<Decider>, Option<Decider>)> {
            let filter = |banned| Filter {
                loaded,
                guarded: &guarded,
                banned,
            };
            // The address for the port alone does not matter here.
            let cuts = cuts(Some(filter(before)), filter(after), &sessions);
            cuts.into_iter()
                .map(|cut| {
                    (
                        cut.session.peer.ip().to_string(),
                        cut.data,
                        cut.new_connection,
                    )
                })
                .collect()
        };
        let ban = |index: usize| Some(Decider::Ban(bans[index]));
        let expected = vec![
            ("198.51.100.9".to_owned(), ban(1), ban(1)),
            ("2001:db8::9".to_owned(), ban(2), ban(2)),
        ];
        let passes = policy("", &["name: x, action: pass, protocol: any"]);
        assert_eq!(cut(&passes, &[], &bans), expected);
        assert_eq!(cut(&passes, &bans[..2], &bans), expected[1..]);
        assert_eq!(
            cut(&policy("trusted: [198.51.100.9]\n", &[]), &[], &bans),
            expected[1..]
        );
        assert_eq!(cut(&policy("enforce: false\n", &[]), &[], &bans), []);
        // Trust that is taken away lets a ban come through that is there already.
        let trusts = policy("trusted: [198.51.100.9]\n", &[]);
        let filter = |loaded| Filter {
            loaded,
            guarded: &guarded,
            banned: &bans[..2],
        };
        assert_eq!(
            cuts(Some(filter(&trusts)), filter(&passes), &sessions).len(),
            1
        );
    }

    #[test]
    fn the_callers_own_session_comes_first() {
        let loaded = policy("default: drop\n", &[]);
        let guarded = BTreeSet::from([ETH0]);
        let mut sessions =
            ["192.0.2.7:1", "192.0.2.8:1", "192.0.2.9:1"].map(|peer| arrived(peer, 0));
        sessions[2].session.own = true;
        let filter = Filter {
            loaded: &loaded,
            guarded: &guarded,
            banned: &[],
        };
        let peers: Vec<String> = cuts(None, filter, &sessions)
            .iter()
            .map(|cut| cut.session.peer.to_string())
            .collect();
        assert_eq!(peers, ["192.0.2.9:1", "192.0.2.7:1", "192.0.2.8:1"]);
    }
}
