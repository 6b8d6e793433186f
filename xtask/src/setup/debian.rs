//! Packages of Debian and its descendants.

use std::{os::unix::fs::symlink, path::Path, process::Command, sync::Once};

use anyhow::{Context as _, Result};
use portguard_build::{MIN_RUST, RustVersion};
use thiserror::Error;

use crate::step::{self, Refused};

/// A compiler with its source and linter, under the names of one line of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rust {
    rustc: &'static str,
    source: &'static str,
    clippy: &'static str,
}

/// Stable releases of Debian keep a second, newer compiler for their browsers: `rustc-web`.
const LINES: [Rust; 2] = [
    Rust {
        rustc: "rustc",
        source: "rust-src",
        clippy: "rust-clippy",
    },
    Rust {
        rustc: "rustc-web",
        source: "rust-web-src",
        clippy: "rust-web-clippy",
    },
];

/// The distribution offers no compiler that is new enough.
#[derive(Debug, Error)]
#[error(
    "no compiler for the kernel side: the packages of this system have no rustc {MIN_RUST} with \
     its source; install Rust through rustup, then run `rustup component add rust-src`"
)]
pub(crate) struct NoCompiler;

/// Installs the distribution's compiler with the source of its library and its linter.
pub(crate) fn install_compiler() -> Result<()> {
    if step::find_program("apt-get").is_none() {
        return Err(NoCompiler.into());
    }
    if !is_root() {
        // The lists may be old; then the packages are there under the usual names all the same.
        let line = choose(&policy()?).unwrap_or(LINES[1]);
        return Err(not_root(&[line.rustc, line.source, line.clippy]));
    }
    update();
    let line = choose(&policy()?).ok_or(NoCompiler)?;
    install(&[line.rustc, line.source, line.clippy])
}

/// Installs `packages`, which are known to be in every release.
pub(crate) fn install_after_update(packages: &[&str]) -> Result<()> {
    if step::find_program("apt-get").is_none() {
        let names = packages.join("`, `");
        return Err(Refused(format!("the tests need `{names}`: install it first")).into());
    }
    if !is_root() {
        return Err(not_root(packages));
    }
    update();
    install(packages)
}

/// Has systemd start these units for nobody, unless the administrator has said something about them; before their package
/// comes, since that would start them at once.
pub(crate) fn mask(units: &[&str]) -> Result<()> {
    let folder = Path::new("/etc/systemd/system");
    if !is_root() || !folder.is_dir() {
        return Ok(());
    }
    for unit in units {
        let link = folder.join(unit);
        if link.symlink_metadata().is_err() {
            step::announce(&format!(
                "masking {unit}, so that installing it starts no server"
            ));
            symlink("/dev/null", &link)
                .with_context(|| format!("cannot make `{}`", link.display()))?;
        }
    }
    Ok(())
}

/// The package of the linter that belongs to `rustc`, if a package owns it.
pub(crate) fn clippy_for(rustc: &Path) -> Option<&'static str> {
    let output = Command::new("dpkg")
        .env("LC_ALL", "C")
        .arg("--search")
        .arg(rustc)
        .output()
        .ok()?;
    let owner = String::from_utf8_lossy(&output.stdout);
    let owner = owner.split([':', ',']).next()?;
    LINES
        .into_iter()
        .find(|line| line.rustc == owner)
        .map(|line| line.clippy)
}

/// Whether this process may install packages.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Brings the package lists up to date, once in a run.
pub(crate) fn update() {
    static DONE: Once = Once::new();
    DONE.call_once(update_lists);
}

fn update_lists() {
    let mut command = apt_get();
    command.arg("update");
    // A foreign source that is out of order is no obstacle; if the lists lack what is needed, the
    // next step says so.
    if let Err(error) = step::run("updating the package lists: apt-get update", &mut command) {
        step::announce(&format!("going on with the lists as they are: {error:#}"));
    }
}

fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    let output = apt_get()
        .args(["--simulate", "install", "--no-install-recommends"])
        .args(packages)
        .output()
        .context("cannot run apt-get")?;
    let simulation = String::from_utf8_lossy(&output.stdout);
    let removed = would_remove(&simulation);
    if !removed.is_empty() {
        return Err(Refused(format!(
            "installing {names} would remove {}: if that is fine, run `apt-get install {names}`",
            removed.join(" ")
        ))
        .into());
    }
    step::run(
        &format!("installing packages of the distribution: apt-get install {names}"),
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
    )
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        // Another package manager may be at work.
        .args(["-o", "DPkg::Lock::Timeout=120"]);
    command
}

fn not_root(packages: &[&str]) -> anyhow::Error {
    let names = packages.join(" ");
    Refused(format!(
        "packages are missing and only root can install them: run `sudo apt-get install \
         --no-install-recommends {names}`"
    ))
    .into()
}

fn policy() -> Result<String> {
    let names = LINES.iter().flat_map(|line| [line.rustc, line.source]);
    let output = Command::new("apt-cache")
        .env("LC_ALL", "C")
        .arg("policy")
        .args(names)
        .output()
        .context("cannot run apt-cache")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line of packages whose compiler is new enough and comes with its source.
fn choose(policy: &str) -> Option<Rust> {
    LINES.into_iter().find(|line| {
        candidate(policy, line.rustc).is_some_and(|version| version >= MIN_RUST)
            && candidate(policy, line.source) == candidate(policy, line.rustc)
    })
}

/// The version that `apt-get install` would take, from the output of `apt-cache policy`.
fn candidate(policy: &str, package: &str) -> Option<RustVersion> {
    let version = policy
        .lines()
        .skip_while(|line| line.strip_suffix(':') != Some(package))
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    RustVersion::parse(version)
}

/// The packages that a simulated installation would remove.
fn would_remove(simulation: &str) -> Vec<&str> {
    simulation
        .lines()
        .filter_map(|line| line.strip_prefix("Remv ")?.split_whitespace().next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "\
rustc:
  Installed: (none)
  Candidate: 1.63.0+dfsg1-2
  Version table:
     1.63.0+dfsg1-2 500
rust-src:
  Installed: (none)
  Candidate: 1.63.0+dfsg1-2
rustc-web:
  Installed: (none)
  Candidate: 1.96.0+dfsg1-1~deb12u2
  Version table:
     1.96.0+dfsg1-1~deb12u2 500
     1.85.0+dfsg3-1~deb12u3 500
rust-web-src:
  Installed: (none)
  Candidate: 1.96.0+dfsg1-1~deb12u2
";

    #[test]
    fn takes_the_newer_line_where_the_first_is_too_old() {
        assert_eq!(choose(BOOKWORM), Some(LINES[1]));
    }

    #[test]
    fn takes_the_plain_names_where_they_are_new_enough() {
        let policy = "rustc:\n  Candidate: 1.97.0-1\nrust-src:\n  Candidate: 1.97.0-1\n";
        assert_eq!(choose(policy), Some(LINES[0]));
    }

    #[test]
    fn a_compiler_without_its_own_source_is_none() {
        let policy = "rustc:\n  Candidate: 1.97.0-1\nrust-src:\n  Candidate: 1.96.0-1\n";
        assert_eq!(choose(policy), None);
        assert_eq!(choose("rustc:\n  Candidate: (none)\n"), None);
        assert_eq!(choose(""), None);
    }

    #[test]
    fn sees_what_an_installation_would_remove() {
        let simulation = "\
Remv cargo [0.66.0]
Remv rustc [1.63.0+dfsg1-2]
Inst rustc-web (1.96.0 Debian-Security:12/oldstable-security [amd64])
";
        assert_eq!(would_remove(simulation), ["cargo", "rustc"]);
        assert!(would_remove("Inst rustc-web (1.96.0)\n").is_empty());
    }
}
