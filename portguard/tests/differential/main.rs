//! Random policies and frames, judged by the kernel program, by the same classifier on the host and by the reference
//! model.
//!
//! The product gets YAML text and frame bytes, nothing else of the model's. Where two of the three disagree, one is
//! wrong by `docs/policy.md`; the failure prints all that is needed to look at it.

mod counted;
mod fate;
#[path = "../../../portguard-policy/tests/generated/mod.rs"]
mod generated;
mod host;
mod product;
mod run;

use std::cell::Cell;
use std::env;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use portguard_reference::coverage::Coverage;
use portguard_reference::generate::{self, Kind, Written, policy_of};
use portguard_reference::model::Model;
use portguard_reference::random::Random;

use crate::product::Product;
use crate::run::{Findings, Plan, Until};

/// How many policies, instead of [`POLICIES`].
const POLICIES_ENV: &str = "PORTGUARD_DIFFERENTIAL_POLICIES";
/// The first seed, instead of 0. Every policy has its own, so that one can be run alone.
const SEED_ENV: &str = "PORTGUARD_DIFFERENTIAL_SEED";
/// Goes on for so many minutes, whatever the number of policies.
const MINUTES_ENV: &str = "PORTGUARD_DIFFERENTIAL_MINUTES";

/// With [`FRAMES`] two million packets.
const POLICIES: u64 = 2_000;
const FRAMES: usize = 1_000;

/// Each costs a load for each of its policies.
const SEQUENCES: u64 = 100;
const ARRIVALS: usize = 1_500;

/// Each item of the coverage decides one of so many frames at least: 1,000 of two million.
const RARE: u64 = 2_000;
/// Below so many policies a missing item is no news.
const POLICIES_FOR_COVERAGE: u64 = 100;
/// What rules decide, they decide this often past the third one.
const PAST_THIRD_RULE: f64 = 0.5;

#[test]
fn the_whole_language() -> anyhow::Result<()> {
    let plan = plan("the_whole_language", POLICIES)?;
    let found = run::all(&plan, Coverage::of_arrivals, frames)?;
    conclude(&plan, &found, &[])
}

/// One policy, and frames that arrive.
fn frames(seed: u64, findings: &mut Findings) -> anyhow::Result<()> {
    let mut random = Random::new(seed);
    let (policy, written) = policy_of(Kind::Full, &mut random);
    let steps = generate::arrivals(&policy, FRAMES, &mut random);
    let model = Model::on(policy, &generate::INTERFACES);
    let mut product = loaded(seed, &written, Product::new)?;
    run::compare(seed, model, &mut product, &written, &steps, findings)
}

#[test]
fn sequences_of_events() -> anyhow::Result<()> {
    let plan = plan("sequences_of_events", SEQUENCES)?;
    let found = run::all(&plan, || Coverage::of(Kind::Full), events)?;
    // What lies beyond the first buffer is rare here, and the other test counts it.
    conclude(&plan, &found, &["beyond the first buffer, by a rule"])
}

/// A host over time: frames arrive and leave, time passes, sources are banned, other policies take effect.
fn events(seed: u64, findings: &mut Findings) -> anyhow::Result<()> {
    let sequence = generate::sequence(ARRIVALS, &mut Random::new(seed));
    let model = sequence.model();
    own_bpf_file_system()?;
    let folder = format!("/sys/fs/bpf/differential-{seed}");
    let mut product = loaded(seed, &sequence.written, |written| {
        Product::with_state(written, Path::new(&folder))
    })?;
    let result = run::compare(
        seed,
        model,
        &mut product,
        &sequence.written,
        &sequence.steps,
        findings,
    );
    product.end()?;
    result
}

/// Gives this thread a BPF file system of its own, once.
fn own_bpf_file_system() -> anyhow::Result<()> {
    thread_local! {
        static HAS_OWN: Cell<bool> = const { Cell::new(false) };
    }
    if !HAS_OWN.replace(true) {
        portguard_testbed::own_bpf_file_system().context("no BPF file system")?;
    }
    Ok(())
}

fn loaded(
    seed: u64,
    written: &Written,
    load: impl Fn(&Written) -> anyhow::Result<Product>,
) -> anyhow::Result<Product> {
    load(written).with_context(|| format!("seed {seed}: not loaded\n{}", run::tell(written)))
}

fn plan(test: &'static str, policies: u64) -> anyhow::Result<Plan> {
    let until = match number::<f64>(MINUTES_ENV)? {
        Some(minutes) => Until::Time(Duration::try_from_secs_f64(minutes * 60.0)?),
        None => Until::Policies(number(POLICIES_ENV)?.unwrap_or(policies)),
    };
    let first_seed = number(SEED_ENV)?.unwrap_or(0);
    Ok(Plan {
        test,
        first_seed,
        until,
    })
}

/// Fails on a disagreement, or if too little was compared; these items are compared elsewhere.
fn conclude(plan: &Plan, found: &Findings, elsewhere: &[&str]) -> anyhow::Result<()> {
    say(&format!(
        "{}:\n{}{:<40} {:>10}",
        plan.test, found.coverage, "policies", found.policies
    ))?;
    let disagreements = &found.disagreements;
    anyhow::ensure!(
        disagreements.is_empty(),
        "{} disagreements:\n\n{}",
        disagreements.len(),
        disagreements.join("\n\n")
    );
    if found.policies >= POLICIES_FOR_COVERAGE {
        let mut missing = found.coverage.below(found.coverage.frames() / RARE);
        missing.retain(|(item, _)| !elsewhere.contains(&item.to_string().as_str()));
        anyhow::ensure!(missing.is_empty(), "decided too rarely: {missing:?}");
        let share = found.coverage.past_third_rule();
        anyhow::ensure!(
            share >= PAST_THIRD_RULE,
            "of what rules decide, only {share} is decided past the third one"
        );
    }
    Ok(())
}

/// Tells what a run of two million packets has reached, past the test runner, which shows what a test prints only if
/// it fails.
fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stderr(), "{text}")
}

fn number<N: FromStr<Err: fmt::Display>>(name: &str) -> anyhow::Result<Option<N>> {
    match env::var(name) {
        Ok(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(error) => anyhow::bail!("{name} is no number: `{text}` ({error})"),
        },
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).with_context(|| name.to_owned()),
    }
}
