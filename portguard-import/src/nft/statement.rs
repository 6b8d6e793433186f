//! A rule: its statements, in order.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expression::{Condition, condition, field, flags, words};
use super::sets::{Elements, Set, elements};
use super::{Object, text};
use crate::error::ImportError;
use crate::finding::{Finding, Kind};
use crate::model::{Rate, RateTest, Rule, States, Verdict};
use crate::ranges::Ranges;
use crate::region::{Region, TCP};

/// What an object of the kind `rule` says.
pub(super) struct Read {
    pub(super) rules: Vec<Rule>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn rules(object: &Object, sets: &BTreeMap<String, Set>) -> Result<Read, ImportError> {
    let mut reader = Reader {
        object,
        sets,
        rules: vec![Rule::new(&object.origin, Verdict::Continue)],
        read: Read {
            rules: Vec::new(),
            findings: Vec::new(),
        },
    };
    let family = match object.text("family") {
        "ip" => Region::v4(),
        "ip6" => Region::v6(),
        _ => Region::all(),
    };
    reader.narrow(&[family]);
    let Some(statements) = object.value["expr"].as_array() else {
        return Err(object.error("a rule has a list `expr`"));
    };
    for statement in statements {
        let Some((name, value)) = statement.as_object().and_then(|own| own.iter().next()) else {
            reader.unknown(format!("`{statement}`"));
            continue;
        };
        reader.statement(name, value)?;
    }
    reader.finish();
    Ok(reader.read)
}

struct Reader<'o> {
    object: &'o Object,
    sets: &'o BTreeMap<String, Set>,
    /// What matches so far: any of these, which are apart from each other.
    rules: Vec<Rule>,
    read: Read,
}

