//! What was counted between two reports, by the second.

use std::collections::HashMap;

use serde::Serialize;

use crate::control::{Count, Counters, RuleCount};

/// Rates over the time between two reports. Of outcomes, rules and destinations, those alone that counted something in
/// this time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Seconds between the two reports.
    pub seconds: f64,
    /// All frames.
    pub frames: Rate,
    /// Outcomes that are no rule.
    pub outcomes: Vec<OutcomeRate>,
    /// Rules.
    pub rules: Vec<RuleRate>,
    /// Destinations of dropped packets.
    pub drops: Vec<DropRate>,
}

/// Packets and bytes in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// Frames.
    pub packets_per_second: f64,
    /// Bytes of these frames from the Ethernet header on.
    pub bytes_per_second: f64,
}

/// The rate of an outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutcomeRate {
    /// Its name.
    pub name: String,
    /// How fast it counts.
    #[serde(flatten)]
    pub rate: Rate,
}

/// The rates of a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleRate {
    /// Its name.
    pub name: String,
    /// What it decided; of a limit, what it passed.
    #[serde(flatten)]
    pub rate: Rate,
    /// What was beyond its limit.
    pub limited: Rate,
    /// What it would have dropped, were it enforced.
    pub shadow: Rate,
}

/// The rate of dropped packets of one destination.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DropRate {
    /// As in [`crate::control::DropCount`].
    pub protocol: String,
    /// As in [`crate::control::DropCount`].
    pub port: Option<u16>,
    /// As in [`crate::control::DropCount`].
    pub service: Option<String>,
    /// Packets in a second.
    pub packets_per_second: f64,
}

/// The rates between two reports of one daemon; `None` where they are of two, or not in this order.
#[must_use]
pub fn between(before: &Counters, now: &Counters) -> Option<Rates> {
    // The daemon's own clock: that of the host may be set in between.
    let seconds = now.uptime_s - before.uptime_s;
    if seconds <= 0.0 {
        return None;
    }
    Some(Rates {
        seconds,
        frames: rate(before.frames, now.frames, seconds),
        outcomes: outcomes(before, now, seconds),
        rules: rules(before, now, seconds),
        drops: drops(before, now, seconds),
    })
}

fn outcomes(before: &Counters, now: &Counters, seconds: f64) -> Vec<OutcomeRate> {
    let before: HashMap<&str, Count> = before
        .outcomes
        .iter()
        .map(|outcome| (outcome.name.as_str(), outcome.count))
        .collect();
    let rates = now.outcomes.iter().map(|outcome| {
        let before = before.get(outcome.name.as_str()).copied();
        OutcomeRate {
            name: outcome.name.clone(),
            rate: rate(before.unwrap_or_default(), outcome.count, seconds),
        }
    });
    rates
        .filter(|outcome| outcome.rate != Rate::default())
        .collect()
}

fn rules(before: &Counters, now: &Counters, seconds: f64) -> Vec<RuleRate> {
    let before: HashMap<&str, &RuleCount> = before
        .rules
        .iter()
        .map(|rule| (rule.name.as_str(), rule))
        .collect();
    let rates = now.rules.iter().map(|rule| {
        // A rule that was not there had counted nothing.
        let of = |count: fn(&RuleCount) -> Count| {
            let before = before.get(rule.name.as_str()).map(|rule| count(rule));
            rate(before.unwrap_or_default(), count(rule), seconds)
        };
        RuleRate {
            name: rule.name.clone(),
            rate: of(|rule| rule.count),
            limited: of(|rule| rule.limited),
            shadow: of(|rule| rule.shadow),
        }
    });
    rates
        .filter(|rule| [rule.rate, rule.limited, rule.shadow] != [Rate::default(); 3])
        .collect()
}

fn drops(before: &Counters, now: &Counters, seconds: f64) -> Vec<DropRate> {
    let before: HashMap<(&str, Option<u16>), u64> = before
        .drops
        .iter()
        .map(|drop| ((drop.protocol.as_str(), drop.port), drop.packets))
        .collect();
    let rates = now.drops.iter().map(|drop| {
        let before = before.get(&(drop.protocol.as_str(), drop.port)).copied();
        DropRate {
            protocol: drop.protocol.clone(),
            port: drop.port,
            service: drop.service.clone(),
            packets_per_second: per_second(before.unwrap_or_default(), drop.packets, seconds),
        }
    });
    rates.filter(|drop| drop.packets_per_second > 0.0).collect()
}

