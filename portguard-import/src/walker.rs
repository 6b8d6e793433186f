//! The way of packets through the chains, for [`walk`](crate::walk::walk).

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::error::ImportError;
use crate::model::{Chain, Origin, RateTest, Rule, RuleSet, States, Verdict};
use crate::region::Region;
use crate::walk::{Class, Decided, Item};

/// What is on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Guard {
    region: Region,
    unknown: Vec<String>,
    changing: Option<String>,
}

/// Where the rest of a chain goes on, and of the chains that have called it.
#[derive(Clone, Copy)]
struct Frame<'a> {
    chain: &'a str,
    next: usize,
    parent: Option<&'a Frame<'a>>,
}

/// Whether a chain has decided all that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Open,
}

/// Who decides.
#[derive(Clone)]
struct By {
    origin: Rc<Origin>,
    chain: String,
}

/// Rules looked at, all ways through the chains taken together.
const MOST_STEPS: usize = 500_000;
/// Chains within chains; the kernel allows 16.
const MOST_DEPTH: usize = 64;

pub(crate) struct Walker<'r> {
    rules: &'r RuleSet,
    class: Class,
    pub(crate) items: Vec<Item>,
    /// See [`Walked`](crate::walk::Walked).
    pub(crate) assumed: Option<Rc<Origin>>,
    /// Chains that decide nothing.
    inert: BTreeSet<&'r str>,
    steps: usize,
    depth: usize,
}

pub(crate) type Step<T = ()> = Result<T, ImportError>;

impl<'r> Walker<'r> {
    pub(crate) fn new(rules: &'r RuleSet, class: Class) -> Self {
        Self {
            rules,
            class,
            items: Vec::new(),
            assumed: None,
            inert: inert(rules),
            steps: 0,
            depth: 0,
        }
    }

    /// Follows all packets of a region from the first base chain on.
    pub(crate) fn start(&mut self, region: &Region) -> Step {
        let guard = Guard {
            region: region.clone(),
            unknown: Vec::new(),
            changing: None,
        };
        self.enter(0, &guard, None)
    }

