//! Versions, as compilers print them.

use std::fmt;

/// The oldest compiler that builds the workspace: `rust-version` of the root `Cargo.toml`.
pub const MIN_RUST: RustVersion = RustVersion {
    major: 1,
    minor: 95,
};

/// A version of Rust, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RustVersion {
    /// Always 1 so far.
    pub major: u32,
    /// The number of the six-week release.
    pub minor: u32,
}

impl RustVersion {
    /// Reads the head of a version: `1.96.0`, `1.97.0-nightly`, a package's `1.96.0+dfsg1-2`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        Some(Self {
            major: numbers.next()?.parse().ok()?,
            minor: numbers.next()?.parse().ok()?,
        })
    }
}

impl fmt::Display for RustVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Reads the release and the major version of LLVM out of `rustc --version --verbose`.
pub(crate) fn parse_verbose(text: &str) -> Option<(RustVersion, u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let release = RustVersion::parse(field("release: ")?)?;
    let llvm = field("LLVM version: ")?.split('.').next()?.parse().ok()?;
    Some((release, llvm))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STABLE: &str = "\
rustc 1.95.0 (59807616e 2026-04-14)
binary: rustc
commit-hash: 59807616e1fa2540724bfbac14d7976d7e4a3860
commit-date: 2026-04-14
host: x86_64-unknown-linux-gnu
release: 1.95.0
LLVM version: 22.1.2
";

    #[test]
    fn reads_the_release_and_the_llvm() {
        let version = RustVersion {
            major: 1,
            minor: 95,
        };
        assert_eq!(parse_verbose(STABLE), Some((version, 22)));
    }

    #[test]
    fn reads_a_nightly() {
        let text = "release: 1.97.0-nightly\nLLVM version: 23.0.0\n";
        let version = RustVersion {
            major: 1,
            minor: 97,
        };
        assert_eq!(parse_verbose(text), Some((version, 23)));
    }

    #[test]
    fn a_compiler_without_llvm_does_not_count() {
        assert_eq!(parse_verbose("release: 1.97.0-nightly\n"), None);
        assert_eq!(parse_verbose(""), None);
    }

    #[test]
    fn orders_by_number_not_by_text() {
        let old = RustVersion::parse("1.63.0+dfsg1-2").expect("a version");
        assert!(old < MIN_RUST);
        assert!(RustVersion::parse("1.100.0").expect("a version") > MIN_RUST);
        assert_eq!(RustVersion::parse("(none)"), None);
    }
}
