//! Running many policies, on all processors.

use std::fmt::Write as _;
use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use portguard_reference::coverage::Coverage;
use portguard_reference::generate::{Arrival, Step, Written, play};
use portguard_reference::model::Model;

use crate::fate::Fate;
use crate::product::Product;

/// Disagreements that are printed before a run gives up.
const MAX_SHOWN: usize = 10;

/// How often a run says how far it is.
const PROGRESS: Duration = Duration::from_secs(30);

/// What is to be compared.
pub(crate) struct Plan {
    /// Name of the test, for the command that repeats a part of it.
    pub(crate) test: &'static str,
    pub(crate) first_seed: u64,
    pub(crate) until: Until,
}

/// When a run ends.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    Policies(u64),
    Time(Duration),
}

/// What was found.
pub(crate) struct Findings {
    pub(crate) coverage: Coverage,
    pub(crate) policies: u64,
    /// Each a text.
    pub(crate) disagreements: Vec<String>,
}

/// What the threads share.
struct Shared {
    next: u64,
    said: Instant,
    findings: Findings,
    error: Option<anyhow::Error>,
}

/// Runs one policy after the other until the plan is fulfilled or enough is wrong.
pub(crate) fn all(
    plan: &Plan,
    coverage: fn() -> Coverage,
    one: fn(u64, &mut Findings) -> anyhow::Result<()>,
) -> anyhow::Result<Findings> {
    let nothing = || Findings {
        coverage: coverage(),
        policies: 0,
        disagreements: Vec::new(),
    };
    let start = Instant::now();
    let shared = Mutex::new(Shared {
        next: 0,
        said: start,
        findings: nothing(),
        error: None,
    });
    let lock = || {
        shared
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    };
    let work = || {
        loop {
            let number = {
                let mut shared = lock();
                let is_over = match plan.until {
                    Until::Policies(policies) => shared.next >= policies,
                    Until::Time(time) => start.elapsed() >= time,
                };
                let is_enough = shared.findings.disagreements.len() >= MAX_SHOWN;
                if is_over || is_enough || shared.error.is_some() {
                    return;
                }
                shared.next += 1;
                shared.next - 1
            };
            let seed = plan.first_seed.wrapping_add(number);
            let mut own = nothing();
            let result = one(seed, &mut own);
            let mut shared = lock();
            shared.findings.coverage.merge(&own.coverage);
            shared.findings.policies += 1;
            for text in own.disagreements {
                let command = repeat(plan.test, seed);
                shared
                    .findings
                    .disagreements
                    .push(format!("{text}\n{command}"));
            }
            if let Err(error) = result {
                shared.error = Some(error.context(repeat(plan.test, seed)));
            }
            if shared.said.elapsed() >= PROGRESS {
                shared.said = Instant::now();
                let so_far = format!(
                    "{}: {} policies, {} frames, {} disagreements",
                    plan.test,
                    shared.findings.policies,
                    shared.findings.coverage.frames(),
                    shared.findings.disagreements.len()
                );
                if let Err(error) = crate::say(&so_far) {
                    shared.error = Some(error.into());
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    let shared = shared
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    match shared.error {
        Some(error) => Err(error),
        None => Ok(shared.findings),
    }
}

/// The command that runs one policy again.
fn repeat(test: &str, seed: u64) -> String {
    let (seed_env, policies_env) = (crate::SEED_ENV, crate::POLICIES_ENV);
    format!(
        "again: {seed_env}={seed} {policies_env}=1 cargo test -p portguard --test differential {test}"
    )
}

/// Lets the same happen to the model and to the product, and compares what they make of each frame and what they have
/// counted in the end. Of a kind of disagreement, one is kept.
pub(crate) fn compare(
    seed: u64,
    mut model: Model,
    product: &mut Product,
    written: &Written,
    steps: &[Step],
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut in_force = written;
    let mut now_ns = 0;
    let mut kinds = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let told = |text: &str, in_force| {
            format!("seed {seed}, step {number}: {text}\n{}", tell(in_force))
        };
        let judgement = play(&mut model, &mut now_ns, step);
        match step {
            Step::Arrives(Arrival { interface, frame }) => {
                let judgement = judgement.context("the model has judged what arrives")?;
                let coverage = &mut findings.coverage;
                coverage.record_at(model.policy(), interface, frame, &judgement);
                let by_model = Fate::of(&judgement);
                let (by_kernel, by_host) = product
                    .arrives(interface, frame, now_ns)
                    .with_context(|| told(&hex(frame), in_force))?;
                if by_model.agrees(&by_kernel) && by_model.agrees(&by_host) {
                    continue;
                }
                let kind = (by_model, by_kernel, by_host);
                if !kinds.contains(&kind) {
                    let (by_model, by_kernel, by_host) = &kind;
                    let text = format!(
                        "at {interface}, {now_ns} ns: {}\n  model:  {by_model}\n  kernel: {by_kernel}\n  host:   {by_host}",
                        hex(frame)
                    );
                    findings.disagreements.push(told(&text, in_force));
                    kinds.push(kind);
                }
            }
            Step::Leaves(Arrival { interface, frame }) => {
                product
                    .leaves(interface, frame, now_ns)
                    .with_context(|| told(&hex(frame), in_force))?;
            }
            Step::TakeEffect { written, .. } => {
                in_force = written;
                product
                    .take_effect(written, now_ns)
                    .with_context(|| told("not loaded", in_force))?;
            }
            // There is nothing to tell the product: its clock is that of the next frame.
            Step::Advance { .. } => {}
            Step::Ban {
                source,
                nanoseconds,
            } => product.ban(*source, *nanoseconds, now_ns)?,
            Step::Unban { source } => product.unban(*source)?,
        }
    }
    let differences = product.counted_otherwise(model.counters())?;
    if !differences.is_empty() && kinds.is_empty() {
        findings.disagreements.push(format!(
            "seed {seed}: counted otherwise\n  {}\n{}",
            differences.join("\n  "),
            tell(in_force)
        ));
    }
    Ok(())
}

/// The policy as the product got it.
pub(crate) fn tell(written: &Written) -> String {
    let mut text = written.text.clone();
    for (name, content) in &written.files {
        // A string takes everything.
        let _ = write!(text, "--- {name}\n{content}");
    }
    text
}

fn hex(frame: &[u8]) -> String {
    let mut text = String::new();
    for byte in frame {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
