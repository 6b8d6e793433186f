//! Whether answers to what this side begins pass: one setting of the policy, for all of them.

use crate::error::ImportError;
use crate::finding::{Finding, Kind};
use crate::model::RuleSet;
use crate::ranges::Ranges;
use crate::region::{Addresses, ICMP, ICMPV6, LAST_V4, Region, TCP, UDP};
use crate::walk::{Class, Decided, Item, walk};

/// What the policy says, and how that differs.
pub(crate) struct Replies {
    pub(crate) pass: bool,
    pub(crate) findings: Vec<Finding>,
}

/// What becomes of the packets of a region in a list.
struct Passage<'i> {
    /// All are decided, and passed at the end.
    passes: bool,
    /// Some of them are dropped on the way.
    drops: Vec<&'i Item>,
}

fn passage<'i>(items: &'i [Item], region: &Region) -> Passage<'i> {
    let mut drops = Vec::new();
    for item in items.iter().filter(|item| item.region.meets(region)) {
        let is_certain = item.unknown.is_empty() && item.changing.is_none();
        let covers = is_certain && item.region.covers(region);
        if item.decided == Decided::Pass {
            if covers {
                return Passage {
                    passes: true,
                    drops,
                };
            }
        } else {
            drops.push(item);
            if covers {
                break;
            }
        }
    }
    Passage {
        passes: false,
        drops,
    }
}

/// Whether two lists decide the same, as far as portguard can say it.
fn is_same(one: &[Item], other: &[Item]) -> bool {
    let certain = |items: &'_ [Item]| -> Vec<(Region, Decided)> {
        let known = items.iter().filter(|item| item.unknown.is_empty());
        known
            .map(|item| (item.region.clone(), item.decided))
            .collect()
    };
    certain(one) == certain(other)
}

const ANSWERS: [(u8, u128); 2] = [(ICMP, 0), (ICMPV6, 129)];
const ERRORS: [(u8, &[u128]); 2] = [(ICMP, &[3, 11, 12]), (ICMPV6, &[1, 2, 3, 4])];

/// Finds out what the original does with answers.
pub(crate) fn replies(
    rules: &RuleSet,
    guarded: &Region,
    strict: bool,
) -> Result<Replies, ImportError> {
    let first = walk(rules, Class::First, guarded)?.items;
    let replies = walk(rules, Class::Reply, guarded)?.items;
    let related = walk(rules, Class::Related, guarded)?.items;
    if is_same(&first, &replies) && is_same(&first, &related) {
        // No rule asks for the state: answers are packets like others.
        return Ok(Replies {
            pass: false,
            findings: Vec::new(),
        });
    }
    // Nothing arrives from or for 127.0.0.0/8: the kernel drops it on every interface but `lo`.
    let mut elsewhere = Addresses::all();
    elsewhere.v4 = Ranges::new([(0x7f00_0000, 0x7fff_ffff)]).complement(LAST_V4);
    let mut v4 = guarded.clone().of_v4();
    v4.from.v4 = elsewhere.v4.clone();
    v4.to.v4 = elsewhere.v4.clone();
    let families = [v4, guarded.clone().of_v6()];
    let of = |number: u8, family: &Region| {
        let protocols = Ranges::one(number.into());
        family.clone().with_protocols(protocols)
    };
    // A family counts as a whole: answers over TCP and UDP.
    let passes_answers = families.iter().any(|family| {
        let drops = |item: &Item| !item.decided.lets_through() && item.region.meets(family);
        let whole = |number: &u8| passage(&replies, &of(*number, family)).passes;
        first.iter().any(drops) && [TCP, UDP].iter().all(whole)
    });
    let mut probes: Vec<(&[Item], Region)> = Vec::new();
    for family in &families {
        probes.push((&replies, of(TCP, family)));
        probes.push((&replies, of(UDP, family)));
    }
    let kinds = |number: u8, kinds: &[u128]| {
        let kinds = Ranges::new(kinds.iter().map(|kind| (kind << 8, kind << 8 | 0xff)));
        let icmp = if number == ICMP {
            Region::icmp(kinds)
        } else {
            Region::icmpv6(kinds)
        };
        guarded
            .clone()
            .with_from(elsewhere.clone())
            .with_to(elsewhere.clone())
            .intersect(&icmp)
    };
    for (number, kind) in ANSWERS {
        probes.extend(kinds(number, &[kind]).map(|region| (&replies[..], region)));
    }
    for (number, types) in ERRORS {
        probes.extend(kinds(number, types).map(|region| (&related[..], region)));
    }
    let dropped: Vec<&Item> = probes
        .iter()
        .flat_map(|(items, region)| passage(items, region).drops)
        .collect();
    let pass = passes_answers && (!strict || dropped.is_empty());
    let mut findings = Vec::new();
    if pass {
        // What is not known of a rule is told by itself.
        for item in dropped.into_iter().filter(|item| item.unknown.is_empty()) {
            findings.push(Finding {
                kind: Kind::Wider,
                file: item.origin.file.clone(),
                line: item.origin.line,
                original: item.origin.text.clone(),
                reason: "it also drops answers to what this host begins".into(),
                consequence: "answers pass before all rules of portguard (`replies: pass`), which is one setting for all; with `--strict` they do not".into(),
            });
        }
    } else {
        // Rules that pass answers, of which the list for first packets knows nothing.
        let is_there = |item: &Item| {
            first
                .iter()
                .any(|other| other.origin == item.origin && other.decided.lets_through())
        };
        for item in replies.iter().chain(&related) {
            if item.decided == Decided::Pass && !is_there(item) {
                findings.push(Finding {
                    kind: Kind::Stricter,
                    file: item.origin.file.clone(),
                    line: item.origin.line,
                    original: item.origin.text.clone(),
                    reason: "it passes some answers to what this host begins, and portguard passes all of them or none".into(),
                    consequence: "answers are judged by the rules, like other packets (`replies: rules`)".into(),
                });
            }
        }
    }
    Ok(Replies { pass, findings })
}