impl Reader<'_> {
    fn statement(&mut self, name: &str, value: &Value) -> Result<(), ImportError> {
        match name {
            "match" => self.matching(value)?,
            "vmap" => self.verdict_map(value)?,
            "limit" => self.limit(value, false),
            "meter" => {
                let per_source = is_source(&value["key"]);
                self.limit_of(&value["stmt"], per_source);
            }
            "set" => match value["stmt"].as_array().map(Vec::as_slice) {
                // It only remembers.
                None | Some([]) => {}
                Some([statement]) => self.limit_of(statement, is_source(&value["elem"])),
                Some(_) => self.unknown("what a set remembers".into()),
            },
            "counter" | "log" | "comment" | "notrack" | "mangle" | "ct helper" | "ct timeout"
            | "ct expectation" | "flow" | "dup" => {}
            "queue" | "tproxy" | "synproxy" | "fwd" => {
                self.read.findings.push(Finding {
                    kind: Kind::Wider,
                    file: self.object.origin.file.clone(),
                    line: self.object.origin.line,
                    original: self.object.origin.text.clone(),
                    reason: format!("`{name}` lets another program decide"),
                    consequence: "its packets go on to the rules behind it".into(),
                });
            }
            "xt" => self
                .unknown("a match of iptables (read what `iptables-save` prints instead)".into()),
            _ => match verdict(name, value, self.object) {
                Some(verdict) => {
                    for rule in &mut self.rules {
                        rule.verdict = verdict.clone();
                    }
                }
                None => self.unknown(format!("`{}`", text::statement(name, value))),
            },
        }
        Ok(())
    }

    fn finish(&mut self) {
        // Several rules would have a rate each.
        if self.rules.len() > 1 && self.rules.iter().any(|rule| rule.limit.is_some()) {
            for rule in &mut self.rules {
                rule.limit = None;
                rule.unknown
                    .push("a rate for several combinations of values".into());
            }
        }
        self.read.rules.append(&mut self.rules);
    }

    fn matching(&mut self, value: &Value) -> Result<(), ImportError> {
        let operator = value["op"].as_str().unwrap_or("==");
        let (left, right) = (&value["left"], &value["right"]);
        let compared = range_of(operator, right);
        let right = compared.as_ref().unwrap_or(right);
        let inverted = match operator {
            "==" | "in" => false,
            "!=" | "!" => true,
            _ if compared.is_some() => false,
            _ => {
                self.unknown(format!("`{}`", text::statement("match", value)));
                return Ok(());
            }
        };
        if self.bits(left, operator, right) {
            return Ok(());
        }
        let Elements { values, changing } = self.elements(right)?;
        if let Some(parts) = left["concat"].as_array() {
            let meant = match inverted {
                true => Err("none of some combinations of values".to_owned()),
                false => values
                    .iter()
                    .map(|value| combination(parts, value))
                    .collect(),
            };
            match meant {
                Ok(regions) => {
                    let regions: Vec<Region> = regions;
                    self.narrow(&regions);
                }
                Err(what) => self.unknown(what),
            }
        } else {
            match field(left).and_then(|field| condition(field, &values, inverted)) {
                Ok(condition) => self.add(condition),
                Err(what) => self.unknown(what),
            }
        }
        self.change(changing);
        Ok(())
    }

    /// Conditions on single bits: flags of TCP, and states under a mask.
    fn bits(&mut self, left: &Value, operator: &str, right: &Value) -> bool {
        let masked = left["&"].as_array().map(Vec::as_slice);
        let (own, mask) = match masked {
            Some([own, mask]) => (own, Some(mask)),
            Some(_) => return false,
            None => (left, None),
        };
        match field(own) {
            Ok(super::expression::Field::Flags) => {
                match flags(mask, operator, right) {
                    Some(test) => {
                        self.narrow(&[Region::protocol(TCP)]);
                        self.rules.iter_mut().for_each(|rule| rule.flags.push(test));
                    }
                    None => {
                        self.narrow(&[Region::protocol(TCP)]);
                        self.unknown("a set of TCP flags".into());
                    }
                }
                true
            }
            Ok(super::expression::Field::State) => {
                let Some(names) = mask.and_then(words) else {
                    return false;
                };
                let states: Option<States> = names.iter().try_fold(States::NONE, |all, name| {
                    Some(all.union(States::from_name(name)?))
                });
                match states {
                    Some(states) if right == 0 => {
                        let own = if operator == "!=" {
                            states
                        } else {
                            states.complement()
                        };
                        self.add(Condition::States(own));
                    }
                    _ => self.unknown("bits of the state".into()),
                }
                true
            }
            _ => false,
        }
    }

    fn verdict_map(&mut self, value: &Value) -> Result<(), ImportError> {
        let Elements { values, changing } = self.elements(&value["data"])?;
        let parts = value["key"]["concat"].as_array();
        let kept = std::mem::take(&mut self.rules);
        let mut all = Vec::new();
        for pair in &values {
            let Some([key, action]) = pair.as_array().map(Vec::as_slice) else {
                return Err(self.object.error("an element of a verdict map is a pair"));
            };
            let Some((name, target)) = action.as_object().and_then(|own| own.iter().next()) else {
                return Err(self
                    .object
                    .error("an element of a verdict map has a verdict"));
            };
            let Some(verdict) = verdict(name, target, self.object) else {
                return Err(self.object.error(format!("`{name}` is no verdict")));
            };
            self.rules = kept.clone();
            let meant = match parts {
                Some(parts) => combination(parts, key).map(|own| Condition::Region(Box::new(own))),
                None => field(&value["key"])
                    .and_then(|field| condition(field, std::slice::from_ref(key), false)),
            };
            match meant {
                Ok(condition) => self.add(condition),
                Err(what) => self.unknown(what),
            }
            self.change(changing.clone());
            for rule in &mut self.rules {
                rule.verdict = verdict.clone();
            }
            all.append(&mut self.rules);
        }
        self.rules = all;
        Ok(())
    }

    fn limit_of(&mut self, statement: &Value, per_source: bool) {
        let statement = match statement {
            Value::Array(all) if all.len() == 1 => &all[0],
            own => own,
        };
        match statement.get("limit") {
            Some(limit) if per_source => self.limit(limit, true),
            Some(_) => {
                self.unknown("a rate for each value of something else than the source".into())
            }
            None => self.unknown(format!("`{}`", text::expression(statement))),
        }
    }

    fn limit(&mut self, value: &Value, per_source: bool) {
        let in_bytes = value.get("rate_unit").is_some_and(|unit| unit != "packets");
        let count = value["rate"].as_u64().filter(|_| !in_bytes);
        let unit = value["per"].as_str().unwrap_or("second");
        // What the kernel takes where a rule does not say.
        let burst = value["burst"]
            .as_u64()
            .filter(|burst| *burst > 0)
            .unwrap_or(5);
        let rate = count.and_then(|count| Rate::new(count, unit, burst, per_source));
        match rate {
            Some(rate) => {
                let over = value["inv"].as_bool().unwrap_or(false);
                for rule in &mut self.rules {
                    if rule.limit.is_some() {
                        rule.unknown.push("a second rate".into());
                    }
                    rule.limit = Some(RateTest { rate, over });
                }
            }
            None => self.unknown(format!("a rate of {} in a {unit}", value["rate"])),
        }
    }

    fn elements(&self, value: &Value) -> Result<Elements, ImportError> {
        elements(value, &self.object.key(""), self.sets).map_err(|error| self.object.error(error))
    }

    fn add(&mut self, condition: Condition) {
        match condition {
            Condition::Region(region) => self.narrow(&[*region]),
            Condition::States(states) => {
                for rule in &mut self.rules {
                    rule.states = rule.states.intersect(states);
                }
            }
            Condition::HopLimit255 => {
                let discovery = Region::icmpv6(Ranges::new([(133 << 8, 137 << 8 | 0xff)]));
                for rule in &mut self.rules {
                    if !discovery.covers(&rule.region) {
                        rule.unknown.push("a hop limit of 255".into());
                    }
                }
            }
        }
    }

    /// Any of these regions.
    fn narrow(&mut self, regions: &[Region]) {
        let mut all = Vec::new();
        for rule in &self.rules {
            for region in regions {
                let mut one = rule.clone();
                if one.narrow(region) {
                    all.push(one);
                }
            }
        }
        self.rules = all;
    }

    fn change(&mut self, changing: Option<String>) {
        if let Some(changing) = changing {
            for rule in &mut self.rules {
                rule.changing = Some(changing.clone());
            }
        }
    }

    fn unknown(&mut self, what: String) {
        for rule in &mut self.rules {
            rule.unknown.push(what.clone());
        }
    }
}

