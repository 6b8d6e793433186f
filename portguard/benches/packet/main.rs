//! What one packet costs in the kernel, beside an empty program and, where it is installed, a peer; and what it
//! takes to get a large policy there.
//!
//! `cargo xtask bench` runs this. Every round measures every program once, so that whatever else the
//! machine does falls on all alike; what is printed is the median of the rounds. `docs/performance.md` says more.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark is there to print"
)]

mod cases;
mod control;
mod frames;
mod goals;
mod peer;
mod policies;
mod report;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cases::Case;
use crate::goals::Floors;
use crate::report::{Format, Row};

/// Runs of one program in one round.
const REPEAT: u32 = 400_000;

/// Rounds, an odd number.
const ROUNDS: usize = 31;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, policy, interface @ ..] = &arguments[..]
        && flag == control::CHILD
    {
        control::child(policy.as_ref(), interface.is_empty())?;
        return Ok(true);
    }
    let format = if arguments.iter().any(|argument| argument == "--json") {
        Format::Json
    } else {
        Format::Text
    };
    let mut rows = packets().context("cannot measure packets")?;
    rows.extend(peer::rows()?);
    rows.extend(control::rows().context("cannot measure policies")?);
    let floors = Floors::new(&rows)?;
    let goals = goals::judge(&rows, &floors)?;
    report::print(&rows, &floors, &goals, format)?;
    Ok(goals.iter().all(|goal| goal.is_met()))
}

/// Measures all cases, round by round.
fn packets() -> anyhow::Result<Vec<Row>> {
    // On one processor, so that its caches hold what the case before left there, no more and no less.
    let mut processors = rustix::thread::CpuSet::new();
    processors.set(rustix::thread::sched_getcpu());
    let all = rustix::thread::sched_getaffinity(None)?;
    rustix::thread::sched_setaffinity(None, &processors)?;
    // Whatever else runs on this processor uses its caches too: let it run as rarely as may be.
    rustix::process::setpriority_process(None, -20)?;
    let mut cases = cases::all()?;
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.measure(REPEAT)?;
        }
    }
    rustix::thread::sched_setaffinity(None, &all)?;
    Ok(cases.into_iter().map(Case::row).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
