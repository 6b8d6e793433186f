//! What `iptables-save` and `ip6tables-save` print.

mod matches;
mod rates;
mod values;
mod words;

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error::ImportError;
use crate::finding::{Finding, Kind};
use crate::model::{Base, Chain, Origin, Rule, RuleSet, Verdict};
use crate::region::Region;
use crate::{Imported, Options, Source, import};

pub(crate) use values::address_type;
pub(crate) use words::words;

/// Makes a policy of what `iptables-save` and `ip6tables-save` print, in one file or in two. A part that does not say
/// which of them it comes from is of the family that its file has: `v6` for the second one.
///
/// # Errors
///
/// [`ImportError`] at the first line that is not of that form.
pub fn iptables(sources: &[Source<'_>], options: &Options) -> Result<Imported, ImportError> {
    let mut tables = Tables::default();
    for (number, source) in sources.iter().enumerate() {
        let family = if number == 0 { Family::V4 } else { Family::V6 };
        tables.read(*source, family)?;
    }
    let mut rules = tables.rule_set()?;
    let seen = tables.families();
    if seen.is_empty() {
        let source = sources.first().map_or("", |source| source.name);
        return Err(
            ImportError::new(source, 1, 1, "there is no table in it".into())
                .with_hint("`iptables-save` and `ip6tables-save` print what can be read here"),
        );
    }
    for (family, name, tool) in [
        (Family::V4, "IPv4", "iptables-save"),
        (Family::V6, "IPv6", "ip6tables-save"),
    ] {
        if !seen.contains(&family) {
            rules.findings.push(Finding {
                kind: Kind::Note,
                file: sources.first().map_or("", |source| source.name).to_owned(),
                line: 0,
                original: String::new(),
                reason: format!("there are no rules for {name} in it"),
                consequence: format!(
                    "portguard passes all of {name}; add what `{tool}` prints to have its rules"
                ),
            });
        }
    }
    let names: Vec<&str> = sources.iter().map(|source| source.name).collect();
    import(&rules, options, &names.join(" and "))
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn region(self) -> Region {
        match self {
            Self::V4 => Region::v4(),
            Self::V6 => Region::v6(),
        }
    }

    fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// Tables as they are read.
#[derive(Default)]
pub(crate) struct Tables {
    /// By family, table and name.
    chains: BTreeMap<(Family, String, String), Own>,
    findings: Vec<Finding>,
}

/// A chain, and its policy if it is a built-in one.
struct Own {
    policy: Option<Verdict>,
    origin: Rc<Origin>,
    rules: Vec<Rule>,
}

/// Built-in chains that what comes in meets, in this order.
const INPUT: [(&str, &str); 4] = [
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("mangle", "INPUT"),
    ("filter", "INPUT"),
];

impl Tables {
    /// Reads a file; chains that are there already get its rules as well, as with `iptables-restore --noflush`.
    pub(crate) fn read(
        &mut self,
        source: Source<'_>,
        mut family: Family,
    ) -> Result<(), ImportError> {
        let mut table: Option<String> = None;
        for (index, line) in source.text.lines().enumerate() {
            let origin = Rc::new(Origin {
                file: source.name.to_owned(),
                line: index + 1,
                tag: (index + 1).to_string(),
                text: line.trim().to_owned(),
            });
            let line = line.trim();
            let outside = || {
                ImportError::at(&origin, 1, "this stands in no table".into())
                    .with_hint("a table begins with `*filter` and ends with `COMMIT`, as `iptables-save` prints it")
            };
            match line.as_bytes().first() {
                None => {}
                Some(b'#') => {
                    if line.contains("ip6tables-save") {
                        family = Family::V6;
                    } else if line.contains("iptables-save") {
                        family = Family::V4;
                    }
                }
                Some(b'*') => table = Some(line[1..].trim().to_owned()),
                Some(b':') => {
                    let table = table.as_ref().ok_or_else(outside)?;
                    self.declare(family, table, line, &origin)?;
                }
                Some(_) if line == "COMMIT" => table = None,
                Some(_) => {
                    let table = table.as_ref().ok_or_else(outside)?;
                    self.rule(family, table, line, &origin)?;
                }
            }
        }
        Ok(())
    }

    fn declare(
        &mut self,
        family: Family,
        table: &str,
        line: &str,
        origin: &Rc<Origin>,
    ) -> Result<(), ImportError> {
        let mut parts = line[1..].split_whitespace();
        let (Some(name), Some(policy)) = (parts.next(), parts.next()) else {
            return Err(ImportError::at(
                origin,
                1,
                "a chain is written `:NAME POLICY [PACKETS:BYTES]`".into(),
            ));
        };
        let policy = match policy {
            "-" => None,
            "ACCEPT" => Some(Verdict::Accept),
            "DROP" => Some(Verdict::Drop),
            other => {
                let message = format!(
                    "`{other}` is no policy of a chain: `ACCEPT`, `DROP` or `-` is expected"
                );
                return Err(ImportError::at(origin, 2 + name.len() + 1, message));
            }
        };
        let own = self.own(family, table, name, origin);
        own.policy = policy;
        own.origin = Rc::clone(origin);
        Ok(())
    }

    fn own(&mut self, family: Family, table: &str, name: &str, origin: &Rc<Origin>) -> &mut Own {
        let key = (family, table.to_owned(), name.to_owned());
        self.chains.entry(key).or_insert_with(|| Own {
            policy: None,
            origin: Rc::clone(origin),
            rules: Vec::new(),
        })
    }

    fn rule(
        &mut self,
        family: Family,
        table: &str,
        line: &str,
        origin: &Rc<Origin>,
    ) -> Result<(), ImportError> {
        let words = words(line, origin)?;
        let mut words = words.into_iter().peekable();
        // `iptables-save -c` writes counters in front.
        if words.peek().is_some_and(|word| word.text.starts_with('[')) {
            words.next();
        }
        let command = words.next().map(|word| word.text);
        let command = command.as_deref().unwrap_or_default();
        if !matches!(command, "-A" | "--append" | "-I" | "--insert") {
            return Err(
                ImportError::at(origin, 1, "a rule begins with `-A CHAIN`".into())
                    .with_hint("`iptables-save` prints what can be read here, not `iptables -L`"),
            );
        }
        let Some(chain) = words.next() else {
            return Err(ImportError::at(
                origin,
                1,
                format!("`{command}` has no chain"),
            ));
        };
        let number = words
            .next_if(|word| word.text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|word| word.text.parse::<usize>().ok());
        let read = matches::rules(words.collect(), family, table, origin)?;
        self.findings.extend(read.findings);
        let rules = &mut self.own(family, table, &chain.text, origin).rules;
        let at = match command {
            "-I" | "--insert" => number.unwrap_or(1).saturating_sub(1).min(rules.len()),
            _ => rules.len(),
        };
        rules.splice(at..at, read.rules);
        Ok(())
    }

    pub(crate) fn families(&self) -> Vec<Family> {
        let mut all: Vec<Family> = self.chains.keys().map(|(family, ..)| *family).collect();
        all.dedup();
        all
    }

    /// Sets what happens at the end of the chain for what comes in.
    pub(crate) fn set_input_policy(
        &mut self,
        family: Family,
        policy: &Verdict,
        origin: &Rc<Origin>,
    ) {
        self.own(family, "filter", "INPUT", origin).policy = Some(policy.clone());
    }

    /// Adds a chain if it is not there.
    pub(crate) fn supply(
        &mut self,
        family: Family,
        name: &str,
        rules: Vec<Rule>,
        origin: &Rc<Origin>,
    ) {
        let own = self.own(family, "filter", name, origin);
        if own.rules.is_empty() {
            own.rules = rules;
        }
    }

    /// Adds rules to the end of a chain.
    pub(crate) fn append(&mut self, family: Family, name: &str, rule: Rule, origin: &Rc<Origin>) {
        self.own(family, "filter", name, origin).rules.push(rule);
    }

    pub(crate) fn has(&self, family: Family, name: &str) -> bool {
        self.chains
            .contains_key(&(family, "filter".to_owned(), name.to_owned()))
    }

    pub(crate) fn rule_set(&self) -> Result<RuleSet, ImportError> {
        let mut rules = RuleSet {
            findings: self.findings.clone(),
            ..RuleSet::default()
        };
        for ((family, table, name), own) in &self.chains {
            rules.chains.insert(
                key(*family, table, name),
                Chain {
                    name: match family {
                        Family::V4 => name.clone(),
                        Family::V6 if name.contains('6') => name.clone(),
                        Family::V6 => format!("{name}-v6"),
                    },
                    rules: own.rules.clone(),
                },
            );
            self.mention(*family, table, name, own, &mut rules);
        }
        for family in [Family::V4, Family::V6] {
            for (table, name) in INPUT {
                let place = (family, table.to_owned(), name.to_owned());
                let Some(own) = self.chains.get(&place) else {
                    continue;
                };
                rules.bases.push(Base {
                    chain: key(family, table, name),
                    region: family.region(),
                    outside: Some(family.other().region()),
                    policy: own.policy.clone().unwrap_or(Verdict::Accept),
                    origin: Rc::clone(&own.origin),
                });
            }
        }
        Ok(rules)
    }

    /// What portguard does not do at all.
    fn mention(&self, _family: Family, table: &str, name: &str, own: &Own, rules: &mut RuleSet) {
        let drops = own.policy == Some(Verdict::Drop);
        let has_rules = !own.rules.is_empty();
        let (reason, consequence) = match (table, name) {
            ("nat", "PREROUTING") if has_rules => (
                "portguard decides before addresses are translated",
                "what arrives here is judged by the port and address that it was sent to, and not by those of this chain; on a host that forwards, pass them",
            ),
            ("filter", "FORWARD") if has_rules || drops => (
                "portguard has one list for what comes in, to this host or through it",
                "what this host forwards is judged by the rules for what it gets itself; this chain is not carried over",
            ),
            ("filter", "OUTPUT") if has_rules || drops => (
                "portguard filters what comes in",
                "what leaves is not filtered; this chain is not carried over",
            ),
            _ => return,
        };
        rules.findings.push(Finding {
            kind: Kind::Note,
            file: own.origin.file.clone(),
            line: own.origin.line,
            original: own.origin.text.clone(),
            reason: reason.into(),
            consequence: consequence.into(),
        });
    }
}

pub(crate) fn key(family: Family, table: &str, name: &str) -> String {
    format!("{} {table} {name}", family.name())
}
