//! Compilers: where they may be, and what each one is.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{MIN_RUST, RustVersion, forget_outer_build, version};

/// Names the one compiler to use for the kernel side; nothing else is looked at when it is set.
pub const RUSTC_ENV: &str = "PORTGUARD_KERNEL_RUSTC";

/// A Rust compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiler {
    /// The compiler itself, never a proxy of rustup: the choice must not depend on the folder.
    pub rustc: PathBuf,
    /// What `rustc --print sysroot` says.
    pub sysroot: PathBuf,
    /// Its release.
    pub version: RustVersion,
    /// The major version of the LLVM it writes bitcode with.
    pub llvm: u32,
    /// Whether the source of `core` is in its sysroot.
    pub has_source: bool,
}

impl Compiler {
    /// Asks `rustc` what it is. `None` when there is no such program or it does not say.
    #[must_use]
    pub fn probe(rustc: &Path) -> Option<Self> {
        let (version, llvm) = version::parse_verbose(&ask(rustc, &["--version", "--verbose"])?)?;
        let sysroot = PathBuf::from(ask(rustc, &["--print", "sysroot"])?.trim());
        let own = sysroot.join("bin/rustc");
        Some(Self {
            rustc: if own.is_file() { own } else { rustc.into() },
            has_source: sysroot
                .join("lib/rustlib/src/rust/library/core/src/lib.rs")
                .is_file(),
            sysroot,
            version,
            llvm,
        })
    }

    /// Whether it can compile `core` for the kernel.
    #[must_use]
    pub fn is_sufficient(&self) -> bool {
        self.has_source && self.version >= MIN_RUST
    }

    /// The shared LLVM it is linked with, as the loader resolves it; `None` when LLVM is inside.
    #[must_use]
    pub fn llvm_library(&self) -> Option<PathBuf> {
        let library = llvm_in_ldd(&ask(Path::new("ldd"), &[self.rustc.as_os_str()])?)?;
        // The folder without detours such as `bin/../lib`, the name as the loader knows it.
        let folder = library.parent()?.canonicalize().ok()?;
        Some(folder.join(library.file_name()?))
    }

    /// Whether code generation knows `feature` for `target`.
    pub(crate) fn knows_feature(&self, target: &str, feature: &str) -> bool {
        ask(
            &self.rustc,
            &["--print", "target-features", "--target", target],
        )
        .is_some_and(|text| lists_feature(&text, feature))
    }
}

/// The compiler that the user named, if any.
pub(crate) fn named() -> Option<PathBuf> {
    env::var_os(RUSTC_ENV)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Every compiler of this machine, the most expected first.
pub(crate) fn all() -> impl Iterator<Item = Compiler> {
    // Lazy: usually the first or second will do, and each question costs a process.
    let active = env::var_os("RUSTC")
        .map(PathBuf::from)
        .into_iter()
        .chain([PathBuf::from("rustc")]);
    let rustup = std::iter::once_with(rustup_toolchains)
        .flatten()
        .filter_map(|toolchain| {
            let args = ["which", "--toolchain", &toolchain, "rustc"];
            Some(PathBuf::from(ask(Path::new("rustup"), &args)?.trim()))
        });
    let system = ["/usr/bin/rustc", "/usr/local/bin/rustc"].map(PathBuf::from);
    active
        .chain(rustup)
        .chain(system)
        .filter_map(|rustc| Compiler::probe(&rustc))
}

fn rustup_toolchains() -> Vec<String> {
    ask(Path::new("rustup"), &["toolchain", "list"])
        .map(|text| parse_toolchains(&text))
        .unwrap_or_default()
}

fn parse_toolchains(text: &str) -> Vec<String> {
    // Without any toolchain rustup prints a sentence.
    text.lines()
        .filter(|line| !line.starts_with("no installed"))
        .filter_map(|line| line.split_whitespace().next())
        .map(String::from)
        .collect()
}

fn llvm_in_ldd(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let (name, target) = line.trim().split_once(" => ")?;
        let path = target.split(" (0x").next()?;
        (name.starts_with("libLLVM") && path.starts_with('/')).then(|| path.into())
    })
}

fn lists_feature(text: &str, feature: &str) -> bool {
    text.lines()
        .any(|line| line.split_whitespace().next() == Some(feature))
}

/// The standard output of a program that succeeds.
pub(crate) fn ask(program: &Path, args: &[impl AsRef<OsStr>]) -> Option<String> {
    let mut command = Command::new(program);
    forget_outer_build(&mut command);
    let output = command.args(args).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_of_toolchains() {
        let text = "stable-x86_64-unknown-linux-gnu (active, default)\nnightly-x86_64\n";
        let names = ["stable-x86_64-unknown-linux-gnu", "nightly-x86_64"];
        assert_eq!(parse_toolchains(text), names);
        assert!(parse_toolchains("no installed toolchains\n").is_empty());
    }

    #[test]
    fn finds_the_llvm_that_the_loader_found() {
        let text = "\tlinux-vdso.so.1 (0x00007efd52568000)\n\
            \tlibLLVM.so.22.1 => /lib/x86_64-linux-gnu/libLLVM.so.22.1 (0x00007efd49200000)\n";
        let expected = PathBuf::from("/lib/x86_64-linux-gnu/libLLVM.so.22.1");
        assert_eq!(llvm_in_ldd(text), Some(expected));
        assert_eq!(llvm_in_ldd("\tlibLLVM.so.22.1 => not found\n"), None);
        assert_eq!(llvm_in_ldd("\tlibc.so.6 => /lib/libc.so.6 (0x1)\n"), None);
    }

    #[test]
    fn a_feature_counts_by_its_whole_name() {
        let text = "Features supported:\n    allows-misaligned-mem-access - Allows it.\n";
        assert!(lists_feature(text, "allows-misaligned-mem-access"));
        assert!(!lists_feature(text, "allows-misaligned"));
    }

    #[test]
    fn a_program_that_is_not_there_is_no_compiler() {
        assert_eq!(Compiler::probe(Path::new("/nonexistent/rustc")), None);
    }
}
