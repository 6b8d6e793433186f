//! What is tried, and what each policy does to it.

use std::fmt;

use serde::{Serialize, Serializer};

/// Before and after the policy is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Step {
    Start,
    Reload,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];
}

/// The tags of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Vlan {
    /// None at all.
    Untagged,
    /// One (IEEE 802.1Q). ID 0 is a priority tag: it names no VLAN.
    Tag(u16),
    /// Two (IEEE 802.1ad), the provider's outside.
    Stacked { outer: u16, inner: u16 },
}

impl Vlan {
    /// Those that are sent as whole frames.
    pub(super) const TAGGED: [Self; 3] = [
        Self::Tag(10),
        Self::Tag(0),
        Self::Stacked {
            outer: 100,
            inner: 10,
        },
    ];

    /// EtherType and ID of each tag, outermost first.
    pub(super) fn tags(self) -> Vec<(u16, u16)> {
        const CUSTOMER: u16 = 0x8100;
        const SERVICE: u16 = 0x88a8;
        match self {
            Self::Untagged => vec![],
            Self::Tag(id) => vec![(CUSTOMER, id)],
            Self::Stacked { outer, inner } => vec![(SERVICE, outer), (CUSTOMER, inner)],
        }
    }
}

impl fmt::Display for Vlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged => f.pad("-"),
            Self::Tag(id) => f.pad(&id.to_string()),
            Self::Stacked { outer, inner } => f.pad(&format!("{outer}.{inner}")),
        }
    }
}

/// `null`, the ID as a number, or `"outer.inner"`.
impl Serialize for Vlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Untagged => serializer.serialize_none(),
            Self::Tag(id) => serializer.serialize_u16(*id),
            Self::Stacked { .. } => serializer.collect_str(self),
        }
    }
}

/// What happens to traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    Pass,
    Drop,
    /// The host itself said no: never expected.
    Refused,
    /// Some frames came and some did not: never expected.
    Mixed,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Refused => "refused",
            Self::Mixed => "mixed",
        })
    }
}

/// What a policy does to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// No rule decides.
    PassByDefault,
    /// This rule passes it.
    Pass(&'static str),
    /// A rule drops it.
    Drop,
}

impl Decision {
    pub(super) fn fate(self) -> Fate {
        match self {
            Self::PassByDefault | Self::Pass(_) => Fate::Pass,
            Self::Drop => Fate::Drop,
        }
    }
}

/// A port with a server, and what the two policies do to it.
struct Port {
    protocol: Protocol,
    number: u16,
    start: Decision,
    reload: Decision,
    /// Tagged frames are sent to it too.
    tagged: bool,
}

impl Port {
    const fn new(protocol: Protocol, number: u16, decision: Decision) -> Self {
        Self {
            protocol,
            number,
            start: decision,
            reload: decision,
            tagged: false,
        }
    }

    const fn then(mut self, decision: Decision) -> Self {
        self.reload = decision;
        self
    }

    const fn tagged_too(mut self) -> Self {
        self.tagged = true;
        self
    }

    fn decision(&self, step: Step) -> Decision {
        match step {
            Step::Start => self.start,
            Step::Reload => self.reload,
        }
    }
}

const PORTS: [Port; 9] = [
    Port::new(Protocol::Tcp, 22, Decision::Pass("keep-ssh")),
    Port::new(Protocol::Tcp, 23, Decision::Drop)
        .then(Decision::PassByDefault)
        .tagged_too(),
    Port::new(Protocol::Tcp, 80, Decision::Pass("web")).then(Decision::Drop),
    Port::new(Protocol::Tcp, 443, Decision::Pass("web")),
    Port::new(Protocol::Tcp, 445, Decision::Drop),
    Port::new(Protocol::Tcp, 8080, Decision::PassByDefault),
    Port::new(Protocol::Udp, 53, Decision::PassByDefault)
        .then(Decision::Drop)
        .tagged_too(),
    Port::new(Protocol::Udp, 69, Decision::Drop),
    Port::new(Protocol::Udp, 137, Decision::Drop),
];

/// Ports of a protocol that have servers.
pub(super) fn ports(protocol: Protocol) -> Vec<u16> {
    PORTS
        .iter()
        .filter(|port| port.protocol == protocol)
        .map(|port| port.number)
        .collect()
}

/// One thing to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trial {
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) family: Family,
    pub(super) vlan: Vlan,
    pub(super) decision: Decision,
}

/// What is tried in a step: everything at first, then what the new policy decides otherwise.
pub(super) fn trials(step: Step) -> Vec<Trial> {
    PORTS
        .iter()
        .filter(|port| step == Step::Start || port.start != port.reload)
        .flat_map(|port| {
            let tagged = Vlan::TAGGED.into_iter().filter(|_| port.tagged);
            std::iter::once(Vlan::Untagged)
                .chain(tagged)
                .flat_map(|vlan| Family::ALL.map(|family| (vlan, family)))
                .map(move |(vlan, family)| Trial {
                    protocol: port.protocol,
                    port: port.number,
                    family,
                    vlan,
                    decision: port.decision(step),
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reload_opens_and_blocks_ports_tagged_and_not() {
        let trials = trials(Step::Reload);
        for fate in [Fate::Pass, Fate::Drop] {
            for tagged in [false, true] {
                assert!(trials.iter().any(|trial| {
                    trial.decision.fate() == fate && (trial.vlan != Vlan::Untagged) == tagged
                }));
            }
        }
        assert!(trials.len() < super::trials(Step::Start).len());
    }

    #[test]
    fn vlans_in_json() {
        let json = |vlan: Vlan| serde_json::to_string(&vlan).expect("serializes");
        assert_eq!(json(Vlan::Untagged), "null");
        assert_eq!(json(Vlan::Tag(0)), "0");
        assert_eq!(json(Vlan::TAGGED[2]), r#""100.10""#);
    }
}