fn rate(before: Count, now: Count, seconds: f64) -> Rate {
    Rate {
        packets_per_second: per_second(before.packets, now.packets, seconds),
        bytes_per_second: per_second(before.bytes, now.bytes, seconds),
    }
}

fn per_second(before: u64, now: u64, seconds: f64) -> f64 {
    now.saturating_sub(before) as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{DropCount, EventAccount, OutcomeCount};

    fn count(packets: u64) -> Count {
        Count {
            packets,
            bytes: packets * 60,
        }
    }

    fn counters(uptime_s: f64) -> Counters {
        Counters {
            unix_time: 1_767_225_600.0,
            uptime_s,
            generation: 1,
            frames: count(0),
            outcomes: Vec::new(),
            rules: Vec::new(),
            drops: Vec::new(),
            events: EventAccount::default(),
        }
    }

    fn outcome(name: &str, packets: u64) -> OutcomeCount {
        OutcomeCount {
            name: name.into(),
            count: count(packets),
        }
    }

    fn rule(name: &str, decided: u64, limited: u64, shadow: u64) -> RuleCount {
        RuleCount {
            name: name.into(),
            action: Some("limit".into()),
            count: count(decided),
            limited: count(limited),
            shadow: count(shadow),
        }
    }

    fn dropped(protocol: &str, port: Option<u16>, packets: u64) -> DropCount {
        DropCount {
            protocol: protocol.into(),
            port,
            service: port.filter(|port| *port == 23).map(|_| "telnet".into()),
            packets,
        }
    }

    #[test]
    fn what_is_counted_is_told_by_the_second() {
        let before = Counters {
            frames: count(100),
            outcomes: vec![outcome("default-pass", 60), outcome("trusted", 7)],
            rules: vec![rule("ssh", 10, 20, 30), rule("quiet", 3, 3, 3)],
            drops: vec![dropped("tcp", Some(23), 5), dropped("tcp", None, 5)],
            ..counters(10.0)
        };
        let now = Counters {
            frames: count(200),
            outcomes: vec![outcome("default-pass", 70), outcome("trusted", 7)],
            rules: vec![
                rule("ssh", 12, 21, 30),
                rule("quiet", 3, 3, 3),
                rule("new", 0, 0, 8),
            ],
            drops: vec![
                dropped("tcp", Some(23), 9),
                dropped("udp", Some(23), 2),
                dropped("tcp", None, 5),
            ],
            ..counters(12.0)
        };
        let rates = between(&before, &now).expect("rates");
        let rate = |packets_per_second: f64| Rate {
            packets_per_second,
            bytes_per_second: packets_per_second * 60.0,
        };
        assert_eq!(rates.seconds, 2.0);
        assert_eq!(rates.frames, rate(50.0));
        let [pass] = &*rates.outcomes else {
            panic!("one outcome counted: {:?}", rates.outcomes)
        };
        assert_eq!((pass.name.as_str(), pass.rate), ("default-pass", rate(5.0)));
        let [ssh, new] = &*rates.rules else {
            panic!("two rules counted: {:?}", rates.rules)
        };
        assert_eq!(
            (ssh.name.as_str(), ssh.rate, ssh.limited, ssh.shadow),
            ("ssh", rate(1.0), rate(0.5), rate(0.0))
        );
        assert_eq!(
            (new.name.as_str(), new.rate, new.limited, new.shadow),
            ("new", rate(0.0), rate(0.0), rate(4.0))
        );
        let drops: Vec<_> = rates
            .drops
            .iter()
            .map(|drop| (&*drop.protocol, drop.port, drop.packets_per_second))
            .collect();
        assert_eq!(drops, [("tcp", Some(23), 2.0), ("udp", Some(23), 1.0)]);
        assert_eq!(rates.drops[0].service.as_deref(), Some("telnet"));
    }

    #[test]
    fn there_are_no_rates_over_no_time_or_between_two_daemons() {
        assert_eq!(between(&counters(5.0), &counters(5.0)), None);
        assert_eq!(between(&counters(5.0), &counters(1.0)), None);
    }
}
