//! Random policies and frames, judged by the kernel and by the reference model.
//!
//! The product gets YAML text and frame bytes, nothing else of the model's. Where the two disagree, one of them is
//! wrong by `docs/policy.md`; the failure prints all that is needed to look at it.

use std::env;
use std::fmt::Write as _;

use anyhow::Context as _;
use portguard::dataplane::generation::Run;
use portguard::dataplane::{Generation, LoadOptions};
use portguard_policy::{NoFiles, Outcome, Policy};
use portguard_reference::coverage::Coverage;
use portguard_reference::generate;
use portguard_reference::model::{self, Judgement};
use portguard_reference::random::Random;

/// How many policies, instead of [`POLICIES`].
const POLICIES_ENV: &str = "PORTGUARD_DIFFERENTIAL_POLICIES";
/// The first seed, instead of 0. Every policy has its own, so that one can be run alone.
const SEED_ENV: &str = "PORTGUARD_DIFFERENTIAL_SEED";

/// With [`FRAMES`] two million packets, in some three minutes.
const POLICIES: u64 = 2_000;
const FRAMES: u64 = 1000;

/// Each item of the coverage decides one of so many frames at least: 1,000 of two million.
const RARE: u64 = 2000;
/// Below so many policies a missing item is no news.
const POLICIES_FOR_COVERAGE: u64 = 100;
/// What rules decide, they decide this often past the third one.
const PAST_THIRD_RULE: f64 = 0.5;

/// Disagreements that are printed before the run gives up.
const MAX_SHOWN: usize = 10;

#[test]
fn the_kernel_agrees_with_the_model() -> anyhow::Result<()> {
    let policies = number(POLICIES_ENV, POLICIES)?;
    let first = number(SEED_ENV, 0)?;
    let mut coverage = Coverage::new();
    let mut disagreements = Vec::new();
    for seed in first..first + policies {
        disagreements.extend(compare(seed, &mut coverage)?);
        if disagreements.len() >= MAX_SHOWN {
            break;
        }
    }
    eprintln!("{coverage}");
    assert!(
        disagreements.is_empty(),
        "{} disagreements:\n\n{}",
        disagreements.len(),
        disagreements.join("\n\n")
    );
    if policies >= POLICIES_FOR_COVERAGE {
        let missing = coverage.below(coverage.frames() / RARE);
        assert!(missing.is_empty(), "decided too rarely: {missing:?}");
        assert!(coverage.past_third_rule() >= PAST_THIRD_RULE);
    }
    Ok(())
}

/// Runs one policy's frames; the answer are the disagreements, each a text, at most one of a kind.
fn compare(seed: u64, coverage: &mut Coverage) -> anyhow::Result<Vec<String>> {
    let mut random = Random::new(seed);
    let (policy, text) = generate::policy(&mut random);
    let checked = portguard_policy::check(&text, &mut NoFiles).map_err(|problems| {
        anyhow::anyhow!("seed {seed}: a valid policy is refused: {problems:#?}\n{text}")
    })?;
    let tables = portguard_policy::compile(&checked.policy, &[])
        .with_context(|| format!("seed {seed}: a valid policy does not compile\n{text}"))?;
    let options = LoadOptions {
        trace: true,
        count_all_buffers: true,
        ..LoadOptions::default()
    };
    let generation = Generation::load(&tables, &options)
        .with_context(|| format!("seed {seed}: the kernel refuses it\n{text}"))?;

    let mut kinds = Vec::new();
    let mut disagreements = Vec::new();
    for number in 0..FRAMES {
        let frame = generate::frame(&policy, &mut random);
        let expected = model::judge(&policy, &frame);
        coverage.record(&policy, &frame, &expected);
        let run = generation
            .run(&frame)
            .with_context(|| format!("seed {seed}, frame {number}: {}", hex(&frame)))?;
        let (expected_text, found_text) = (expectation(&expected), finding(&run, &checked.policy));
        if expected_text == found_text {
            continue;
        }
        let kind = (expected_text, found_text);
        if !kinds.contains(&kind) {
            let (expected, found) = &kind;
            disagreements.push(format!(
                "seed {seed}, frame {number}: {}\n  model:   {expected}\n  product: {found}\n{text}",
                hex(&frame)
            ));
            kinds.push(kind);
        }
    }
    Ok(disagreements)
}

fn expectation(judgement: &Judgement) -> String {
    line(
        judgement.dropped,
        &judgement.outcome.counter(),
        &judgement.shadows,
    )
}

fn finding(run: &Run, policy: &Policy) -> String {
    let name = |index: usize| {
        policy
            .rules
            .get(index)
            .map_or_else(|| format!("no rule {index}"), |rule| rule.name.clone())
    };
    let outcome = match run.outcome {
        Outcome::Rule(index) => format!("rule {}", name(index)),
        Outcome::Limited(index) => format!("limited {}", name(index)),
        Outcome::Builtin(builtin) => builtin.name().to_owned(),
        // With or without the prefix of its counter.
        Outcome::Malformed(reason) => {
            let name = reason.name();
            format!(
                "malformed:{}",
                name.strip_prefix("malformed:").unwrap_or(name)
            )
        }
    };
    let shadows: Vec<String> = run.shadows.iter().copied().map(name).collect();
    line(run.dropped, &outcome, &shadows)
}

fn line(dropped: bool, outcome: &str, shadows: &[String]) -> String {
    let verdict = if dropped { "drop" } else { "pass" };
    format!("{verdict}, {outcome}, would be dropped by {shadows:?}")
}

fn hex(frame: &[u8]) -> String {
    let mut text = String::new();
    for byte in frame {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn number(name: &str, usual: u64) -> anyhow::Result<u64> {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .with_context(|| format!("{name} is no number: `{text}`")),
        Err(env::VarError::NotPresent) => Ok(usual),
        Err(error) => Err(error).with_context(|| name.to_owned()),
    }
}
