//! A compiler with the source of its library.

use std::process::Command;

use anyhow::Result;
use portguard_build::{Compiler, MIN_RUST};

use super::debian;
use crate::step::{self, Refused};

/// Installs a compiler: rustup's source for the active toolchain, else the distribution's pair.
pub(crate) fn install() -> Result<Compiler> {
    let has_rustup = step::find_program("rustup").is_some();
    if has_rustup {
        match add_source() {
            Ok(()) => match portguard_build::find_compiler() {
                Ok(compiler) => return Ok(compiler),
                Err(_) => step::announce(&format!(
                    "the active toolchain is older than {MIN_RUST}, or its LLVM does not fit \
                     bpf-linker; trying the packages of the distribution"
                )),
            },
            Err(error) => step::announce(&format!(
                "rustup could not add it ({}); trying the packages of the distribution",
                reason(&format!("{error:#}"))
            )),
        }
    }
    debian::install_compiler().map_err(|refused| advise(refused, has_rustup))?;
    portguard_build::find_compiler().map_err(|missing| Refused(missing.to_string()).into())
}

fn add_source() -> Result<()> {
    step::run(
        "adding the source of Rust's library to the active toolchain: rustup component add rust-src",
        Command::new("rustup").args(["component", "add", "rust-src"]),
    )
}

/// Where rustup is used and the distribution is of no help, the way out is rustup's.
fn advise(error: anyhow::Error, has_rustup: bool) -> anyhow::Error {
    match error.downcast::<debian::NoCompiler>() {
        Ok(_) if has_rustup => Refused(
            "no compiler for the kernel side: run `rustup component add rust-src` once the \
             network allows it"
                .into(),
        )
        .into(),
        Ok(none) => Refused(none.to_string()).into(),
        Err(error) => error,
    }
}

/// The line in which a program says why it failed; without one, its last.
fn reason(text: &str) -> &str {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .clone()
        .find(|line| line.starts_with("error: "))
        .or_else(|| lines.next_back())
        .map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_line_that_says_error() {
        let text = "`rustup` failed:\ninfo: x\nerror: no network\n\n  1: a backtrace\n";
        assert_eq!(reason(text), "error: no network");
        assert_eq!(reason("info: x\nno network\n\n"), "no network");
        assert_eq!(reason(""), "");
    }

    #[test]
    fn without_packages_the_advice_is_the_users_own_tool() {
        let with = advise(debian::NoCompiler.into(), true);
        assert!(with.is::<Refused>());
        assert!(with.to_string().contains("`rustup component add rust-src`"));
        let without = advise(debian::NoCompiler.into(), false);
        assert!(without.is::<Refused>());
        assert!(without.to_string().contains("1.95"), "{without}");
    }
}
