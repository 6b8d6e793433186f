//! Ports of several protocols, as sets.

use portguard_policy::{PortRange, ServiceMatch, Transport};

/// Ports, each with its protocol. The ranges of a protocol are ascending and apart from one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ports(Vec<(Transport, PortRange)>);

impl Ports {
    pub(super) fn new(ports: impl IntoIterator<Item = (Transport, PortRange)>) -> Self {
        let mut list: Vec<(Transport, PortRange)> = ports.into_iter().collect();
        list.sort_unstable();
        let mut joined: Vec<(Transport, PortRange)> = Vec::with_capacity(list.len());
        for (transport, range) in list {
            match joined.last_mut() {
                Some((own, last)) if *own == transport && touches(*last, range) => {
                    last.high = last.high.max(range.high);
                }
                _ => joined.push((transport, range)),
            }
        }
        Self(joined)
    }

    /// The ports of a rule; `None` if it matches anything else, too.
    pub(super) fn of_rule(services: &[ServiceMatch]) -> Option<Self> {
        let mut ports = Vec::with_capacity(services.len());
        for service in services {
            match *service {
                ServiceMatch::Ports(transport, range) => ports.push((transport, range)),
                // The essential part of a port that stands there, too.
                ServiceMatch::DhcpAnswer | ServiceMatch::Dhcpv6Answer => {}
                _ => return None,
            }
        }
        Some(Self::new(ports))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Transport, PortRange)> {
        self.0.iter().copied()
    }

    /// Whether all of these are among others.
    pub(super) fn are_among(&self, others: &Self) -> bool {
        self.without(others).is_empty()
    }

    /// Those that are not among others.
    pub(super) fn without(&self, others: &Self) -> Self {
        let mut left = self.0.clone();
        for (transport, taken) in others.iter() {
            left = left
                .into_iter()
                .flat_map(|(own, range)| {
                    let parts = match own == transport {
                        true => cut(range, taken),
                        false => [Some(range), None],
                    };
                    parts.into_iter().flatten().map(move |part| (own, part))
                })
                .collect();
        }
        Self(left)
    }

    /// As entries of `ports` of a rule: what TCP and UDP have in common stands once.
    pub(super) fn entries(&self) -> Vec<String> {
        let has = |transport: Transport, range: PortRange| self.0.contains(&(transport, range));
        let entry = |(transport, range): (Transport, PortRange)| match transport {
            Transport::Tcp if has(Transport::Udp, range) => Some(range.to_string()),
            Transport::Udp if has(Transport::Tcp, range) => None,
            _ => Some(format!("{range}/{transport}")),
        };
        self.iter().filter_map(entry).collect()
    }
}

fn touches(last: PortRange, next: PortRange) -> bool {
    last.high
        .checked_add(1)
        .is_none_or(|after| next.low <= after)
}

/// What is left of a range, below and above.
fn cut(range: PortRange, taken: PortRange) -> [Option<PortRange>; 2] {
    if taken.high < range.low || taken.low > range.high {
        return [Some(range), None];
    }
    let below = (range.low < taken.low).then(|| PortRange {
        low: range.low,
        high: taken.low - 1,
    });
    let above = (range.high > taken.high).then(|| PortRange {
        low: taken.high + 1,
        high: range.high,
    });
    [below, above]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(list: &[(Transport, u16, u16)]) -> Ports {
        let range = |(own, low, high): &(Transport, u16, u16)| {
            let (low, high) = (*low, *high);
            (*own, PortRange { low, high })
        };
        Ports::new(list.iter().map(range))
    }

    #[test]
    fn what_touches_is_joined_and_stands_once_for_both_protocols() {
        let own = ports(&[
            (Transport::Udp, 25, 25),
            (Transport::Tcp, 81, 90),
            (Transport::Tcp, 25, 25),
            (Transport::Tcp, 80, 80),
            (Transport::Tcp, 65_535, 65_535),
        ]);
        assert_eq!(own.entries(), ["25", "80-90/tcp", "65535/tcp"]);
    }

    #[test]
    fn a_part_is_taken_out() {
        let all = ports(&[(Transport::Tcp, 1, 65_535), (Transport::Udp, 53, 53)]);
        let some = ports(&[(Transport::Tcp, 1, 1), (Transport::Tcp, 100, 200)]);
        assert_eq!(
            all.without(&some).entries(),
            ["2-99/tcp", "201-65535/tcp", "53/udp"]
        );
        assert!(some.are_among(&all));
        assert!(!all.are_among(&some));
        assert!(all.without(&all).is_empty());
    }
}
