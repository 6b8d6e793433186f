//! The compilation of the kernel programs.

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
};

use thiserror::Error;

use crate::Toolchain;

/// The package, its binaries, and the profile of the root `Cargo.toml` they are compiled with.
const PACKAGE: &str = "portguard-ebpf";
const FILTER: &str = "portguard";
const SILENT: &str = "portguard-silent";
const BENCH: &str = "portguard-bench";
const PROFILE: &str = "kernel";

/// The compiled kernel programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objects {
    /// The packet filter.
    pub portguard: PathBuf,
    /// The same without drop events, for policies that have none.
    pub silent: PathBuf,
    /// The programs that benchmarks compare it with.
    pub bench: PathBuf,
}

/// The kernel programs did not compile.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Cargo did not start.
    #[error("cannot run `{}`", program.display())]
    Start {
        /// What was to run.
        program: PathBuf,
        /// Why it did not.
        source: io::Error,
    },
    /// The compiler or the linker refused.
    #[error("the kernel programs do not compile with `{}`:\n{output}", rustc.display())]
    Compile {
        /// The compiler.
        rustc: PathBuf,
        /// What it printed.
        output: String,
    },
    /// The compiler comes without a linter.
    #[error("the compiler of the kernel side has no clippy")]
    NoClippy,
    /// Cargo was content, yet the object is not where it belongs.
    #[error("cargo wrote no object to `{}`", .0.display())]
    NoObject(PathBuf),
}

impl Toolchain {
    /// Compiles the kernel programs of the workspace into `target_dir`.
    ///
    /// `target_dir` must not be one in which a cargo is at work that waits for this: it would hold
    /// the lock.
    ///
    /// # Errors
    ///
    /// The compiler's own output, when it refuses.
    pub fn build(&self, workspace_root: &Path, target_dir: &Path) -> Result<Objects, BuildError> {
        let machine = Machine::from_env();
        self.run(self.cargo("build", &machine, workspace_root, target_dir))?;
        let folder = target_dir.join(machine.target()).join(PROFILE);
        Ok(Objects {
            portguard: existing(folder.join(FILTER))?,
            silent: existing(folder.join(SILENT))?,
            bench: existing(folder.join(BENCH))?,
        })
    }

    /// Lints the kernel programs with the clippy of the same compiler; a warning is an error.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoClippy`] when the compiler has none, else what clippy says.
    pub fn lint(&self, workspace_root: &Path, target_dir: &Path) -> Result<(), BuildError> {
        let clippy = self.clippy().ok_or(BuildError::NoClippy)?;
        let mut command = self.cargo("check", &Machine::from_env(), workspace_root, target_dir);
        // What `cargo clippy` does: but that one takes the clippy of the active toolchain.
        command
            .env("RUSTC_WORKSPACE_WRAPPER", clippy)
            .env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__");
        self.run(command)
    }

    /// The clippy that belongs to the compiler, if it is installed.
    #[must_use]
    pub fn clippy(&self) -> Option<PathBuf> {
        let clippy = self.compiler.sysroot.join("bin/clippy-driver");
        clippy.is_file().then_some(clippy)
    }

    fn cargo(&self, verb: &str, machine: &Machine, root: &Path, target_dir: &Path) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        forget_outer_build(&mut command);
        command
            .current_dir(root)
            .args([verb, "--quiet", "--locked", "--bins", "--package", PACKAGE])
            .args(["--profile", PROFILE, "--target", machine.target()])
            .args(["-Z", "build-std=core", "--color", "never", "--target-dir"])
            .arg(target_dir)
            .env("RUSTC", &self.compiler.rustc)
            // Stable compilers take `-Z` too, when told so; this is how distributions do it.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(machine).join("\x1f"));
        command
    }

    fn run(&self, mut command: Command) -> Result<(), BuildError> {
        let output = command.output().map_err(|source| BuildError::Start {
            program: command.get_program().into(),
            source,
        })?;
        if output.status.success() {
            return Ok(());
        }
        Err(BuildError::Compile {
            rustc: self.compiler.rustc.clone(),
            output: String::from_utf8_lossy(&output.stderr).trim_end().into(),
        })
    }

    fn flags(&self, machine: &Machine) -> Vec<String> {
        let mut flags = vec![
            format!("-Clinker={}", self.linker.path.display()),
            "-Clinker-plugin-lto".into(),
            "-Clink-arg=--btf".into(),
            "-Cdebuginfo=2".into(),
            // 32-bit arithmetic and jumps, and atomic instructions: kernel 5.1 and 5.12 on.
            "-Ctarget-cpu=v3".into(),
            // What `aya-ebpf` chooses the layout of registers by.
            format!("--cfg=bpf_target_arch=\"{}\"", machine.arch),
        ];
        // Packet headers are rarely aligned, and the verifier allows it for packet data: without
        // this every field is put together from single bytes (a quarter more instructions).
        const MISALIGNED: &str = "allows-misaligned-mem-access";
        if self.compiler.knows_feature(machine.target(), MISALIGNED) {
            flags.push(format!("-Ctarget-feature=+{MISALIGNED}"));
        }
        flags
    }
}

/// The machine whose kernel will run the programs.
struct Machine {
    arch: String,
    big_endian: bool,
}

impl Machine {
    /// The one that a build script builds for, else this one.
    fn from_env() -> Self {
        let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or(env::consts::ARCH.into());
        let big_endian = match env::var("CARGO_CFG_TARGET_ENDIAN") {
            Ok(endian) => endian == "big",
            Err(_) => cfg!(target_endian = "big"),
        };
        Self { arch, big_endian }
    }

    fn target(&self) -> &'static str {
        if self.big_endian {
            "bpfeb-unknown-none"
        } else {
            "bpfel-unknown-none"
        }
    }
}

/// Takes everything out of the environment of `command` that steers the build of which this
/// process is a part: compiler, wrapper, flags, target directory, profile.
pub fn forget_outer_build(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(steers_the_outer_build) {
            command.env_remove(name);
        }
    }
}

/// Variables that cargo, clippy or the user set for the daemon's build, not for the kernel's.
fn steers_the_outer_build(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_ENCODED_RUSTDOCFLAGS",
        "CARGO_INCREMENTAL",
        // Cargo adds the libraries of the active toolchain: another compiler would load them in
        // place of its own.
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "TARGET",
    ];
    const PREFIXES: [&str; 4] = [
        "CARGO_BUILD_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "CARGO_UNSTABLE_",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn existing(path: PathBuf) -> Result<PathBuf, BuildError> {
    if path.is_file() {
        Ok(path)
    } else {
        Err(BuildError::NoObject(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_does_not_steer_the_inner_one() {
        for name in [
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_TARGET_DIR",
            "CARGO_BUILD_TARGET",
            "CARGO_PROFILE_RELEASE_LTO",
        ] {
            assert!(steers_the_outer_build(name), "{name}");
        }
        // The job server, the registry and the proxy are shared.
        for name in ["CARGO_MAKEFLAGS", "CARGO_HOME", "CARGO_HTTP_PROXY", "PATH"] {
            assert!(!steers_the_outer_build(name), "{name}");
        }
    }

    #[test]
    fn the_byte_order_of_the_machine_is_kept() {
        let machine = |big_endian| Machine {
            arch: "any".into(),
            big_endian,
        };
        assert_eq!(machine(false).target(), "bpfel-unknown-none");
        assert_eq!(machine(true).target(), "bpfeb-unknown-none");
    }
}
