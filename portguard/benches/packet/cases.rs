//! The cases: a program, and the packets that it is measured with.

use std::net::Ipv4Addr;

use anyhow::{Context as _, bail, ensure};
use portguard::dataplane::measure::Probe;

use portguard::dataplane::{Counts, Generation, LoadOptions, StartedFlow, monotonic_ns};
use portguard_common::abi::FOREVER;
use portguard_common::draw::{Draw, Ports, destination_v4, source_v4};
use portguard_policy::{BanTarget, Files, NoFiles, Prefix, Transport};

use crate::policies;
use crate::report::Row;
use crate::{frames, median};

/// Numbers of the prefixes of the largest set.
const MANY_PREFIXES: u32 = 1_000_000;

/// Flows that are there, well below what their table is sized for.
const FLOWS: u32 = 50_000;

/// Sources that come under a limit.
const LIMITED_SOURCES: u32 = 10_000;

pub(crate) struct Case {
    name: &'static str,
    frame: Vec<u8>,
    runs: Runs,
    /// The filter, where it is one.
    generation: Option<Generation>,
    table_bytes: Option<usize>,
    decided: Option<String>,
    rounds: Vec<f64>,
    hot_rounds: Vec<f64>,
}

enum Runs {
    /// An empty program by itself, on one packet.
    Empty(Probe),
    /// The filter by itself, on one packet.
    Filter,
    /// A program on packets that are drawn, and on one of them again and again: a draw in which there is only one, so
    /// that drawing costs the same.
    Drawn { any: Probe, hot: Probe },
}

/// Names of rows that goals compare.
pub(crate) mod name {
    pub(crate) const FLOOR: &str = "empty";
    pub(crate) const FLOOR_V6: &str = "empty-ipv6";
    pub(crate) const FLOOR_HOT: &str = "empty-hot";
    pub(crate) const HOT: &str = "1-rule-hot";
    pub(crate) const MIXED: &str = "1000-rules-ipv4";
    pub(crate) const MIXED_V6: &str = "1000-rules-ipv6";
    pub(crate) const FLOOD: &str = "flood-closed-ports";
    pub(crate) const PORTS_1: &str = "1-rule-ports";
    pub(crate) const PORTS_10K: &str = "10000-rules-ports";
    pub(crate) const PREFIXES_1: &str = "1-rule-prefixes";
    pub(crate) const PREFIXES_10K: &str = "10000-rules-prefixes";
    pub(crate) const PORT: &str = "1-port";
    pub(crate) const PORTS_65535: &str = "65535-ports";
    pub(crate) const PREFIX: &str = "1-prefix";
    pub(crate) const PREFIXES_1M: &str = "1000000-prefixes";
    pub(crate) const KERNEL_TRIE: &str = "kernel-trie";
    pub(crate) const LIMIT: &str = "limit-per-source";
    pub(crate) const REPLY: &str = "reply";
    pub(crate) const PAIRS: &str = "10000-pairs";
    pub(crate) const BANNED: &str = "banned";
    pub(crate) const BESIDE_BANS: &str = "beside-bans";
}

/// Sources that are banned, each by itself.
const BANNED: u32 = 100_000;

/// Any source of four thousand million, any ports.
const ANY: Draw = Draw {
    sources: u32::MAX,
    destinations: 1 << 16,
    source_ports: Ports {
        first: 0,
        count: 1 << 16,
    },
    ports: Ports {
        first: 0,
        count: 1 << 16,
    },
    paired: 0,
    v6: 0,
};

const fn ports(first: u32, count: u32) -> Ports {
    Ports { first, count }
}

