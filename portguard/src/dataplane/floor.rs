//! Measuring: how long one run of a program takes, and the floor that this is compared with.

use aya::Ebpf;
use aya::programs::{TestRun as _, TestRunOptions, Xdp};

use super::generation::LoadError;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portguard-bench.o"));

const EMPTY_DROP: &str = "empty_drop";

/// An empty program that drops: what a run costs before anything is done in it.
#[derive(Debug)]
pub struct Floor(Ebpf);

impl Floor {
    /// Loads the empty program.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses it.
    pub fn load() -> Result<Self, LoadError> {
        let mut ebpf = Ebpf::load(OBJECT).map_err(LoadError::Maps)?;
        let program = ebpf
            .program_mut(EMPTY_DROP)
            .and_then(|program| <&mut Xdp>::try_from(program).ok())
            .ok_or(LoadError::Missing(EMPTY_DROP))?;
        program.load().map_err(LoadError::Program)?;
        Ok(Self(ebpf))
    }

    /// Mean duration of one run in nanoseconds, over `repeat` runs of the same frame.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to run it.
    pub fn time(&self, frame: &[u8], repeat: u32) -> Result<f64, LoadError> {
        let program = self
            .0
            .program(EMPTY_DROP)
            .and_then(|program| <&Xdp>::try_from(program).ok())
            .ok_or(LoadError::Missing(EMPTY_DROP))?;
        time(program, frame, repeat)
    }
}

/// The kernel reports the mean as whole nanoseconds.
pub(super) fn time(program: &Xdp, frame: &[u8], repeat: u32) -> Result<f64, LoadError> {
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat,
        ..TestRunOptions::default()
    };
    let result = program.test_run(options).map_err(LoadError::Program)?;
    Ok(result.duration.as_nanos() as f64)
}
