//! From the list to a policy: which rules it has, what its head says, and what is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::error::ImportError;
use crate::fields::{Fields, Lost, fields};
use crate::finding::{Finding, Kind};
use crate::model::{Origin, RuleSet};
use crate::ranges::Ranges;
use crate::region::{Region, TCP, UDP};
use crate::replies::{Replies, replies};
use crate::walk::{Class, Decided, Item, Walked, walk};

/// A policy before it is written.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) default_drop: bool,
    pub(crate) replies: bool,
    pub(crate) rules: Vec<Planned>,
    pub(crate) findings: Vec<Finding>,
}

/// A rule of the policy.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) name: String,
    pub(crate) decided: Decided,
    pub(crate) fields: Fields,
    pub(crate) origin: Rc<Origin>,
}

/// An item with what of it can be written.
struct Entry {
    item: Item,
    name: String,
    fields: Vec<Fields>,
    lost: Vec<Lost>,
}

/// Most rules of a policy.
const MOST_RULES: usize = 16_384;

/// Makes a policy for what arrives in a region.
pub(crate) fn plan(rules: &RuleSet, guarded: &Region, strict: bool) -> Result<Plan, ImportError> {
    let Walked { items, assumed } = walk(rules, Class::First, guarded)?;
    let Replies { pass, findings } = replies(rules, guarded, strict)?;
    let mut planner = Planner {
        guarded,
        strict,
        defaults: [Decided::Pass; 2],
        findings,
        names: BTreeSet::new(),
    };
    planner.findings.extend(rules.findings.iter().cloned());
    if let Some(origin) = assumed {
        planner.note(&origin, "portguard has no state for what others begin: a rule for first packets matches the later ones, too, unless they are answers", "stray packets of TCP, of no connection, pass or are dropped like the first packet of one");
    }
    let items = planner.take_ends(items);
    let entries: Vec<Entry> = items.into_iter().map(|item| planner.entry(item)).collect();
    for (index, entry) in entries.iter().enumerate() {
        let is_same = |other: &Entry| Rc::ptr_eq(&other.item.origin, &entry.item.origin);
        let has_rate = |own: &Entry| matches!(own.item.decided, Decided::Limit(_));
        let before = &entries[..index];
        if has_rate(entry) && before.iter().any(|other| has_rate(other) && is_same(other)) {
            planner.add(
                Kind::Wider,
                &entry.item.origin,
                "packets come to it on several ways, each of which is a rule of portguard",
                "each of these rules has the whole rate for itself",
            );
        }
    }
    let default_drop = planner.defaults.contains(&Decided::Drop);
    let mut planned = Vec::new();
    planned.extend(planner.dhcp(&entries));
    for (index, entry) in entries.iter().enumerate() {
        planner.tell(&entries, index);
        for (part, own) in entry.fields.iter().enumerate() {
            let name = match part {
                0 => entry.name.clone(),
                part => planner.name(&format!("{}.{}", entry.name, part + 1)),
            };
            planned.push(Planned {
                name,
                decided: entry.item.decided,
                fields: own.clone(),
                origin: Rc::clone(&entry.item.origin),
            });
        }
    }
    if planned.len() > MOST_RULES {
        let origin = &entries[entries.len() - 1].item.origin;
        let message = format!(
            "written out, it has {} rules, and a policy has at most {MOST_RULES}",
            planned.len()
        );
        return Err(ImportError::at(origin, 1, message));
    }
    Ok(Plan {
        default_drop,
        replies: pass,
        rules: planned,
        findings: merged(planner.findings),
    })
}

struct Planner<'r> {
    guarded: &'r Region,
    strict: bool,
    /// What happens at the end, in IPv4 and in IPv6.
    defaults: [Decided; 2],
    findings: Vec<Finding>,
    names: BTreeSet<String>,
}