/// The region of an element with a value for each field.
fn combination(fields: &[Value], element: &Value) -> Result<Region, String> {
    let odd = || format!("`{}`", text::expression(element));
    let values = element["concat"].as_array().ok_or_else(odd)?;
    let mut all = Region::all();
    for (own, value) in fields.iter().zip(values) {
        let Condition::Region(region) = condition(field(own)?, std::slice::from_ref(value), false)?
        else {
            return Err(odd());
        };
        all = all.intersect(&region).ok_or_else(odd)?;
    }
    Ok(all)
}

/// `< 1024` and the like as the range that is meant.
fn range_of(operator: &str, right: &Value) -> Option<Value> {
    /// The largest number of the fields that are compared so.
    const LAST: u64 = 65_535;
    let number = right.as_u64()?;
    let (low, high) = match operator {
        "<" => (0, number.checked_sub(1)?),
        "<=" => (0, number),
        ">" => (number + 1, LAST),
        ">=" => (number, LAST),
        _ => return None,
    };
    Some(serde_json::json!({ "range": [low, high] }))
}

fn is_source(key: &Value) -> bool {
    let key = key
        .get("elem")
        .and_then(|elem| elem.get("val"))
        .unwrap_or(key);
    field(key) == Ok(super::expression::Field::From)
}

fn verdict(name: &str, value: &Value, object: &Object) -> Option<Verdict> {
    let target = || {
        let name = value["target"].as_str().or(value.as_str())?;
        Some(object.key(name))
    };
    Some(match name {
        "accept" => Verdict::Accept,
        "drop" => Verdict::Drop,
        "reject" => Verdict::Reject,
        "return" => Verdict::Return,
        "continue" => Verdict::Continue,
        "jump" => Verdict::Jump(target()?),
        "goto" => Verdict::Goto(target()?),
        _ => return None,
    })
}
