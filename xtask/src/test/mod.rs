//! `cargo xtask test`: formatting, lints, every test.

mod summary;

pub(crate) use self::summary::Summary;

use std::{
    env,
    io::{BufRead as _, BufReader},
    num::NonZero,
    process::{Command, ExitCode, Stdio},
    thread,
};

use anyhow::{Context as _, Result};
use portguard_build::Toolchain;

use crate::{root, setup, step};

/// Everything but the kernel side, which does not compile for this machine.
const ON_THIS_MACHINE: [&str; 3] = ["--workspace", "--exclude", "portguard-ebpf"];

/// How many tests run at the same time; a variable of Rust's test runner.
const THREADS: &str = "RUST_TEST_THREADS";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    // First, since the build takes long. A run that left out the tests that need the kernel would look the same and
    // mean nothing.
    step::require_root("test", "loads kernel programs and makes network namespaces")?;
    let toolchain = setup::ensure()?;
    setup::ensure_for_checks(&toolchain)?;
    setup::ensure_for_tests()?;

    step::show(
        "formatting",
        root::cargo().args(["fmt", "--all", "--check"]),
    )?;
    lint(&toolchain)?;

    let summary = test()?;
    // The last line, whatever happened.
    println!("\n{summary}");
    Ok(if summary.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn lint(toolchain: &Toolchain) -> Result<()> {
    step::show(
        "lints",
        root::cargo().arg("clippy").args(ON_THIS_MACHINE).args([
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ]),
    )?;
    // They run elsewhere (`cargo xtask kernels`), and no other check looks at them.
    step::show(
        "lints of the tests that need devices",
        root::cargo()
            .arg("clippy")
            .args(ON_THIS_MACHINE)
            .args(["--test", "devices", "--", "--deny", "warnings"]),
    )?;
    step::announce("lints of the kernel side");
    let target_dir = root::target_dir()?.join("kernel");
    Ok(toolchain.lint(&root::workspace(), &target_dir)?)
}

/// Has so many tests run at the same time as is good for them, unless the environment says how many.
pub(crate) fn set_threads(tests: &mut Command) {
    // Most of the end-to-end tests wait most of the time: for packets that must not come, for clocks.
    if env::var_os(THREADS).is_none() {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        tests.env(THREADS, (2 * processors).to_string());
    }
}

fn test() -> Result<Summary> {
    step::announce("tests");
    let mut cargo: Command = root::cargo();
    set_threads(&mut cargo);
    let mut running = cargo
        .arg("test")
        .args(ON_THIS_MACHINE)
        .arg("--no-fail-fast")
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let stdout = running.stdout.take().context("cargo has no output")?;
    let mut summary = Summary::default();
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        println!("{line}");
        summary.add(&line);
    }
    if !running.wait()?.success() {
        summary.note_failure();
    }
    Ok(summary)
}
