//! `bpf-linker`, built with the compiler's own LLVM.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use portguard_build::{BPF_LINKER_VERSION, Compiler, forget_outer_build, install_root};

use crate::{
    root,
    step::{self, Refused},
};

/// Builds `bpf-linker` into the user's cache.
///
/// It links the shared LLVM that `compiler` itself runs on, so no other LLVM is needed and the two
/// never disagree.
pub(crate) fn install(compiler: &Compiler) -> Result<()> {
    let llvm = compiler.llvm;
    let library = compiler.llvm_library().ok_or_else(|| {
        Refused(format!(
            "`{}` has no shared LLVM that bpf-linker could use: install bpf-linker with LLVM \
             {llvm} yourself and set `{}`",
            compiler.rustc.display(),
            portguard_build::LINKER_ENV
        ))
    })?;
    let prefix = install_root(llvm)
        .ok_or_else(|| Refused("neither `XDG_CACHE_HOME` nor `HOME` is set".into()))?;
    link_library(&library, &prefix)
        .with_context(|| format!("cannot write to `{}`", prefix.display()))?;

    let mut cargo = root::cargo();
    forget_outer_build(&mut cargo);
    cargo
        .args(["install", "bpf-linker", "--version", BPF_LINKER_VERSION])
        .args(["--locked", "--no-default-features", "--features"])
        .arg(format!("llvm-{llvm}"))
        // One that no longer starts, its LLVM updated away, is to be replaced.
        .args(["--force", "--root"])
        .arg(&prefix)
        // Its configuration belongs to the checkout, not to this program.
        .current_dir("/")
        .env("LLVM_PREFIX", &prefix)
        .env("CARGO_ENCODED_RUSTFLAGS", rpath(&library));
    step::run(
        &format!(
            "building bpf-linker {BPF_LINKER_VERSION} with LLVM {llvm}, a minute or two: into {}",
            prefix.display()
        ),
        &mut cargo,
    )
}

/// Puts `library` where the build of bpf-linker looks for LLVM.
fn link_library(library: &Path, prefix: &Path) -> io::Result<()> {
    let lib = prefix.join("lib");
    fs::create_dir_all(&lib)?;
    let link = lib.join("libLLVM.so");
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(library, link)
}

/// Where the loader finds the library: rustup keeps it in a folder that it does not look into.
fn rpath(library: &Path) -> String {
    let folder: PathBuf = library.parent().map(PathBuf::from).unwrap_or_default();
    format!("-Clink-arg=-Wl,-rpath,{}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_link_is_replaced() {
        let prefix = tempfile::tempdir().expect("a folder");
        link_library(Path::new("/old/libLLVM.so.22.1"), prefix.path()).expect("links");
        link_library(Path::new("/new/libLLVM.so.22.1"), prefix.path()).expect("links again");
        let target = fs::read_link(prefix.path().join("lib/libLLVM.so")).expect("a link");
        assert_eq!(target, Path::new("/new/libLLVM.so.22.1"));
    }

    #[test]
    fn the_loader_is_told_the_folder() {
        let library = Path::new("/toolchain/lib/libLLVM.so.22.1-rust");
        assert_eq!(rpath(library), "-Clink-arg=-Wl,-rpath,/toolchain/lib");
    }
}
