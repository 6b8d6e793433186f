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

/// Rounds, an odd number.
const ROUNDS: usize = 7;

#[derive(Serialize, Deserialize)]
struct Figures {
    ms: f64,
    /// Most memory of the process at any time, and of its maps at the end.
    process_bytes: u64,
    map_bytes: u64,
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
    drop(generation);
    let figures = Figures {
        ms,
        process_bytes: most_memory()?,
        map_bytes,
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

    let mut rounds: [Vec<Figures>; 3] = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        rounds[0].push(run(&rules, false)?);
        rounds[1].push(run(&ports, false)?);
        rounds[2].push(run(&prefixes, true)?);
    }
    let row = |name: &str, unit, values: Vec<f64>| Row {
        level: "policy",
        name: name.into(),
        value: median(values),
        unit,
        table_bytes: None,
        decided: None,
    };
    let ms = |rounds: &[Figures]| rounds.iter().map(|round| round.ms).collect();
    let mebibytes = |round: &Figures| (round.process_bytes + round.map_bytes) as f64 / 1048576.0;
    Ok(vec![
        row(RULES, "ms", ms(&rounds[0])),
        row(PORTS, "ms", ms(&rounds[1])),
        row(SET, "ms", ms(&rounds[2])),
        row(SET_MEMORY, "MiB", rounds[2].iter().map(mebibytes).collect()),
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