/// All cases.
pub(crate) fn all() -> anyhow::Result<Vec<Case>> {
    let mixed = Draw {
        // Half of the sources, and of the destinations, are in no rule.
        sources: 2_000,
        destinations: 32,
        ports: ports(1, 50),
        ..ANY
    };
    let mixed_v6 = Draw { v6: 1, ..mixed };
    let many_sources = Draw {
        // Half of them in no rule.
        sources: 2 * MANY_PREFIXES,
        ports: ports(53, 1),
        ..ANY
    };
    let ten_thousand_ports = Draw {
        ports: ports(1, 10_000),
        ..ANY
    };
    let ten_thousand_sources = Draw {
        sources: 10_000,
        ports: ports(53, 1),
        ..ANY
    };
    let limited = Draw {
        sources: LIMITED_SOURCES,
        ..many_sources
    };
    let pairs = Draw {
        sources: 10_000,
        ports: ports(1, 10_000),
        paired: 1,
        ..ANY
    };
    let list: Vec<String> = (1..=65_535).map(|port| format!("{port}/udp")).collect();
    let all_ports = policies::rules("", [format!("ports: [{}]", list.join(", "))]);
    let one_prefix = policies::rules("", ["from: [198.51.100.0/24]".into()]);
    let limit =
        "version: 1\nrules:\n  - {name: limit, action: limit, ports: [53/udp], rate: 1000000/s}\n";
    let flood = policies::REPLIES;
    let cases = vec![
        hot_floor()?,
        hot(&policies::rules("", ["ports: [22/tcp]".into()]))?,
        floor(name::FLOOR, ANY)?,
        floor(name::FLOOR_V6, Draw { v6: 1, ..ANY })?,
        case(name::MIXED, mixed, &policies::mixed(1_000))?,
        case(name::MIXED_V6, mixed_v6, &policies::mixed(1_000))?,
        case(name::FLOOD, ANY, flood)?,
        case(
            name::PORTS_1,
            ten_thousand_ports,
            &policies::rules("", ["ports: [\"1-10000/udp\"]".into()]),
        )?,
        case(
            name::PORTS_10K,
            ten_thousand_ports,
            &policies::a_rule_each(10_000),
        )?,
        case(
            name::PREFIXES_1,
            ten_thousand_sources,
            &policies::prefixes_in_one_rule(10_000),
        )?,
        case(
            name::PREFIXES_10K,
            ten_thousand_sources,
            &policies::a_rule_each_prefix(10_000),
        )?,
        case(
            name::PORT,
            Draw {
                ports: ports(22, 1),
                ..ANY
            },
            &policies::rules("", ["ports: [22/udp]".into()]),
        )?,
        case(
            name::PORTS_65535,
            Draw {
                ports: ports(1, 65_535),
                ..ANY
            },
            &all_ports,
        )?,
        case(name::PREFIX, many_sources, &one_prefix)?,
        set_case(many_sources)?,
        kernel_trie(many_sources)?,
        case(name::LIMIT, limited, limit)?,
        reply(flood)?,
        case(name::PAIRS, pairs, &policies::pairs(10_000))?,
        banned(name::BANNED, 0)?,
        banned(name::BESIDE_BANS, BANNED)?,
    ];
    Ok(cases)
}

impl Case {
    fn new(name: &'static str, frame: Vec<u8>, runs: Runs) -> Self {
        Self {
            name,
            frame,
            runs,
            generation: None,
            table_bytes: None,
            decided: None,
            rounds: Vec::new(),
            hot_rounds: Vec::new(),
        }
    }

    fn drawn(name: &'static str, draw: Draw, any: Probe) -> anyhow::Result<Self> {
        let hot = any.with_draw(&one_of(draw))?;
        Ok(Self::new(name, frame(draw), Runs::Drawn { any, hot }))
    }

    pub(crate) fn measure(&mut self, repeat: u32) -> anyhow::Result<()> {
        let time = |probe: &mut Probe| {
            let ns = probe.time(&self.frame, repeat);
            ns.with_context(|| format!("cannot run `{}`", self.name))
        };
        let ns = match (&mut self.runs, &self.generation) {
            (Runs::Filter, Some(generation)) => generation.time(&self.frame, repeat)?,
            (Runs::Filter, None) => bail!("`{}` has no filter", self.name),
            (Runs::Empty(probe), _) => time(probe)?,
            (Runs::Drawn { any, .. }, _) => {
                // Unmeasured: what the case before left in the caches is not what this one finds there while its packets come.
                time(any)?;
                time(any)?
            }
        };
        self.rounds.push(ns);
        let meant = decided_as_meant(self.name);
        if let Some(generation) = &self.generation
            && (self.decided.is_none() || meant.is_some())
        {
            let decided = deciders(&generation.counts()?);
            // In each round: what is kept of a port's time gets old.
            ensure!(
                meant.is_none_or(|meant| decided == format!("{meant} 100%")),
                "`{}` is decided otherwise than meant: {decided}",
                self.name
            );
            // Before the one packet is counted among those that were drawn.
            self.decided.get_or_insert(decided);
        }
        if let Runs::Drawn { hot, .. } = &mut self.runs {
            self.hot_rounds.push(time(hot)?);
        }
        Ok(())
    }