    /// From a base chain on; behind the last one, all pass.
    fn enter(&mut self, base: usize, guard: &Guard, by: Option<&By>) -> Step {
        let rules = self.rules;
        let Some(own) = rules.bases.get(base) else {
            let nobody = || By {
                origin: Rc::new(Origin {
                    file: String::new(),
                    line: 0,
                    tag: "all".into(),
                    text: "no chain drops anything".into(),
                }),
                chain: "end".into(),
            };
            let by = by.cloned().unwrap_or_else(nobody);
            self.emit(guard, Decided::Pass, &by, false);
            return Ok(());
        };
        if let Some(inside) = narrowed(guard, &own.region)
            && self.chain(&own.chain, 0, &inside, None, base)? == End::Open
        {
            self.policy(base, &inside)?;
        }
        match &own.outside {
            Some(outside) => match narrowed(guard, outside) {
                Some(outside) => self.enter(base + 1, &outside, by),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    fn policy(&mut self, base: usize, guard: &Guard) -> Step {
        let own = &self.rules.bases[base];
        let chain = self.find(&own.chain, &own.origin)?;
        let by = By {
            origin: Rc::clone(&own.origin),
            chain: chain.name.clone(),
        };
        match own.policy {
            Verdict::Accept => self.enter(base + 1, guard, Some(&by)),
            Verdict::Reject => {
                self.emit(guard, Decided::Reject, &by, false);
                Ok(())
            }
            _ => {
                self.emit(guard, Decided::Drop, &by, false);
                Ok(())
            }
        }
    }

    /// The rest of the callers, to the end of the base chain.
    fn resume(&mut self, frame: Option<&Frame<'_>>, base: usize, guard: &Guard) -> Step {
        let mut next = frame;
        while let Some(frame) = next {
            if self.chain(frame.chain, frame.next, guard, frame.parent, base)? == End::Closed {
                return Ok(());
            }
            next = frame.parent;
        }
        self.policy(base, guard)
    }

    fn find(&self, name: &str, origin: &Origin) -> Step<&Chain> {
        self.rules
            .chains
            .get(name)
            .ok_or_else(|| ImportError::at(origin, 1, format!("there is no chain `{name}`")))
    }

    fn chain(
        &mut self,
        name: &str,
        start: usize,
        guard: &Guard,
        parent: Option<&Frame<'_>>,
        base: usize,
    ) -> Step<End> {
        let rules = self.rules;
        let origin = &rules.bases[base].origin;
        let Some(chain) = rules.chains.get(name) else {
            return self.find(name, origin).map(|_| End::Open);
        };
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return Err(ImportError::at(
                origin,
                1,
                format!(
                    "chain `{name}` calls itself, or chains call each other more than {MOST_DEPTH} deep"
                ),
            ));
        }
        let mut end = End::Open;
        for (index, rule) in chain.rules.iter().enumerate().skip(start) {
            self.count(&rule.origin)?;
            let here = Frame {
                chain: name,
                next: index + 1,
                parent,
            };
            let by = By {
                origin: Rc::clone(&rule.origin),
                chain: chain.name.clone(),
            };
            match self.rule(rule, guard, &here, base, &by)? {
                Outcome::Next => {}
                Outcome::Closed => {
                    end = End::Closed;
                    break;
                }
                Outcome::Back => break,
            }
        }
        self.depth -= 1;
        Ok(end)
    }

    fn rule(
        &mut self,
        rule: &Rule,
        guard: &Guard,
        here: &Frame<'_>,
        base: usize,
        by: &By,
    ) -> Step<Outcome> {
        let Some(mut inside) = self.matched(rule, guard) else {
            return Ok(Outcome::Next);
        };
        let decides = match &rule.verdict {
            Verdict::Continue => false,
            Verdict::Jump(chain) => {
                !self.inert.contains(chain.as_str()) && !self.passes_by(chain, &inside.region)
            }
            _ => true,
        };
        if !decides {
            return Ok(Outcome::Next);
        }
        let begins = !rule.flags.is_empty() || !rule.states.meets(States::INVALID);
        if begins && inside.unknown.is_empty() && self.assumed.is_none() {
            self.assumed = Some(Rc::clone(&rule.origin));
        }
        if let Some(limit) = rule.limit {
            match self.limited(rule, limit, &inside, here, base)? {
                Limited::Exact => {
                    let counts_all = rule.states == States::ALL && rule.flags.is_empty();
                    self.emit(&inside, Decided::Limit(limit.rate), by, counts_all);
                    let closed = inside == *guard;
                    return Ok(if closed {
                        Outcome::Closed
                    } else {
                        Outcome::Next
                    });
                }
                Limited::NoMatter => return Ok(Outcome::Next),
                // What is beyond the rate would be dropped; what is within goes on.
                Limited::Return => {
                    let mut beyond = inside.clone();
                    beyond
                        .unknown
                        .push("a rate, within which its packets go on to other rules".into());
                    self.emit(&beyond, Decided::Drop, by, false);
                }
                Limited::Mixed => inside.unknown.push(
                    "a rate, beyond which its packets do not all have the same fate".to_owned(),
                ),
            }
        }
        let whole = inside == *guard;
        let closed = |end: End| match (whole, end) {
            (true, End::Closed) => Outcome::Closed,
            _ => Outcome::Next,
        };
        match &rule.verdict {
            Verdict::Continue => Ok(Outcome::Next),
            Verdict::Accept => {
                self.enter(base + 1, &inside, Some(by))?;
                Ok(closed(End::Closed))
            }
            Verdict::Drop | Verdict::Reject => {
                let decided = match rule.verdict {
                    Verdict::Reject => Decided::Reject,
                    _ => Decided::Drop,
                };
                self.emit(&inside, decided, by, false);
                Ok(closed(End::Closed))
            }
            Verdict::Return if whole => Ok(Outcome::Back),
            // If it is not known whether it returns, nor is what is decided there.
            Verdict::Return => {
                self.resume(here.parent, base, &inside)?;
                Ok(Outcome::Next)
            }
            Verdict::Jump(chain) => {
                let end = self.chain(chain, 0, &inside, Some(here), base)?;
                Ok(closed(end))
            }
            Verdict::Goto(chain) => {
                if self.chain(chain, 0, &inside, here.parent, base)? == End::Open {
                    self.resume(here.parent, base, &inside)?;
                }
                Ok(closed(End::Closed))
            }
        }
    }

    /// What a rate makes of a rule, by what follows within it and beyond.
    fn limited(
        &mut self,
        rule: &Rule,
        limit: RateTest,
        inside: &Guard,
        here: &Frame<'_>,
        base: usize,
    ) -> Step<Limited> {
        if !inside.unknown.is_empty() || inside.changing.is_some() {
            return Ok(Limited::Mixed);
        }
        let matched = self.probe(|own| own.take(&rule.verdict, inside, here, base))?;
        let passed_by = self.probe(|own| own.resume(Some(here), base, inside))?;
        let (within, beyond) = if limit.over {
            (passed_by, matched)
        } else {
            (matched, passed_by)
        };
        Ok(match (within, beyond) {
            (Fate::Pass, Fate::Drop) => Limited::Exact,
            (Fate::Pass, Fate::Pass) | (Fate::Drop, Fate::Drop) => Limited::NoMatter,
            (Fate::Mixed, Fate::Drop) if rule.verdict == Verdict::Return => Limited::Return,
            _ => Limited::Mixed,
        })
    }

    /// Follows a verdict to the end.
    fn take(&mut self, verdict: &Verdict, inside: &Guard, here: &Frame<'_>, base: usize) -> Step {
        let by = By {
            origin: Rc::clone(&self.rules.bases[base].origin),
            chain: String::new(),
        };
        match verdict {
            Verdict::Accept => self.enter(base + 1, inside, Some(&by)),
            Verdict::Drop | Verdict::Reject => {
                self.emit(inside, Decided::Drop, &by, false);
                Ok(())
            }
            Verdict::Return => self.resume(here.parent, base, inside),
            Verdict::Continue => self.resume(Some(here), base, inside),
            Verdict::Jump(chain) => match self.chain(chain, 0, inside, Some(here), base)? {
                End::Closed => Ok(()),
                End::Open => self.resume(Some(here), base, inside),
            },
            Verdict::Goto(chain) => match self.chain(chain, 0, inside, here.parent, base)? {
                End::Closed => Ok(()),
                End::Open => self.resume(here.parent, base, inside),
            },
        }
    }

    /// Whether a chain sends back all packets of a region before it decides anything, as ufw's `ufw-not-local` does.
    fn passes_by(&self, chain: &str, region: &Region) -> bool {
        let Some(chain) = self.rules.chains.get(chain) else {
            return false;
        };
        let mut rest = region.clone();
        for rule in &chain.rules {
            match &rule.verdict {
                Verdict::Continue => {}
                Verdict::Jump(to) if self.inert.contains(to.as_str()) => {}
                Verdict::Return => {
                    let is_plain = rule.states == States::ALL
                        && rule.flags.is_empty()
                        && rule.unknown.is_empty()
                        && rule.limit.is_none()
                        && rule.changing.is_none();
                    if is_plain {
                        match rest.without(&rule.region) {
                            Some(left) => rest = left,
                            None => return true,
                        }
                    }
                }
                _ if rule.region.meets(&rest) => return false,
                _ => {}
            }
        }
        true
    }

    /// What comes of a way, without taking it.
    fn probe(&mut self, way: impl FnOnce(&mut Self) -> Step) -> Step<Fate> {
        let kept = std::mem::take(&mut self.items);
        let taken = way(self);
        let found = std::mem::replace(&mut self.items, kept);
        taken?;
        let passes = found.iter().all(|item| item.decided == Decided::Pass);
        let drops = found
            .iter()
            .all(|item| matches!(item.decided, Decided::Drop | Decided::Reject));
        Ok(match (passes, drops) {
            (true, _) => Fate::Pass,
            (_, true) => Fate::Drop,
            _ => Fate::Mixed,
        })
    }

    /// What of the guard a rule matches.
    fn matched(&self, rule: &Rule, guard: &Guard) -> Option<Guard> {
        let mut inside = narrowed(guard, &rule.region)?;
        let by_flags = rule.flags.iter().all(|own| own.holds(self.class.flags()));
        if !(by_flags && rule.states.meets(self.class.state())) {
            // What is lost with it is told once, for the packets that begin.
            let elsewhere = States::INVALID.union(States::UNTRACKED);
            if self.class != Class::First {
                return None;
            }
            if !by_flags {
                inside
                    .unknown
                    .push("flags of TCP other than those of a first packet".into());
            } else if rule.states.meets(elsewhere) {
                inside.unknown.push("the state of what others begin".into());
            } else {
                return None;
            }
        }
        inside.unknown.extend(rule.unknown.iter().cloned());
        if let Some(changing) = &rule.changing {
            inside.changing = Some(changing.clone());
        }
        Some(inside)
    }

    fn count(&mut self, origin: &Origin) -> Step {
        self.steps += 1;
        if self.steps <= MOST_STEPS {
            return Ok(());
        }
        Err(ImportError::at(
            origin,
            1,
            "there are too many ways through the chains to write them all out".into(),
        ))
    }

    fn emit(&mut self, guard: &Guard, decided: Decided, by: &By, counts_all: bool) {
        self.items.push(Item {
            region: guard.region.clone(),
            decided,
            origin: Rc::clone(&by.origin),
            chain: by.chain.clone(),
            unknown: guard.unknown.clone(),
            changing: guard.changing.clone(),
            counts_all,
        });
    }
}

/// Chains that only log, count or come back: whatever their conditions, packets go on behind the jump.
fn inert(rules: &RuleSet) -> BTreeSet<&str> {
    let mut inert = BTreeSet::new();
    loop {
        let more = rules.chains.iter().filter(|(name, chain)| {
            let passes_by = |rule: &Rule| match &rule.verdict {
                Verdict::Continue | Verdict::Return => true,
                Verdict::Jump(to) => inert.contains(to.as_str()),
                _ => false,
            };
            !inert.contains(name.as_str()) && chain.rules.iter().all(passes_by)
        });
        let more: Vec<&str> = more.map(|(name, _)| name.as_str()).collect();
        if more.is_empty() {
            return inert;
        }
        inert.extend(more);
    }
}

fn narrowed(guard: &Guard, region: &Region) -> Option<Guard> {
    let region = guard.region.intersect(region)?;
    Some(Guard {
        region,
        unknown: guard.unknown.clone(),
        changing: guard.changing.clone(),
    })
}

/// What a rule leaves to do.
enum Outcome {
    /// Go on with the next rule.
    Next,
    /// All is decided.
    Closed,
    /// Go back to the caller.
    Back,
}

/// What becomes of a rate.
enum Limited {
    /// It passes up to the rate, and drops beyond.
    Exact,
    /// Within and beyond the same happens.
    NoMatter,
    /// It returns within the rate, to rules that decide, and is dropped beyond.
    Return,
    /// Something else.
    Mixed,
}

/// What becomes of all packets of a region.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Drop,
    Mixed,
}
