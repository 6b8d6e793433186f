//! Getting a large policy into the kernel: time and memory. Each figure comes from a process of its own, whose
//! memory is nobody else's.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use portguard::dataplane::{Generation, LoadOptions, measure};
use portguard::policy_file;
use serde::{Deserialize, Serialize};

use crate::report::Row;
use crate::{median, policies};

/// The first argument of such a process; the second is the policy, and any third says not to load it.
pub(crate) const CHILD: &str = "--child";

/// Names of rows.
pub(crate) const RULES: &str = "compile-10000-rules";
pub(crate) const PORTS: &str = "compile-65535-ports";
pub(crate) const SET: &str = "load-1000000-prefixes";
pub(crate) const SET_MEMORY: &str = "memory-1000000-prefixes";
/// Small policies, of which most of the time is the verifier's.
const ONE_RULE: &str = "load-1-rule";
const REPLIES: &str = "load-replies";
const EVERYTHING: &str = "load-everything";

/// Rounds, an odd number.
const ROUNDS: usize = 7;

#[derive(Serialize, Deserialize)]
struct Figures {
    ms: f64,
    /// Most memory of the process at any time, and of its maps at the end.
    process_bytes: u64,
    map_bytes: u64,
    /// What the verifier went through.
    verified_instructions: Option<u32>,
}

/// Measures one policy and prints the figures.
pub(crate) fn child(policy: &Path, loads: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    let loaded = match policy_file::load(policy) {
        Ok(loaded) => loaded,
        Err(error) => bail!("{error}: {error:?}"),
    };
    let generation = loads
        .then(|| Generation::load(&loaded.tables, &LoadOptions::default()))
        .transpose()?;
    let ms = start.elapsed().as_secs_f64() * 1000.0;
    let map_bytes = measure::map_bytes()?;
    let verified_instructions = match &generation {
        Some(generation) => generation.verified_instructions()?,
        None => None,
    };
    drop(generation);
    let figures = Figures {
        ms,
        process_bytes: most_memory()?,
        map_bytes,
        verified_instructions,
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

pub(crate) fn rows() -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).map(|()| path)
    };
    let rules = write("rules.yaml", &policies::pairs(10_000))?;
    let list: Vec<String> = (1..=65_535).map(|port| port.to_string()).collect();
    let ports = policies::rules("", [format!("ports: [{}]", list.join(", "))]);
    let ports = write("ports.yaml", &ports)?;
    let prefixes = write("prefixes.yaml", policies::DROPS_A_SET)?;
    write("set", &policies::set_file(1_000_000))?;

    let one_rule = write(
        "one-rule.yaml",
        &policies::rules("", ["ports: [22/tcp]".into()]),
    )?;
    let replies = write("replies.yaml", policies::REPLIES)?;
    let everything = write("everything.yaml", policies::EVERYTHING)?;

    let children = [
        (rules, false),
        (ports, false),
        (prefixes, true),
        (one_rule, true),
        (replies, true),
        (everything, true),
    ];
    let mut rounds = children.each_ref().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((policy, loads), rounds) in children.iter().zip(&mut rounds) {
            rounds.push(run(policy, *loads)?);
        }
    }
    let row = |name: &str, unit, rounds: Vec<f64>| Row {
        level: "policy",
        name: name.into(),
        value: median(rounds.clone()),
        unit,
        hot: None,
        table_bytes: None,
        decided: None,
        rounds,
    };
    let ms = |rounds: &[Figures]| -> Vec<f64> { rounds.iter().map(|round| round.ms).collect() };
    let verified = |name: &str, rounds: &[Figures]| Row {
        decided: rounds.first().and_then(|round| {
            let count = round.verified_instructions?;
            Some(format!("the verifier, {count} instructions"))
        }),
        ..row(name, "ms", ms(rounds))
    };
    let megabytes = |round: &Figures| (round.process_bytes + round.map_bytes) as f64 / 1e6;
    Ok(vec![
        row(RULES, "ms", ms(&rounds[0])),
        row(PORTS, "ms", ms(&rounds[1])),
        row(SET, "ms", ms(&rounds[2])),
        row(SET_MEMORY, "MB", rounds[2].iter().map(megabytes).collect()),
        verified(ONE_RULE, &rounds[3]),
        verified(REPLIES, &rounds[4]),
        verified(EVERYTHING, &rounds[5]),
    ])
}

fn run(policy: &Path, loads: bool) -> anyhow::Result<Figures> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(CHILD).arg(policy);
    if !loads {
        command.arg("--no-load");
    }
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("the process printed no figures")
}

/// The most memory that this process had at any time (`VmHWM`).
fn most_memory() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .context("`/proc/self/status` has no `VmHWM`")?;
    Ok(kibibytes.trim().parse::<u64>()? * 1024)
}