    pub(crate) fn row(self) -> Row {
        Row {
            level: "packet",
            name: self.name.into(),
            value: median(self.rounds.clone()),
            unit: "ns",
            hot: (!self.hot_rounds.is_empty()).then(|| median(self.hot_rounds)),
            table_bytes: self.table_bytes,
            decided: self.decided,
            rounds: self.rounds,
        }
    }
}

/// The first packet of those that are drawn, alone.
fn one_of(draw: Draw) -> Draw {
    Draw {
        sources: 1,
        destinations: 1,
        source_ports: ports(draw.source_ports.first, 1),
        ports: ports(draw.ports.first, 1),
        paired: 0,
        ..draw
    }
}

/// What decides all packets of a row that depends on more than its policy: otherwise it would measure something else.
fn decided_as_meant(name: &str) -> Option<&'static str> {
    match name {
        name::REPLY => Some("reply"),
        name::FLOOD => Some("default-drop"),
        name::BANNED => Some("banned"),
        name::BESIDE_BANS => Some("default-pass"),
        _ => None,
    }
}

/// What decided most packets, and how many of a hundred; the rules taken together.
fn deciders(counts: &Counts) -> String {
    let all = counts.frames().packets.max(1);
    let rules: u64 = counts.rules.iter().map(|rule| rule.decided.packets).sum();
    let limited: u64 = counts.rules.iter().map(|rule| rule.limited.packets).sum();
    let builtin = counts
        .builtin
        .iter()
        .map(|(builtin, count)| (builtin.name(), count.packets));
    let mut steps: Vec<(&str, u64)> = [("rule", rules), ("limit", limited)]
        .into_iter()
        .chain(builtin)
        .filter(|(_, packets)| *packets > 0)
        .collect();
    steps.sort_by_key(|(_, packets)| std::cmp::Reverse(*packets));
    let steps: Vec<String> = steps
        .into_iter()
        .map(|(name, packets)| format!("{name} {}%", (packets * 100 + all / 2) / all))
        .collect();
    steps.join(", ")
}

fn hot_floor() -> anyhow::Result<Case> {
    let probe = Probe::empty().context("cannot load the empty program")?;
    Ok(Case::new(
        name::FLOOR_HOT,
        frames::syn(),
        Runs::Empty(probe),
    ))
}

fn hot(policy: &str) -> anyhow::Result<Case> {
    let (generation, table_bytes) = generation(policy, &mut NoFiles)?;
    let frame = frames::syn();
    ensure!(generation.run(&frame)?.dropped, "the frame is not dropped");
    let mut case = Case::new(name::HOT, frame, Runs::Filter);
    case.generation = Some(generation);
    case.table_bytes = Some(table_bytes);
    Ok(case)
}

fn floor(name: &'static str, draw: Draw) -> anyhow::Result<Case> {
    let probe = Probe::drawn_empty(&draw).context("cannot load the empty program")?;
    Case::drawn(name, draw, probe)
}

fn kernel_trie(draw: Draw) -> anyhow::Result<Case> {
    let prefixes: Vec<_> = (0..MANY_PREFIXES).map(policies::source_prefix).collect();
    let probe = Probe::drawn_kernel_trie(&draw, &prefixes)?;
    Case::drawn(name::KERNEL_TRIE, draw, probe)
}

fn case(name: &'static str, draw: Draw, policy: &str) -> anyhow::Result<Case> {
    case_with_files(name, draw, policy, &mut NoFiles)
}

