//! `bpf-linker`: where it may be, and which LLVM is in it.

use std::{
    env, fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use crate::compiler::ask;

/// Names the one `bpf-linker` to use; nothing else is looked at when it is set.
pub const LINKER_ENV: &str = "PORTGUARD_BPF_LINKER";

/// The release that `cargo xtask setup` installs.
pub const BPF_LINKER_VERSION: &str = "0.13.0";

/// The major versions of LLVM that this release can be built with (its `llvm-*` features).
pub const SUPPORTED_LLVM: RangeInclusive<u32> = 21..=23;

/// A `bpf-linker`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linker {
    /// An absolute path: a relative one would depend on the folder that cargo runs it in.
    pub path: PathBuf,
    /// The major version of its LLVM; `None` when it does not show.
    pub llvm: Option<u32>,
}

impl Linker {
    /// Whether it reads the bitcode of a compiler with this LLVM: an older LLVM may not.
    #[must_use]
    pub fn reads(&self, compiler_llvm: u32) -> bool {
        self.llvm.is_some_and(|own| own >= compiler_llvm)
    }
}

/// Where `cargo xtask setup` installs a `bpf-linker` with this LLVM.
///
/// `None` when the environment has neither `XDG_CACHE_HOME` nor `HOME`.
#[must_use]
pub fn install_root(llvm: u32) -> Option<PathBuf> {
    Some(cache_dir()?.join(format!("bpf-linker-{BPF_LINKER_VERSION}-llvm-{llvm}")))
}

/// The linker that the user named, if any.
pub(crate) fn named() -> Option<PathBuf> {
    env::var_os(LINKER_ENV)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// What the file at `path` is; `None` when it is not there or does not start, for instance because
/// the LLVM that it was linked with has been updated away.
pub(crate) fn probe(path: &Path) -> Option<Linker> {
    let path = path.canonicalize().ok()?;
    ask(&path, &["--version"])?;
    let installed = path.ancestors().nth(2).and_then(llvm_of_install_root);
    let llvm = match installed {
        Some(llvm) => Some(llvm),
        None => llvm_in_binary(&fs::read(&path).ok()?),
    };
    Some(Linker { path, llvm })
}

/// Every linker of this machine: those of `cargo xtask setup` first.
pub(crate) fn all() -> impl Iterator<Item = Linker> {
    let ours = SUPPORTED_LLVM
        .filter_map(install_root)
        .map(|root| root.join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = env::split_paths(&path).collect();
    let cargo = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    ours.chain(path)
        .chain(cargo.map(|cargo| cargo.join("bin")))
        .filter_map(|folder| probe(&folder.join("bpf-linker")))
}

fn cache_dir() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| Some(env::home_dir()?.join(".cache")))?;
    Some(cache.join("portguard"))
}

fn llvm_of_install_root(root: &Path) -> Option<u32> {
    let (head, llvm) = root.file_name()?.to_str()?.rsplit_once("-llvm-")?;
    head.starts_with("bpf-linker-")
        .then(|| llvm.parse().ok())
        .flatten()
}

/// Reads the version of LLVM from the name of the shared library that a binary needs, since
/// `bpf-linker --version` does not tell it.
fn llvm_in_binary(bytes: &[u8]) -> Option<u32> {
    [b"libLLVM.so.".as_slice(), b"libLLVM-"]
        .into_iter()
        .find_map(|needle| {
            let at = bytes.windows(needle.len()).position(|w| w == needle)?;
            let rest = bytes.get(at + needle.len()..)?;
            let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
            std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_llvm_does_not_read_newer_bitcode() {
        let linker = |llvm| Linker {
            path: "/bpf-linker".into(),
            llvm,
        };
        assert!(!linker(Some(21)).reads(22));
        assert!(linker(Some(22)).reads(22));
        assert!(linker(Some(23)).reads(22));
        assert!(!linker(None).reads(22));
    }

    #[test]
    fn the_install_folder_tells_the_llvm() {
        let llvm = |path| llvm_of_install_root(Path::new(path));
        assert_eq!(llvm("/c/portguard/bpf-linker-0.13.0-llvm-22"), Some(22));
        assert_eq!(llvm("/c/bpf-linker-0.13.0-llvm-"), None);
        assert_eq!(llvm("/c/gcc-llvm-22"), None);
        assert_eq!(llvm("/"), None);
    }

    #[test]
    fn the_needed_library_tells_the_llvm() {
        assert_eq!(llvm_in_binary(b"\0libLLVM.so.22.1\0libc.so"), Some(22));
        assert_eq!(llvm_in_binary(b"\0libLLVM-19.so.1\0"), Some(19));
        assert_eq!(llvm_in_binary(b"\0LLVMGetTarget\0"), None);
    }
}
