//! `cargo xtask demo`: the real daemon, real servers behind it, real clients before it.
//!
//! Everything happens between two private network namespaces. They have no name: they are gone with
//! this process and the daemon, and the daemon ends with this process, whatever ends it.

mod plan;
mod policy;
mod probe;
mod table;

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use portguard_testbed::{Bed, Daemon, traffic::Servers};

use self::{
    plan::{Protocol, Step},
    probe::Stage,
    table::{Conclusion, Printer},
};
use crate::{
    build,
    format::Format,
    interrupt::{EXIT_INTERRUPTED, Interrupt},
    setup, step,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to print what was seen; JSON is one object a row
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    // First, since the build takes long.
    step::require_root("demo", "makes network namespaces and loads kernel programs")?;
    setup::ensure_for_namespaces()?;
    let binary = build::release()?;

    // Not before: an interrupted build ends as cargo ends it.
    let interrupt = Interrupt::watch()?;
    match show(&binary, args.format, &interrupt) {
        _ if interrupt.is_set() => {
            step::announce("interrupted; everything is taken down again");
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
        Ok(Conclusion { wrong: 0, .. }) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(error) => Err(error),
    }
}

fn show(binary: &Path, format: Format, interrupt: &Interrupt) -> Result<Conclusion> {
    let bed = Bed::new().context("cannot make two network namespaces")?;
    let _servers = Servers::start(
        &bed.server,
        &plan::ports(Protocol::Tcp),
        &plan::ports(Protocol::Udp),
    )?;
    let daemon = Daemon::start(binary, &bed.server, policy::START)?;
    let printer = Printer::new(format);
    printer.introduce(&daemon.status()?)?;

    let stage = Stage::new(&bed, &daemon, interrupt)?;
    let mut conclusion = Conclusion::default();
    for step in [Step::Start, Step::Reload] {
        interrupt.check()?;
        if step == Step::Reload {
            reload(&daemon)?;
        }
        printer.policy(step)?;
        let rows = stage.measure(step)?;
        conclusion.add(&rows);
        printer.rows(&rows)?;
    }

    drop(stage);
    let stopped = daemon.stop()?;
    if !stopped.status.success() {
        bail!("the daemon ended ({}):\n{}", stopped.status, stopped.log);
    }
    printer.conclude(conclusion)?;
    Ok(conclusion)
}

/// Changes the policy while the daemon filters.
fn reload(daemon: &Daemon) -> Result<()> {
    daemon.write_policy(policy::RELOAD)?;
    let output = daemon.reload()?;
    if !output.status.success() {
        bail!(
            "`portguard reload` failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
