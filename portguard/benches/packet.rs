//! What one packet costs in the kernel, beside an empty program and, where it is installed, a peer.
//!
//! `cargo xtask bench` runs this. Every round measures every program once, so that whatever else the
//! machine does falls on all alike; what is printed is the median of the rounds.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark is there to print"
)]

use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use portguard::dataplane::{Generation, LoadOptions, floor::Floor};
use serde::Serialize;

/// Runs of one program in one round.
const REPEAT: u32 = 5_000_000;

/// Rounds, an odd number.
const ROUNDS: usize = 9;

/// Nanoseconds that one packet may cost more than the empty program.
const MAX_OVER_FLOOR_NS: f64 = 15.0;

/// How much more 10,000 rules may cost than one.
const MAX_RULES_RATIO: f64 = 1.1;

#[derive(Serialize)]
struct Row {
    level: &'static str,
    name: String,
    ns: f64,
}

fn main() -> ExitCode {
    let json = std::env::args().any(|argument| argument == "--json");
    match bench(json) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn bench(json: bool) -> anyhow::Result<bool> {
    let frame = blocked_frame();
    let floor = Floor::load().context("cannot load the empty program")?;
    let one = generation(1)?;
    let many = generation(10_000)?;
    for generation in [&one, &many] {
        ensure!(generation.run(&frame)?.dropped, "the frame is not dropped");
    }

    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        rounds[0].push(floor.time(&frame, REPEAT)?);
        rounds[1].push(one.time(&frame, REPEAT)?);
        rounds[2].push(many.time(&frame, REPEAT)?);
    }
    let [floor, one, many] = rounds.map(median);
    let mut rows = vec![
        row("empty/drop", floor),
        row("portguard/1-rule", one),
        row("portguard/10000-rules", many),
    ];
    match peer::xdp_filter(&frame)? {
        Some(ns) => rows.push(row("xdp-filter/1-port", ns)),
        None => eprintln!("xdp-filter is not measured: it needs `xdp-filter`, `bpftool` and `ip`"),
    }
    for row in &rows {
        if json {
            println!("{}", serde_json::to_string(row)?);
        } else {
            println!("{:<8} {:<24} {:>6.1} ns", row.level, row.name, row.ns);
        }
    }

    let over = one - floor;
    let ratio = many / one;
    eprintln!(
        "one packet costs {over:.1} ns more than an empty program (at most {MAX_OVER_FLOOR_NS})"
    );
    eprintln!("10,000 rules cost {ratio:.2} times one rule (at most {MAX_RULES_RATIO})");
    Ok(over <= MAX_OVER_FLOOR_NS && ratio <= MAX_RULES_RATIO)
}

fn row(name: &str, ns: f64) -> Row {
    Row {
        level: "packet",
        name: name.into(),
        ns,
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A policy of `rules` rules, of which the last one blocks port 22.
fn generation(rules: u16) -> anyhow::Result<Generation> {
    let mut text = String::from("version: 1\nrules:\n");
    for number in 1..=rules {
        let port = if number == rules { 22 } else { 30_000 + number };
        text += &format!("  - {{name: r{number}, action: drop, ports: [{port}/tcp]}}\n");
    }
    let checked = portguard_policy::check(&text, &mut portguard_policy::NoFiles)
        .map_err(|problems| anyhow::anyhow!("the policy is refused: {problems:?}"))?;
    let tables = portguard_policy::compile(&checked.policy, &[])?;
    Generation::load(&tables, &LoadOptions::default()).context("cannot load the filter")
}

/// A TCP SYN to port 22 of 60 bytes, the shortest that Ethernet carries.
fn blocked_frame() -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([203, 0, 113, 7], [192, 0, 2, 1], 64)
        .tcp(40_000, 22, 1, 64_240)
        .syn();
    builder
        .write(&mut frame, &[])
        .unwrap_or_else(|error| unreachable!("a vector takes every byte: {error}"));
    frame.resize(60, 0);
    frame
}

mod peer {
    //! xdp-filter, attached in a namespace of its own and measured by `bpftool prog run`.

    use super::*;

    /// Mean nanoseconds for a blocked packet; `None` where a tool is missing.
    pub(super) fn xdp_filter(frame: &[u8]) -> anyhow::Result<Option<f64>> {
        let installed = |tool: &str| {
            std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|dir| dir.join(tool).is_file())
            })
        };
        if !["xdp-filter", "bpftool", "ip", "unshare"]
            .into_iter()
            .all(installed)
        {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("frame");
        std::fs::write(&data, frame)?;
        // The namespace ends with the shell, and the device and the program with it.
        let script = format!(
            "mount -t bpf bpf /sys/fs/bpf && \
             ip link add pgbench type veth peer name pgpeer && \
             xdp-filter load --mode native pgbench >&2 && \
             xdp-filter port --mode dst --proto tcp 22 >&2 && \
             id=$(ip -details link show pgbench | sed -n 's/.*prog\\/xdp id \\([0-9]*\\).*/\\1/p' | head -1) && \
             for round in $(seq {ROUNDS}); do bpftool prog run id $id data_in {} repeat {REPEAT}; done; \
             xdp-filter unload --all >&2",
            data.display()
        );
        let output = Command::new("unshare")
            .args(["--net", "--mount", "sh", "-c", &script])
            .output()
            .context("cannot run xdp-filter")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<f64> = text
            .lines()
            .filter_map(|line| line.rsplit_once("(average): "))
            .filter_map(|(_, rest)| rest.trim_end_matches("ns").trim().parse().ok())
            .collect();
        if figures.is_empty() {
            eprintln!(
                "xdp-filter is not measured: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            return Ok(None);
        }
        Ok(Some(median(figures)))
    }
}
