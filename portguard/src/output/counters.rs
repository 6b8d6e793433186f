//! `counters`, printed.

use std::collections::HashMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::{self, Format};
use crate::control::{Count, Counters, DropCount};
use crate::exit::Outcome;
use crate::observe::rates::{Rate, Rates, RuleRate};

use super::events::of_host;
use super::{print, print_json};

/// Drops listed for people unless they ask for all; programs get all.
const TOP_DROPS: usize = 20;

/// Counters, and rates where there is a time that they are of.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    counters: &'a Counters,
    rates: Option<Rates>,
}

/// Prints counters, for people as a table, for programs as one object on one line; with rates over the time since a
/// report before.
///
/// # Errors
///
/// [`crate::exit::Failure`] when standard output is closed.
pub fn counters(counters: &Counters, rates: Option<Rates>, arguments: &cli::Counters) -> Outcome {
    match arguments.format {
        Format::Json => print_json(&Report { counters, rates }),
        Format::Text => {
            let top = if arguments.all { usize::MAX } else { TOP_DROPS };
            print(|out| table(out, counters, rates.as_ref(), top))
        }
    }
}

fn table(
    out: &mut impl Write,
    counters: &Counters,
    rates: Option<&Rates>,
    top: usize,
) -> io::Result<()> {
    heading(out, "OUTCOME", rates.is_some())?;
    let outcome_rates: HashMap<&str, Rate> = rates
        .into_iter()
        .flat_map(|rates| &rates.outcomes)
        .map(|outcome| (outcome.name.as_str(), outcome.rate))
        .collect();
    let rule_rates: HashMap<&str, &RuleRate> = rates
        .into_iter()
        .flat_map(|rates| &rates.rules)
        .map(|rule| (rule.name.as_str(), rule))
        .collect();
    // What counted nothing in this time has no rate of its own.
    let shown = |rate: Option<Rate>| rates.map(|_| rate.unwrap_or_default());
    for outcome in &counters.outcomes {
        if outcome.count.packets > 0 {
            let rate = outcome_rates.get(outcome.name.as_str()).copied();
            row(out, &outcome.name, outcome.count, shown(rate))?;
        }
    }
    for rule in &counters.rules {
        let rate = rule_rates.get(rule.name.as_str());
        let action = rule.action.as_deref().unwrap_or("removed");
        let name = format!("rule {} ({action})", rule.name);
        row(out, &name, rule.count, shown(rate.map(|rule| rule.rate)))?;
        if rule.limited.packets > 0 {
            let name = format!("rule {} (over its limit)", rule.name);
            let rate = rate.map(|rule| rule.limited);
            row(out, &name, rule.limited, shown(rate))?;
        }
        if rule.shadow.packets > 0 {
            let name = format!("rule {} (would drop)", rule.name);
            let rate = rate.map(|rule| rule.shadow);
            row(out, &name, rule.shadow, shown(rate))?;
        }
    }
    let frames = rates.map(|rates| rates.frames);
    row(out, "all frames", counters.frames, frames)?;
    drops(out, counters, rates, top)?;
    if counters.events.would_be > 0 {
        writeln!(
            out,
            "events: {}
",
            of_host(&counters.events)
        )?;
    }
    Ok(())
}

fn heading(out: &mut impl Write, first: &str, has_rates: bool) -> io::Result<()> {
    write!(out, "{first:<36} {:>14} {:>18}", "PACKETS", "BYTES")?;
    if has_rates {
        write!(out, " {:>12} {:>14}", "PACKETS/S", "BYTES/S")?;
    }
    writeln!(out)
}

fn row(out: &mut impl Write, name: &str, count: Count, rate: Option<Rate>) -> io::Result<()> {
    write!(out, "{name:<36} {:>14} {:>18}", count.packets, count.bytes)?;
    if let Some(rate) = rate {
        let packets = per_second(rate.packets_per_second);
        let bytes = per_second(rate.bytes_per_second);
        write!(out, " {packets:>12} {bytes:>14}")?;
    }
    writeln!(out)
}

