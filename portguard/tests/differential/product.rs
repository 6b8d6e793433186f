//! The product on a host: it gets the text of policies and the bytes of frames, nothing else.

use std::path::Path;

use anyhow::Context as _;
use portguard::dataplane::generation::Run;
use portguard::dataplane::{Arrival, BanTable, Banned, Generation, LoadOptions, State};
use portguard_common::abi::{Builtin, FOREVER, Setting};
use portguard_common::classify::Verdict;
use portguard_policy::{
    BanTarget, Evaluator, Outcome, Problem, Severity, Tables, closed_udp_ports,
};
use portguard_reference::generate::{INTERFACES, Written};
use portguard_reference::model::Counters;
use portguard_reference::policy::Prefix;

use crate::counted::Tally;
use crate::fate::Fate;
use crate::generated::{WrittenFiles, outcome_name};
use crate::host::{Host, Memory};

/// The first moment of a run: the product takes 0 for the present.
const START_NS: u64 = 1_000_000_000_000;

/// The index of the first of [`INTERFACES`].
const FIRST_IFINDEX: u32 = 7;

/// More than a sequence makes.
const BANS: u32 = 4096;

/// A host with a policy in force.
pub(crate) struct Product {
    loaded: Loaded,
    state: Option<State>,
    bans: BanTable,
    host: Host,
    tally: Tally,
}

/// One policy.
struct Loaded {
    tables: Tables,
    rules: Vec<String>,
    generation: Generation,
}

/// Why a policy is refused, without its warnings.
fn refusal(problems: &[Problem]) -> anyhow::Error {
    let errors: Vec<&str> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| problem.message.as_str())
        .collect();
    anyhow::anyhow!("a valid policy is refused: {}", errors.join("; "))
}

impl Loaded {
    /// Reads, compiles and loads a policy, which must be a valid one.
    fn new(written: &Written, state: Option<State>) -> anyhow::Result<Self> {
        let checked = portguard_policy::check(&written.text, &mut WrittenFiles(written))
            .map_err(|problems| refusal(&problems))?;
        let tables = portguard_policy::compile(&checked.policy, &INTERFACES)
            .context("a valid policy does not compile")?;
        let names = INTERFACES.map(str::to_owned);
        let options = LoadOptions {
            interfaces: (FIRST_IFINDEX..).zip(names).collect(),
            state,
            bans: BANS,
            count_all_buffers: true,
            // Both ways, and a policy always the same one.
            count_in_pages: written.text.len() % 2 == 1,
            events: None,
            diagnostics: None,
            trace: true,
        };
        let generation = Generation::load(&tables, &options).map_err(|error| {
            // The verifier's log is long, and its end says it all.
            let text = error.to_string();
            let end: Vec<&str> = text.lines().rev().take(6).collect();
            anyhow::anyhow!("the kernel refuses it: {}", end.join(" / "))
        })?;
        let rules = checked.policy.rules.iter();
        Ok(Self {
            rules: rules.map(|rule| rule.name.clone()).collect(),
            tables,
            generation,
        })
    }

    fn name(&self, rule: usize) -> String {
        let name = self.rules.get(rule).cloned();
        name.unwrap_or_else(|| format!("no rule {rule}"))
    }

    fn names(&self, rules: &[usize]) -> Vec<String> {
        rules.iter().map(|rule| self.name(*rule)).collect()
    }

    /// In the words of the model.
    fn outcome(&self, outcome: Outcome) -> String {
        outcome_name(outcome, |rule| self.name(rule))
    }
}

impl Product {
    /// A host whose one policy stays.
    pub(crate) fn new(written: &Written) -> anyhow::Result<Self> {
        Self::on(written, None)
    }

    /// A host on which other policies take effect; what outlives them is kept in this folder.
    pub(crate) fn with_state(written: &Written, folder: &Path) -> anyhow::Result<Self> {
        Self::on(written, Some(State::open(folder)?))
    }

    fn on(written: &Written, state: Option<State>) -> anyhow::Result<Self> {
        let loaded = Loaded::new(written, state.clone())?;
        Ok(Self {
            bans: loaded.generation.bans()?,
            loaded,
            state,
            host: Host::default(),
            tally: Tally::default(),
        })
    }

    /// Another policy takes effect.
    pub(crate) fn take_effect(&mut self, written: &Written, now_ns: u64) -> anyhow::Result<()> {
        let mut next = Loaded::new(written, self.state.clone())?;
        let closed = closed_udp_ports(&self.loaded.tables, &next.tables);
        next.generation
            .close_ports(closed.iter(), START_NS + now_ns)?;
        self.count()?;
        self.loaded = next;
        Ok(())
    }

