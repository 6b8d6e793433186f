//! `cargo xtask kernels`: the tests under kernels of Debian, in a virtual machine.
//!
//! The machine boots a kernel of the distribution with this host's own files, read-only, under a layer that is forgotten; the tests are
//! those that were built here. So the host shows what its own kernel does, and this what older ones do, with devices for which the host's
//! kernel may have no driver.

mod initramfs;
mod machine;
mod package;
mod programs;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;

use self::{initramfs::Content, machine::Machine, package::Kernel};
use crate::{root, setup, step, test::Summary};

/// Programs that this needs, and the package of each.
const TOOLS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("cpio", "cpio"),
    ("modprobe", "kmod"),
    ("xz", "xz-utils"),
];

/// What is run without a filter: what a kernel may do otherwise, and what needs devices.
const USUAL: [&str; 4] = ["devices::", "lifecycle::", "reload::", "traffic::"];

/// A line of kernels that Debian maintains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Series {
    /// Debian 12
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13, and Debian 12 by its updates
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    const fn number(self) -> &'static str {
        match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without a filter: the tests that need devices (`devices::`) and those of start, stop, reload and traffic. \
    The machine is emulated, some ten times slower than this one: choose few tests, and leave the host in peace.\n\n\
    Exit codes: 0 every test passed, 1 one failed or the kernel did, 2 usage, 3 the system refuses."
)]
pub(crate) struct Args {
    /// The kernel; may be given twice [default: both]
    #[arg(long = "kernel", value_enum, value_name = "SERIES")]
    kernels: Vec<Series>,
    /// Minutes after which a machine is ended, tests and all
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Show all that the kernel says, from its start on
    #[arg(long)]
    console: bool,
    /// Tests of `end_to_end`, `packets` and `devices` with this in their names; `''` for all of them
    #[arg(value_name = "TEST FILTER")]
    filters: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    step::require_root(
        "kernels",
        "gives a virtual machine this host's files to read",
    )?;
    setup::ensure()?;
    setup::ensure_for_namespaces()?;
    setup::install_missing(&TOOLS)?;
    let filters: Vec<&str> = match args.filters.is_empty() {
        true => USUAL.to_vec(),
        false => args.filters.iter().map(String::as_str).collect(),
    };
    let series: &[Series] = match args.kernels.is_empty() {
        true => &[Series::V6_1, Series::V6_12],
        false => &args.kernels,
    };
    let folder = root::target_dir()?.join("kernels");
    let kernels = series
        .iter()
        .map(|series| package::obtain(series.number(), &folder))
        .collect::<Result<Vec<Kernel>>>()?;
    let busybox = package::busybox(&folder)?;
    let programs = programs::build(&filters)?;

    let mut is_good = true;
    let mut lines = Vec::new();
    for kernel in &kernels {
        let release = &kernel.release;
        let machine = Machine {
            kernel,
            log: folder.join(format!("{release}.log")),
            limit: Duration::from_secs(args.minutes * 60),
            console: args.console,
        };
        step::announce(&format!(
            "Linux {release}; all that it says is in `{}`",
            machine.log.display()
        ));
        let initramfs = folder.join(format!("{release}.cpio"));
        let content = Content {
            kernel,
            busybox: &busybox,
            programs: &programs,
            filters: &filters,
        };
        content.pack(&initramfs)?;
        let line = match machine.run(&initramfs) {
            Ok(run) => {
                is_good &= run.summary.is_good();
                format!("{} in {} s", run.summary, run.took.as_secs())
            }
            // The other kernel has its turn all the same.
            Err(error) => {
                is_good = false;
                format!("error: {error:#}")
            }
        };
        lines.push(format!("Linux {release}: {line}"));
    }
    // The last lines, whatever happened.
    println!("\n{}", lines.join("\n"));
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What became of the tests under a kernel.
#[derive(Debug)]
struct Run {
    summary: Summary,
    took: Duration,
}