/// A rate below 10 with a digit behind the point: one packet in five seconds is not none.
fn per_second(rate: f64) -> String {
    if rate > 0.0 && rate < 9.95 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

/// The destinations with the most drops: those with the most in the time of the rates first.
fn drops(
    out: &mut impl Write,
    counters: &Counters,
    rates: Option<&Rates>,
    top: usize,
) -> io::Result<()> {
    if counters.drops.is_empty() {
        return writeln!(out);
    }
    let rate_of: HashMap<(&str, Option<u16>), f64> = rates
        .into_iter()
        .flat_map(|rates| &rates.drops)
        .map(|drop| ((drop.protocol.as_str(), drop.port), drop.packets_per_second))
        .collect();
    let rate = |drop: &DropCount| {
        let rate = rate_of.get(&(drop.protocol.as_str(), drop.port));
        rate.copied().unwrap_or_default()
    };
    let mut drops: Vec<(&DropCount, f64)> = counters
        .drops
        .iter()
        .map(|drop| (drop, rate(drop)))
        .collect();
    drops.sort_by(|(left, left_rate), (right, right_rate)| {
        let by_rate = right_rate.total_cmp(left_rate);
        by_rate.then(right.packets.cmp(&left.packets))
    });
    write!(out, "\n{:<36} {:>14}", "DROPPED BY DESTINATION", "PACKETS")?;
    if rates.is_some() {
        write!(out, " {:>12}", "PACKETS/S")?;
    }
    writeln!(out)?;
    for (drop, rate) in drops.iter().take(top) {
        let destination = destination(drop);
        write!(out, "{destination:<36} {:>14}", drop.packets)?;
        if rates.is_some() {
            write!(out, " {:>12}", per_second(*rate))?;
        }
        writeln!(out)?;
    }
    if drops.len() > top {
        writeln!(out, "and {} more: `--all` lists them", drops.len() - top)?;
    }
    writeln!(out)
}

/// `23/tcp (telnet)`, or the protocol alone where there is no port.
fn destination(drop: &DropCount) -> String {
    let Some(port) = drop.port else {
        return drop.protocol.clone();
    };
    match &drop.service {
        Some(service) => format!("{port}/{} ({service})", drop.protocol),
        None => format!("{port}/{}", drop.protocol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{EventAccount, OutcomeCount, RuleCount};
    use crate::observe::rates;

    fn count(packets: u64) -> Count {
        Count {
            packets,
            bytes: packets * 100,
        }
    }

    fn dropped(port: u16, service: Option<&str>, packets: u64) -> DropCount {
        DropCount {
            protocol: "tcp".into(),
            port: Some(port),
            service: service.map(Into::into),
            packets,
        }
    }

    fn report(uptime_s: f64, ssh: u64, drops: Vec<DropCount>) -> Counters {
        Counters {
            unix_time: 1_767_225_600.0,
            uptime_s,
            generation: 1,
            frames: count(ssh + 7),
            outcomes: vec![OutcomeCount {
                name: "default-pass".into(),
                count: count(7),
            }],
            rules: vec![RuleCount {
                name: "no-ssh".into(),
                action: Some("drop".into()),
                count: count(ssh),
                limited: count(0),
                shadow: count(0),
            }],
            drops,
            events: EventAccount::default(),
        }
    }

    fn lines(counters: &Counters, rates: Option<&Rates>, top: usize) -> Vec<String> {
        let mut out = Vec::new();
        table(&mut out, counters, rates, top).expect("a table");
        let text = String::from_utf8(out).expect("text");
        let lines = text.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ")
        });
        lines.collect()
    }

    #[test]
    fn one_report_has_totals_alone() {
        let drops = vec![dropped(22, Some("ssh"), 5), dropped(4444, None, 9)];
        let lines = lines(&report(5.0, 14, drops), None, 20);
        assert_eq!(
            lines,
            [
                "OUTCOME PACKETS BYTES",
                "default-pass 7 700",
                "rule no-ssh (drop) 14 1400",
                "all frames 21 2100",
                "",
                "DROPPED BY DESTINATION PACKETS",
                "4444/tcp 9",
                "22/tcp (ssh) 5",
                "",
            ]
        );
    }

    #[test]
    fn two_reports_have_rates_and_what_is_fast_comes_first() {
        let before = report(
            5.0,
            4,
            vec![dropped(22, Some("ssh"), 1), dropped(4444, None, 9)],
        );
        let now = report(
            15.0,
            45,
            vec![dropped(22, Some("ssh"), 3), dropped(4444, None, 9)],
        );
        let rates = rates::between(&before, &now).expect("rates");
        let lines = lines(&now, Some(&rates), 20);
        assert_eq!(
            lines,
            [
                "OUTCOME PACKETS BYTES PACKETS/S BYTES/S",
                "default-pass 7 700 0 0",
                "rule no-ssh (drop) 45 4500 4.1 410",
                "all frames 52 5200 4.1 410",
                "",
                "DROPPED BY DESTINATION PACKETS PACKETS/S",
                "22/tcp (ssh) 3 0.2",
                "4444/tcp 9 0",
                "",
            ]
        );
    }

    #[test]
    fn beyond_the_top_it_says_how_many_there_are() {
        let drops = (1..=25).map(|port| dropped(port, None, port.into()));
        let counters = report(5.0, 0, drops.collect());
        let top = lines(&counters, None, TOP_DROPS);
        assert!(top.contains(&"6/tcp 6".to_owned()) && !top.contains(&"5/tcp 5".to_owned()));
        assert!(
            top.contains(&"and 5 more: `--all` lists them".to_owned()),
            "{top:?}"
        );
        let all = lines(&counters, None, usize::MAX);
        assert!(all.contains(&"1/tcp 1".to_owned()), "{all:?}");
        assert!(!all.iter().any(|line| line.contains("more")), "{all:?}");
    }
}