    /// A source is banned for so long, or for good.
    pub(crate) fn ban(
        &mut self,
        source: Prefix,
        nanoseconds: Option<u64>,
        now_ns: u64,
    ) -> anyhow::Result<()> {
        let source = target(source)?;
        let now_ns = START_NS + now_ns;
        let end = nanoseconds.map_or(FOREVER, |lasts| now_ns + lasts);
        let banned = self.bans.ban(source, end, now_ns)?;
        if banned != Banned::Longer {
            self.host.ban(source, end);
        }
        Ok(())
    }

    /// A ban is taken back, if there is one.
    pub(crate) fn unban(&mut self, source: Prefix) -> anyhow::Result<()> {
        let source = target(source)?;
        self.bans.remove(source)?;
        self.host.unban(source);
        Ok(())
    }

    /// A frame leaves. Without replies nobody looks.
    pub(crate) fn leaves(&self, interface: &str, frame: &[u8], now_ns: u64) -> anyhow::Result<()> {
        if !self.loaded.generation.watches_egress() || !is_runnable(frame) {
            return Ok(());
        }
        let generation = &self.loaded.generation;
        Ok(generation.leaves(frame, passage(interface, now_ns)?)?)
    }

    /// What the kernel program does with a frame that arrives so long after the start, and what the same classifier does
    /// on the host. That sends nothing, so it cannot tell what is answered.
    pub(crate) fn arrives(
        &self,
        interface: &str,
        frame: &[u8],
        now_ns: u64,
    ) -> anyhow::Result<(Fate, Fate)> {
        let loaded = &self.loaded;
        let run = loaded
            .generation
            .run_as(frame, passage(interface, now_ns)?)?;
        let is_reply = run.outcome == Outcome::Builtin(Builtin::Reply);
        let Run {
            dropped,
            answer,
            outcome,
            shadows,
        } = run;
        let by_kernel = Fate {
            dropped,
            outcome: loaded.outcome(outcome),
            shadows: loaded.names(&shadows),
            answered: Some(answer.is_some()),
        };

        self.host.now_ns.set(START_NS + now_ns);
        self.host.is_reply.set(is_reply);
        let memory = Memory {
            host: &self.host,
            tables: &loaded.tables,
        };
        let evaluation = Evaluator::new(&loaded.tables, interface, memory)
            .frame(frame)
            .context("the tables are broken")?;
        let enforced = loaded.tables.settings[Setting::Enforce as usize] != 0;
        let by_host = Fate {
            dropped: enforced && evaluation.judgement.verdict != Verdict::Pass,
            outcome: loaded.outcome(evaluation.outcome),
            shadows: loaded.names(&evaluation.shadows),
            answered: None,
        };
        Ok((by_kernel, by_host))
    }

    /// What the kernel has counted otherwise than the model, a line each.
    pub(crate) fn counted_otherwise(&mut self, expected: &Counters) -> anyhow::Result<Vec<String>> {
        self.count()?;
        Ok(self.tally.differences(expected))
    }

    /// Adds what the policy in force has counted; it is counted no more afterwards.
    fn count(&mut self) -> anyhow::Result<()> {
        let counts = self.loaded.generation.counts()?;
        self.tally.add(&counts, &self.loaded.rules);
        Ok(())
    }

    /// Nothing outlives it.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        if let Some(state) = self.state {
            state.remove()?;
        }
        Ok(())
    }
}

/// Whether the kernel's test run takes what leaves: none whose IP header is cut short, which no stack would send.
fn is_runnable(frame: &[u8]) -> bool {
    let least = match frame.get(12..14) {
        Some([0x08, 0x00]) => 14 + 20,
        Some([0x86, 0xdd]) => 14 + 40,
        _ => 14,
    };
    frame.len() >= least
}

/// A source in the product's words.
fn target(source: Prefix) -> anyhow::Result<BanTarget> {
    Ok(source.to_string().parse::<BanTarget>()?)
}

fn passage(interface: &str, now_ns: u64) -> anyhow::Result<Arrival> {
    let place = INTERFACES.iter().position(|name| *name == interface);
    let place = place.context("the interface is none of the host's")?;
    Ok(Arrival {
        ifindex: FIRST_IFINDEX + u32::try_from(place)?,
        now_ns: START_NS + now_ns,
    })
}
