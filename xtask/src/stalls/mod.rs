//! `cargo xtask stalls`: the tests with real packets on a machine that stands still now and then, as a virtual machine does whose host
//! is busy. A test that fails there, and not elsewhere, asks something of the machine that none promises.

mod group;

use std::{
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use self::group::Group;
use crate::{
    interrupt::{EXIT_INTERRUPTED, Interrupt},
    root, setup, step, test,
};

/// How often it is looked whether the tests have ended.
const TICK: Duration = Duration::from_millis(20);

/// The shortest stall and the longest that may be asked for, in seconds.
const SHORTEST_S: f64 = 0.3;
const LONGEST_S: f64 = 60.0;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "All that the tests start stands still with them, for a third of a second at least. Between two stalls they go on for \
    half as long as the longest to one and a half times that.\n\n\
    Exit codes: 0 every test passed, 1 one failed, 2 usage, 3 the system refuses, 130 interrupted."
)]
pub(crate) struct Args {
    /// How long it stands still at most
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3.0,
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    longest: f64,
    /// The seed of the moments [default: a random one]
    #[arg(long)]
    seed: Option<u64>,
    /// Tests of `end_to_end` and `packets` with this in their names [default: all]
    #[arg(value_name = "TEST FILTER")]
    filters: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    step::require_root("stalls", "limits groups of processes and runs tests")?;
    setup::ensure()?;
    setup::ensure_for_tests()?;
    let mut tests = root::cargo();
    tests.args(["test", "--package", "portguard", "--no-fail-fast"]);
    tests.args(["--test", "end_to_end", "--test", "packets"]);
    let mut build = root::cargo();
    build.args(tests.get_args()).arg("--no-run");
    step::run("the tests are built", &mut build)?;

    let seed = args.seed.unwrap_or_else(|| fastrand::u32(..).into());
    let interrupt = Interrupt::watch()?;
    let group = Group::new()?;
    tests.arg("--").args(&args.filters);
    let mut tests = group.around(&tests);
    test::set_threads(&mut tests);
    step::announce(&format!(
        "the tests, which stand still for up to {} s, with seed {seed}",
        args.longest
    ));
    let outcome = stall(&mut tests, &group, args.longest, seed, &interrupt)?;
    let Some(passed) = outcome.passed else {
        step::announce("interrupted; the tests are ended");
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    };
    step::announce(&format!(
        "they stood still {} times, for {:.0} s of {:.0}",
        outcome.stalls,
        outcome.stood_still.as_secs_f64(),
        outcome.took.as_secs_f64()
    ));
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|seconds| (SHORTEST_S..=LONGEST_S).contains(seconds))
        .ok_or_else(|| format!("a number from {SHORTEST_S} to {LONGEST_S} is expected"))
}

/// What came of the tests.
struct Outcome {
    /// Whether every test passed; `None` if they were interrupted.
    passed: Option<bool>,
    stalls: u32,
    stood_still: Duration,
    took: Duration,
}

/// Runs tests, and has them stand still now and then.
fn stall(
    tests: &mut Command,
    group: &Group,
    longest_s: f64,
    seed: u64,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    let begin = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut running = tests.spawn()?;
    let (mut stalls, mut stood_still) = (0, Duration::ZERO);
    let mut pause =
        |from_s: f64, to_s: f64| Duration::from_secs_f64(from_s + (to_s - from_s) * random.f64());
    let mut stands_still = false;
    let mut since = begin;
    let mut until = begin + pause(0.0, longest_s);
    let passed = loop {
        // First, since Ctrl-C at the terminal ends them, too.
        if interrupt.is_set() {
            break None;
        }
        if let Some(status) = running.try_wait()? {
            break Some(status.success());
        }
        let now = Instant::now();
        if now >= until {
            let next = if stands_still {
                group.go_on()?;
                stood_still += now - since;
                pause(0.5 * longest_s, 1.5 * longest_s)
            } else {
                group.stand_still()?;
                stalls += 1;
                pause(SHORTEST_S, longest_s)
            };
            stands_still = !stands_still;
            since = now;
            until = now + next;
        }
        thread::sleep(TICK);
    };
    Ok(Outcome {
        passed,
        stalls,
        stood_still,
        took: begin.elapsed(),
    })
}
