//! The choice: which compiler with which linker.

use std::path::PathBuf;

use thiserror::Error;

use crate::{
    Compiler, Linker, MIN_RUST, RUSTC_ENV, SUPPORTED_LLVM, compiler,
    linker::{self, LINKER_ENV},
};

/// A compiler and a linker that fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Compiles `core` and the kernel programs to bitcode.
    pub compiler: Compiler,
    /// Turns the bitcode into one object with BTF.
    pub linker: Linker,
}

/// What keeps the kernel side from being built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Missing {
    /// No compiler will do.
    #[error(
        "the kernel side needs rustc {MIN_RUST} or newer with the source of its library (the \
         component `rust-src`), and none was found: run `cargo xtask setup`"
    )]
    Compiler,
    /// The compiler is there, the linker is not.
    #[error(
        "the kernel side needs `bpf-linker` with LLVM {llvm} or newer, and none was found: run \
         `cargo xtask setup`"
    )]
    Linker {
        /// The major version of the compiler's LLVM.
        llvm: u32,
    },
    /// The environment names a compiler which will not do.
    #[error(
        "`{RUSTC_ENV}` names `{}`, which is not a rustc {MIN_RUST} or newer with the source of its \
         library: unset it and run `cargo xtask setup`", .0.display()
    )]
    NamedCompiler(PathBuf),
    /// The environment names a linker which will not do.
    #[error(
        "`{LINKER_ENV}` names `{}`, which does not start: unset it and run `cargo xtask setup`",
        .0.display()
    )]
    NamedLinker(PathBuf),
}

/// Finds a compiler and a linker for the kernel side.
///
/// # Errors
///
/// What is missing, as one sentence that names the command which installs it.
pub fn find() -> Result<Toolchain, Missing> {
    match linker::named() {
        Some(path) => {
            // Named by the user: which LLVM is in it is the user's concern.
            let linker = linker::probe(&path).ok_or(Missing::NamedLinker(path))?;
            let compiler = find_compiler()?;
            Ok(Toolchain { compiler, linker })
        }
        None => {
            let linkers: Vec<Linker> = linker::all().collect();
            match compiler::named() {
                Some(_) => pair([find_compiler()?], &linkers),
                None => pair(compiler::all(), &linkers),
            }
        }
    }
}

/// Finds a compiler for the kernel side, whether there is a linker for it yet or not.
///
/// # Errors
///
/// [`Missing::Compiler`] or [`Missing::NamedCompiler`].
pub fn find_compiler() -> Result<Compiler, Missing> {
    match compiler::named() {
        Some(path) => Compiler::probe(&path)
            .filter(Compiler::is_sufficient)
            .ok_or(Missing::NamedCompiler(path)),
        None => compiler::all()
            .find(has_installable_linker)
            .ok_or(Missing::Compiler),
    }
}

/// The first compiler that has a linker; else says what the first good compiler lacks.
fn pair(
    compilers: impl IntoIterator<Item = Compiler>,
    linkers: &[Linker],
) -> Result<Toolchain, Missing> {
    let mut missing = Missing::Compiler;
    for compiler in compilers.into_iter().filter(Compiler::is_sufficient) {
        if let Some(linker) = linkers.iter().find(|linker| linker.reads(compiler.llvm)) {
            return Ok(Toolchain {
                linker: linker.clone(),
                compiler,
            });
        }
        if missing == Missing::Compiler && has_installable_linker(&compiler) {
            missing = Missing::Linker {
                llvm: compiler.llvm,
            };
        }
    }
    Err(missing)
}

/// A compiler that is newer than every `bpf-linker` is of no use: setup looks for another one.
fn has_installable_linker(compiler: &Compiler) -> bool {
    compiler.is_sufficient() && SUPPORTED_LLVM.contains(&compiler.llvm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RustVersion;

    fn compiler(rustc: &str, minor: u32, llvm: u32, has_source: bool) -> Compiler {
        Compiler {
            rustc: rustc.into(),
            sysroot: "/usr".into(),
            version: RustVersion { major: 1, minor },
            llvm,
            has_source,
        }
    }

    fn linker(llvm: u32) -> Linker {
        Linker {
            path: format!("/llvm-{llvm}/bpf-linker").into(),
            llvm: Some(llvm),
        }
    }

    #[test]
    fn takes_the_first_compiler_that_will_do() {
        let compilers = [
            compiler("/no-source", 95, 22, false),
            compiler("/too-old", 94, 21, true),
            compiler("/good", 96, 22, true),
            compiler("/also-good", 97, 22, true),
        ];
        let found = pair(compilers, &[linker(21), linker(22)]).expect("a pair");
        assert_eq!(found.compiler.rustc, PathBuf::from("/good"));
        assert_eq!(found.linker, linker(22));
    }

    #[test]
    fn passes_over_a_compiler_without_a_linker_for_one_with() {
        let compilers = [
            compiler("/newer", 99, 23, true),
            compiler("/older", 96, 22, true),
        ];
        let found = pair(compilers, &[linker(22)]).expect("a pair");
        assert_eq!(found.compiler.rustc, PathBuf::from("/older"));
    }

    #[test]
    fn says_which_linker_the_first_good_compiler_lacks() {
        let compilers = [
            compiler("/beyond-every-linker", 120, 99, true),
            compiler("/first", 98, 23, true),
            compiler("/second", 96, 22, true),
        ];
        assert_eq!(
            pair(compilers, &[linker(21)]),
            Err(Missing::Linker { llvm: 23 })
        );
    }

    #[test]
    fn without_any_good_compiler_the_compiler_is_what_is_missing() {
        assert_eq!(
            pair([compiler("/no-source", 95, 22, false)], &[linker(22)]),
            Err(Missing::Compiler)
        );
        assert_eq!(pair([], &[]), Err(Missing::Compiler));
    }

    #[test]
    fn every_sentence_is_one_line_and_names_the_command() {
        let all = [
            Missing::Compiler,
            Missing::Linker { llvm: 22 },
            Missing::NamedCompiler("/a/rustc".into()),
            Missing::NamedLinker("/a/bpf-linker".into()),
        ];
        for missing in all {
            let sentence = missing.to_string();
            assert!(sentence.ends_with("`cargo xtask setup`"), "{sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
        assert_eq!(
            Missing::Linker { llvm: 22 }.to_string(),
            "the kernel side needs `bpf-linker` with LLVM 22 or newer, and none was found: run \
             `cargo xtask setup`"
        );
    }
}