impl Planner<'_> {
    /// Takes what is said of all packets of a family out of the list: `default` says it, so that later fragments, which
    /// no rule on ports decides, are not dropped by it. Behind it nothing arrives.
    fn take_ends(&mut self, items: Vec<Item>) -> Vec<Item> {
        let families = [self.guarded.clone().of_v4(), self.guarded.clone().of_v6()];
        let mut ends: [Option<Item>; 2] = [None, None];
        let mut kept = Vec::new();
        for mut item in items {
            for (family, end) in ends.iter_mut().enumerate() {
                if end.is_some() || !is_certain(&item) || !item.region.covers(&families[family]) {
                    continue;
                }
                if !matches!(item.decided, Decided::Limit(_)) {
                    *end = Some(item.clone());
                }
            }
            // What is left of it: families that have not ended.
            if ends[0].is_some() {
                item.region = item.region.of_v6();
            }
            if ends[1].is_some() {
                item.region = item.region.of_v4();
            }
            if item.region.has_v4() || item.region.has_v6() {
                kept.push(item);
            }
        }
        let decided = |end: &Option<Item>| match end {
            Some(item) if item.decided != Decided::Pass => Decided::Drop,
            Some(_) => Decided::Pass,
            None => Decided::Drop,
        };
        self.defaults = [decided(&ends[0]), decided(&ends[1])];
        let [v4, v6] = ends;
        let both = match (v4, v6) {
            (Some(v4), Some(v6)) if v4.origin == v6.origin && v4.decided == v6.decided => {
                vec![(v4, self.guarded.clone())]
            }
            (v4, v6) => {
                let [in_v4, in_v6] = families;
                let both = [(v4, in_v4), (v6, in_v6)];
                both.into_iter()
                    .filter_map(|(item, region)| Some((item?, region)))
                    .collect()
            }
        };
        let drops = self.defaults.contains(&Decided::Drop);
        for (mut item, region) in both {
            match item.decided {
                // Answers need a port, and a rule without one would drop later fragments of what was passed.
                Decided::Reject => {
                    let ports = Ranges::new([(1, 65_535)]);
                    let protocols = Ranges::new(
                        [(TCP, TCP), (UDP, UDP)].map(|(low, high)| (low.into(), high.into())),
                    );
                    item.region = region.with_protocols(protocols).with_ports(ports);
                    self.note(&item.origin, "only TCP and UDP get an answer: a rule for all would take later fragments of what was passed, too", "everything else is dropped in silence");
                    kept.push(item);
                }
                Decided::Pass if drops => {
                    item.region = region;
                    kept.push(item);
                }
                _ => {}
            }
        }
        kept
    }

    fn entry(&mut self, mut item: Item) -> Entry {
        let is_drop = !item.decided.lets_through();
        let reasons = item.unknown.clone();
        let (written, mut lost) = fields(&item.region, self.guarded);
        let mut own = written;
        if !reasons.is_empty() {
            let region = item.region.clone();
            let reason = reasons.join("; ");
            if !(is_drop && self.strict) {
                own.clear();
                lost = vec![Lost { region, reason }];
            } else {
                item.unknown.clear();
                self.add(
                    Kind::Stricter,
                    &item.origin,
                    &reason,
                    "all packets that the rest of the rule matches are dropped, as `--strict` asks",
                );
            }
        } else if let Some(changing) = &item.changing {
            if is_drop {
                let consequence = "what is in it now is dropped, and what comes later is not";
                self.add(Kind::Wider, &item.origin, changing, consequence);
            } else {
                own.clear();
                lost = vec![Lost {
                    region: item.region.clone(),
                    reason: changing.clone(),
                }];
            }
        }
        if let Decided::Limit(_) = item.decided {
            if own.len() > 1 {
                self.add(
                    Kind::Wider,
                    &item.origin,
                    "it takes several rules of portguard",
                    "each of them has the whole rate for itself",
                );
            }
            if item.counts_all && item.region.protocols.holds(TCP.into()) {
                self.note(&item.origin, "of TCP, a limit of portguard counts what begins a connection, and not what follows", "packets of connections do not use the rate up");
            }
        }
        let name = match own.is_empty() {
            true => String::new(),
            false => self.name(&format!("{}-{}", item.chain, item.origin.tag)),
        };
        Entry {
            item,
            name,
            fields: own,
            lost,
        }
    }

    /// A name that is not in use: letters, digits, `.`, `_`, `-`.
    fn name(&mut self, wanted: &str) -> String {
        let allowed = |letter: char| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => letter,
            _ => '-',
        };
        let wanted: String = wanted.chars().map(allowed).collect();
        let wanted = wanted.trim_matches('-');
        let mut name = wanted.to_owned();
        let mut number = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{wanted}.{number}");
            number += 1;
        }
        name
    }

    /// Says what of an entry is lost, and what happens to its packets.
    fn tell(&mut self, entries: &[Entry], index: usize) {
        let entry = &entries[index];
        for lost in &entry.lost {
            let after = self.after(entries, index, &lost.region);
            let is_drop = !entry.item.decided.lets_through();
            let (kind, consequence) = match (is_drop, after.passes, after.drops) {
                (true, true, _) => (
                    Kind::Wider,
                    format!("its packets are not dropped: they go on to {}", after.text),
                ),
                (true, false, _) => (
                    Kind::Note,
                    format!("its packets are dropped all the same, by {}", after.text),
                ),
                (false, _, true) => (
                    Kind::Stricter,
                    format!("its packets are not passed: they go on to {}", after.text),
                ),
                (false, _, false) => (
                    Kind::Note,
                    format!("its packets are passed all the same, by {}", after.text),
                ),
            };
            let reason = format!("portguard cannot tell {}", lost.reason);
            self.add(kind, &entry.item.origin, &reason, &consequence);
        }
    }

    /// What decides packets behind an entry.
    fn after(&self, entries: &[Entry], index: usize, region: &Region) -> After {
        let mut names: Vec<String> = Vec::new();
        let mut after = After::default();
        let mut is_decided = false;
        let mut more = 0;
        for entry in &entries[index + 1..] {
            let own = &entry.item;
            if entry.fields.is_empty() || !own.region.meets(region) {
                continue;
            }
            after.passes |= own.decided.lets_through();
            after.drops |= own.decided != Decided::Pass;
            if names.len() < 3 {
                names.push(format!("rule `{}`", entry.name));
            } else {
                more += 1;
            }
            if own.region.covers(region) && entry.lost.is_empty() {
                is_decided = true;
                break;
            }
        }
        if more > 0 {
            names.push(format!("{more} more"));
        }
        if !is_decided {
            let drops = self.defaults.contains(&Decided::Drop);
            after.passes |= !drops;
            after.drops |= drops;
            names.push(format!(
                "`default: {}`",
                if drops { "drop" } else { "pass" }
            ));
        }
        after.text = names.join(", ");
        after
    }

    /// A rule for what a DHCP client gets.
    fn dhcp(&mut self, entries: &[Entry]) -> Option<Planned> {
        let answers = Region::protocol(UDP)
            .of_v4()
            .with_source_ports(Ranges::one(67))
            .with_ports(Ranges::one(68));
        let answers = self.guarded.intersect(&answers)?;
        for entry in entries {
            if entry.fields.is_empty() || !entry.item.region.meets(&answers) {
                continue;
            }
            if !entry.item.decided.lets_through() {
                break;
            }
            if entry.item.region.covers(&answers) && entry.lost.is_empty() {
                return None;
            }
        }
        let drops =
            |entry: &Entry| !entry.item.decided.lets_through() && entry.item.region.meets(&answers);
        if !self.defaults.contains(&Decided::Drop) && !entries.iter().any(drops) {
            return None;
        }
        let origin = Rc::new(Origin {
            file: String::new(),
            line: 0,
            tag: "dhcp".into(),
            text: "added: answers of DHCP servers, which clients get before netfilter sees them, and after portguard".into(),
        });
        self.findings.push(Finding {
            kind: Kind::Note,
            file: "added".into(),
            line: 0,
            original: String::new(),
            reason: "DHCP clients read answers from the wire, where netfilter drops nothing and portguard does".into(),
            consequence: "rule `dhcp-client` passes UDP 67 to 68 over IPv4, or this host would lose its address; remove it where addresses are static".into(),
        });
        let (fields, _) = fields(&answers, self.guarded);
        Some(Planned {
            name: self.name("dhcp-client"),
            decided: Decided::Pass,
            fields: fields.into_iter().next()?,
            origin,
        })
    }

    fn note(&mut self, origin: &Origin, reason: &str, consequence: &str) {
        self.add(Kind::Note, origin, reason, consequence);
    }

    fn add(&mut self, kind: Kind, origin: &Origin, reason: &str, consequence: &str) {
        self.findings.push(Finding {
            kind,
            file: origin.file.clone(),
            line: origin.line,
            original: origin.text.clone(),
            reason: reason.to_owned(),
            consequence: consequence.to_owned(),
        });
    }
}

#[derive(Default)]
struct After {
    passes: bool,
    drops: bool,
    text: String,
}

fn is_certain(item: &Item) -> bool {
    item.unknown.is_empty() && item.changing.is_none()
}

/// Each line of the original once for each reason, the worst first, then by place.
fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut by_place: BTreeMap<(String, usize, String, String), Finding> = BTreeMap::new();
    for finding in findings {
        let place = (
            finding.file.clone(),
            finding.line,
            finding.original.clone(),
            finding.reason.clone(),
        );
        match by_place.get(&place) {
            Some(known) if known.kind <= finding.kind => {}
            _ => {
                by_place.insert(place, finding);
            }
        }
    }
    let mut all: Vec<Finding> = by_place.into_values().collect();
    all.sort_by_key(|finding| finding.kind);
    all
}
