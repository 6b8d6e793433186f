//! Compiles the kernel programs; the daemon carries them inside.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() {
    if let Err(problem) = build() {
        // An instruction instead of a failure: cargo shows the sentence and nothing around it.
        for line in problem.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), String> {
    let workspace = path_from_env("CARGO_MANIFEST_DIR")?.join("..");
    for input in [
        "portguard-ebpf",
        "portguard-common",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        let path = workspace.join(input);
        println!("cargo::rerun-if-changed={}", path.display());
    }
    for name in [portguard_build::RUSTC_ENV, portguard_build::LINKER_ENV] {
        println!("cargo::rerun-if-env-changed={name}");
    }

    let toolchain = portguard_build::find().map_err(|missing| missing.to_string())?;
    for tool in [&toolchain.compiler.rustc, &toolchain.linker.path] {
        println!("cargo::rerun-if-changed={}", tool.display());
    }

    let out_dir = path_from_env("OUT_DIR")?;
    let objects = toolchain
        .build(&workspace, &kernel_target_dir(&out_dir))
        .map_err(|error| error.to_string())?;
    copy(&objects.portguard, &out_dir.join("portguard.o"))?;
    copy(&objects.silent, &out_dir.join("portguard-silent.o"))?;
    copy(&objects.bench, &out_dir.join("portguard-bench.o"))
}

/// A folder of the target directory that all profiles share: the kernel programs are the same in
/// each. Its own, because cargo holds the lock of the profile's folder while this script runs.
fn kernel_target_dir(out_dir: &Path) -> PathBuf {
    // Cargo marks the target directory, whatever lies between it and `OUT_DIR`.
    let target = out_dir
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .unwrap_or(out_dir);
    target.join("kernel")
}

fn path_from_env(name: &str) -> Result<PathBuf, String> {
    env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| format!("cargo did not set `{name}`"))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("cannot copy `{}`: {error}", from.display()))
}