fn case_with_files(
    name: &'static str,
    draw: Draw,
    policy: &str,
    files: &mut impl Files,
) -> anyhow::Result<Case> {
    let (generation, table_bytes) =
        generation(policy, files).with_context(|| format!("cannot make `{name}`"))?;
    drawn(name, draw, generation, table_bytes)
}

fn drawn(
    name: &'static str,
    draw: Draw,
    generation: Generation,
    table_bytes: usize,
) -> anyhow::Result<Case> {
    let mut case = Case::drawn(name, draw, Probe::drawn_filter(&draw, &generation)?)?;
    case.generation = Some(generation);
    case.table_bytes = Some(table_bytes);
    Ok(case)
}

fn frame(draw: Draw) -> Vec<u8> {
    if draw.v6 == 0 {
        frames::udp_v4()
    } else {
        frames::udp_v6()
    }
}

/// The policy with the file of its set.
fn set_case(draw: Draw) -> anyhow::Result<Case> {
    struct SetFile;
    impl Files for SetFile {
        fn read(&mut self, _name: &str) -> Result<Vec<u8>, String> {
            Ok(policies::set_file(MANY_PREFIXES).into_bytes())
        }
    }
    case_with_files(name::PREFIXES_1M, draw, policies::DROPS_A_SET, &mut SetFile)
}

/// Packets to one port, each of a flow that this side started.
fn reply(policy: &str) -> anyhow::Result<Case> {
    const OURS: u16 = 40_000;
    const THEIRS: u16 = 53;
    /// Later than any time at which this will be looked up. What is kept of the port's time is the same 2⁴⁰ ns earlier and later, so that is the
    /// present, and lasts for three minutes.
    const NEVER_OLD_NS: u64 = 1 << 62;
    const REPEATS_NS: u64 = 1 << 40;
    let draw = Draw {
        sources: FLOWS,
        destinations: 1,
        source_ports: ports(THEIRS.into(), 1),
        ports: ports(OURS.into(), 1),
        ..ANY
    };
    let (mut generation, table_bytes) = generation(policy, &mut NoFiles)?;
    let flow = |number| StartedFlow {
        ours: (Ipv4Addr::from(destination_v4(0)), OURS).into(),
        theirs: (Ipv4Addr::from(source_v4(number)), THEIRS).into(),
        protocol: Transport::Udp,
    };
    let flows: Vec<StartedFlow> = (0..FLOWS).map(flow).collect();
    generation.add_flows(&flows, NEVER_OLD_NS + monotonic_ns() % REPEATS_NS)?;
    drawn(name::REPLY, draw, generation, table_bytes)
}

/// Packets of as many sources as are banned, where it is those from this number on that are.
fn banned(name: &'static str, first: u32) -> anyhow::Result<Case> {
    let draw = Draw {
        sources: BANNED,
        ..ANY
    };
    let policy = policies::rules("", ["ports: [22/tcp]".into()]);
    let (generation, table_bytes) = generation_with(&policy, &mut NoFiles, BANNED)?;
    let mut bans = generation.bans()?;
    for number in first..first + BANNED {
        let source = Prefix::new(Ipv4Addr::from(source_v4(number)).into(), 32);
        let target = source.and_then(BanTarget::new).context("an address")?;
        bans.ban(target, FOREVER, 0)?;
    }
    drawn(name, draw, generation, table_bytes)
}

fn generation(policy: &str, files: &mut impl Files) -> anyhow::Result<(Generation, usize)> {
    generation_with(policy, files, 0)
}

/// With room for so many bans.
fn generation_with(
    policy: &str,
    files: &mut impl Files,
    bans: u32,
) -> anyhow::Result<(Generation, usize)> {
    let checked = portguard_policy::check(policy, files)
        .map_err(|problems| anyhow::anyhow!("the policy is refused: {:?}", problems.first()))?;
    let tables = portguard_policy::compile(&checked.policy, &["lo", "eth0"])?;
    // Measured packets come from the loopback interface.
    let options = LoadOptions {
        interfaces: vec![(1, "lo".into()), (2, "eth0".into())],
        bans,
        ..LoadOptions::default()
    };
    let generation = Generation::load(&tables, &options).context("cannot load the filter")?;
    Ok((generation, tables.bytes()))
}
