//! What `nft -j list ruleset` prints (libnftables-json(5)).

mod expression;
mod names;
mod sets;
mod statement;
mod text;

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{ImportError, position};
use crate::finding::{Finding, Kind};
use crate::model::{Base, Chain, Origin, RuleSet, Verdict};
use crate::region::Region;
use crate::{Imported, Options, Source, import};

/// Makes a policy of what `nft -j list ruleset` prints.
///
/// # Errors
///
/// [`ImportError`] when it is something else, such as the text form of nft.
pub fn nft(source: Source<'_>, options: &Options) -> Result<Imported, ImportError> {
    let mut rules = RuleSet::default();
    let objects = objects(source)?;
    let mut reader = Reader {
        sets: BTreeMap::new(),
        tables: BTreeMap::new(),
    };
    for object in &objects {
        reader.declare(object, &mut rules)?;
    }
    for object in &objects {
        if object.kind == "rule" {
            reader.rule(object, &mut rules)?;
        }
    }
    reader.mention(&mut rules);
    let mut bases: Vec<(i64, usize, Base)> = Vec::new();
    for table in reader.tables.into_values() {
        bases.extend(table.bases);
    }
    // Prerouting comes before input; both in the order of their priorities.
    bases.sort_by_key(|(priority, place, _)| (*place, *priority));
    rules.bases = bases.into_iter().map(|(_, _, base)| base).collect();
    import(&rules, options, source.name)
}

/// An object of the list.
struct Object {
    kind: String,
    value: Value,
    origin: Rc<Origin>,
}

impl Object {
    fn text(&self, key: &str) -> &str {
        self.value[key].as_str().unwrap_or_default()
    }

    fn error(&self, message: impl Into<String>) -> ImportError {
        ImportError::at(&self.origin, 1, message.into())
    }

    /// Family and table, and the name of what is in it.
    fn key(&self, name: &str) -> String {
        format!("{} {} {name}", self.text("family"), self.text("table"))
    }
}

#[derive(serde::Deserialize)]
struct Document<'t> {
    #[serde(borrow)]
    nftables: Vec<&'t RawValue>,
}

fn objects(source: Source<'_>) -> Result<Vec<Object>, ImportError> {
    let Source { name, text } = source;
    let wrong = |line: usize, column: usize, message: String| {
        ImportError::new(name, line.max(1), column, message)
    };
    let start = text.trim_start();
    if !start.starts_with('{') {
        return Err(wrong(1, 1, "this is not the JSON that `nft` prints".into()).with_hint(
            "for the rules in force: nft -j list ruleset > rules.json\n\
             for a file of rules, in a network namespace of its own: unshare -rn sh -c 'nft -f FILE && nft -j list ruleset' > rules.json",
        ));
    }
    let document: Document<'_> = serde_json::from_str(text).map_err(|error| {
        let what = error.to_string();
        let what = what
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        wrong(error.line(), error.column(), what)
            .with_hint("`nft -j list ruleset` prints what can be read here")
    })?;
    let mut objects = Vec::new();
    for raw in document.nftables {
        let offset = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        let (line, column) = position(text, offset);
        let value: BTreeMap<String, Value> = serde_json::from_str(raw.get())
            .map_err(|_not_an_object| wrong(line, column, "an object is expected".into()))?;
        for (kind, value) in value {
            let handle = value["handle"].as_u64();
            let origin = Rc::new(Origin {
                file: name.to_owned(),
                line,
                tag: handle.map_or_else(|| line.to_string(), |handle| handle.to_string()),
                text: text::object(&kind, &value),
            });
            objects.push(Object {
                kind,
                value,
                origin,
            });
        }
    }
    Ok(objects)
}

struct Reader {
    sets: BTreeMap<String, sets::Set>,
    tables: BTreeMap<String, Table>,
}

#[derive(Default)]
struct Table {
    bases: Vec<(i64, usize, Base)>,
    /// Of base chains that are not carried over, by their keys; to be told if they do anything.
    left_out: Vec<(String, Finding)>,
}

