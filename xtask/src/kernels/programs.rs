//! The test programs, built on this host.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{artifact, root, step};

/// Those that are of use under another kernel.
const TESTS: [&str; 3] = ["devices", "end_to_end", "packets"];

/// A test program.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// Where cargo would start it.
    pub(super) folder: PathBuf,
}

/// Builds those that have tests which the filters choose.
///
/// # Errors
///
/// When they do not compile, or a filter chooses nothing.
pub(super) fn build(filters: &[&str]) -> Result<Vec<Program>> {
    step::announce("building the tests");
    let mut cargo = root::cargo();
    cargo.args(["test", "--no-run", "--package", "portguard"]);
    for name in TESTS {
        cargo.args(["--test", name]);
    }
    let folder = root::workspace().join("portguard");
    let built = artifact::build(&mut cargo)?.into_iter();
    let built: Vec<Program> = built
        .filter(|program| program.kind == "test")
        .map(|program| Program {
            path: program.path,
            folder: folder.clone(),
        })
        .collect();
    ensure!(
        built.len() == TESTS.len(),
        "cargo has built {} of the test programs {TESTS:?}",
        built.len()
    );
    choose(built, filters)
}

fn choose(programs: Vec<Program>, filters: &[&str]) -> Result<Vec<Program>> {
    let names = programs
        .iter()
        .map(Program::names)
        .collect::<Result<Vec<_>>>()?;
    let is_of = |filter: &str, names: &[String]| names.iter().any(|name| name.contains(filter));
    for filter in filters {
        if !names.iter().any(|names| is_of(filter, names)) {
            bail!(
                "no test of `{}` has `{filter}` in its name",
                TESTS.join("`, `")
            );
        }
    }
    let programs = programs.into_iter().zip(names);
    let chosen = programs.filter(|(_, names)| filters.iter().any(|filter| is_of(filter, names)));
    Ok(chosen.map(|(program, _)| program).collect())
}

impl Program {
    /// The names of its tests.
    fn names(&self) -> Result<Vec<String>> {
        let output = Command::new(&self.path)
            .args(["--list", "--format", "terse"])
            .output()
            .with_context(|| format!("cannot run `{}`", self.path.display()))?;
        ensure!(
            output.status.success(),
            "`{}` does not list its tests",
            self.path.display()
        );
        Ok(read(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// Reads a list of tests, one a line.
fn read(list: &str) -> Vec<String> {
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_a_test_program_is_read() {
        let list = "reload::a: test\ntraffic::b: test\nsome: benchmark\n";
        assert_eq!(read(list), ["reload::a", "traffic::b"]);
    }
}
