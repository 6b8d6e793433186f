//! Finds what compiles the kernel side of portguard, and compiles it.
//!
//! `bpfel-unknown-none` has no precompiled `core`, so this needs a compiler that comes with the
//! source of its library, and `bpf-linker` built with an LLVM that reads what that compiler writes.
//! Neither has to come from rustup. Nothing is installed here: that is `cargo xtask setup`.
//!
//! Used by the build script of `portguard` and by `xtask`.

mod compiler;
mod kernel;
mod linker;
mod toolchain;
mod version;

pub use compiler::{Compiler, RUSTC_ENV};
pub use kernel::{BuildError, Objects, forget_outer_build};
pub use linker::{BPF_LINKER_VERSION, LINKER_ENV, Linker, SUPPORTED_LLVM, install_root};
pub use toolchain::{Missing, Toolchain, find, find_compiler};
pub use version::{MIN_RUST, RustVersion};