impl Reader {
    fn declare(&mut self, object: &Object, rules: &mut RuleSet) -> Result<(), ImportError> {
        match object.kind.as_str() {
            "set" | "map" => {
                let set = sets::Set::new(&object.value);
                self.sets.insert(object.key(object.text("name")), set);
            }
            "chain" => self.chain(object, rules)?,
            _ => {}
        }
        Ok(())
    }

    fn chain(&mut self, object: &Object, rules: &mut RuleSet) -> Result<(), ImportError> {
        let (family, name) = (object.text("family"), object.text("name"));
        if matches!(family, "bridge" | "arp") {
            return Ok(());
        }
        let key = object.key(name);
        let label = match family {
            "ip6" => format!("{name}-v6"),
            _ => name.to_owned(),
        };
        rules.chains.insert(
            key.clone(),
            Chain {
                name: label,
                rules: Vec::new(),
            },
        );
        let hook = object.text("hook");
        let (region, outside) = match family {
            "inet" => (Region::all(), None),
            "ip" => (Region::v4(), Some(Region::v6())),
            "ip6" => (Region::v6(), Some(Region::v4())),
            _ => (Region::all(), None),
        };
        let table = self.tables.entry(object.key("")).or_default();
        let place = match (family, hook, object.text("type")) {
            ("netdev", "ingress", _) | ("inet", "ingress", _) => {
                let mut own = note(
                    object,
                    "chains of devices, at ingress, are not carried over",
                    "their rules are not in the policy",
                );
                own.kind = Kind::Wider;
                table.left_out.push((key, own));
                return Ok(());
            }
            (_, "prerouting", "filter") => 0,
            (_, "input", "filter") => 1,
            (_, "prerouting", _) => {
                table.left_out.push((key, note(object, "portguard decides before addresses are translated", "what arrives here is judged by the port and address that it was sent to, and not by those of this chain")));
                return Ok(());
            }
            (_, "forward", _) => {
                table.left_out.push((key, note(object, "portguard has one list for what comes in, to this host or through it", "what this host forwards is judged by the rules for what it gets itself; this chain is not carried over")));
                return Ok(());
            }
            (_, "output" | "postrouting" | "egress", _) => {
                table.left_out.push((
                    key,
                    note(
                        object,
                        "portguard filters what comes in",
                        "this chain, for what leaves, is not carried over",
                    ),
                ));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let policy = match object.text("policy") {
            "drop" => Verdict::Drop,
            "accept" | "" => Verdict::Accept,
            other => return Err(object.error(format!("`{other}` is no policy of a chain"))),
        };
        let base = Base {
            chain: key,
            region,
            outside,
            policy,
            origin: Rc::clone(&object.origin),
        };
        table
            .bases
            .push((object.value["prio"].as_i64().unwrap_or(0), place, base));
        Ok(())
    }

    fn rule(&self, object: &Object, rules: &mut RuleSet) -> Result<(), ImportError> {
        let key = object.key(object.text("chain"));
        // Of a family that is not read.
        let Some(chain) = rules.chains.get_mut(&key) else {
            return Ok(());
        };
        let read = statement::rules(object, &self.sets)?;
        chain.rules.extend(read.rules);
        rules.findings.extend(read.findings);
        Ok(())
    }

    /// What of chains that are not carried over has to be known: those that have rules or drop.
    fn mention(&mut self, rules: &mut RuleSet) {
        for table in self.tables.values_mut() {
            for (key, finding) in table.left_out.drain(..) {
                let decides = |chain: &Chain| {
                    chain
                        .rules
                        .iter()
                        .any(|rule| rule.verdict != Verdict::Continue)
                };
                let drops = finding.original.contains("policy drop");
                if drops || rules.chains.get(&key).is_some_and(decides) {
                    rules.findings.push(finding);
                }
            }
        }
    }
}

fn note(object: &Object, reason: &str, consequence: &str) -> Finding {
    Finding {
        kind: Kind::Note,
        file: object.origin.file.clone(),
        line: object.origin.line,
        original: object.origin.text.clone(),
        reason: reason.to_owned(),
        consequence: consequence.to_owned(),
    }
}
