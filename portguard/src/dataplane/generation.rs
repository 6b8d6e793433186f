//! A generation: one policy's tables and program, loaded into the kernel and never changed afterwards.

use std::os::fd::{AsFd as _, BorrowedFd};

use aya::maps::{Array, MapError, PerCpuArray};
use aya::programs::{ProgramError, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use portguard_common::abi::{self, Bucket, Cell, Setting, Settings, Trace, counter, symbol};
use portguard_common::packet::Malformed;
use portguard_policy::{Attribution, Tables};

use super::clock::monotonic_ns;
use super::counters::{self, Counts};
use super::kernel;

/// The programs, compiled for the kernel.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portguard.o"));

/// `XDP_DROP` and `XDP_PASS`, what a program returns.
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// How often to try again when a signal interrupts the verifier.
const LOAD_RETRIES: usize = 20;

/// What a generation needs to know besides its policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Frames may have several buffers (a large MTU, generic mode), so their length must be asked for.
    pub count_all_buffers: bool,
    /// Each run leaves its outcome behind, for `replay` and tests.
    pub trace: bool,
}

/// Why a generation cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The process lacks a capability.
    #[error(
        "the kernel does not permit it: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
    )]
    Permission,
    /// The kernel does not know BPF.
    #[error("this kernel has no BPF (CONFIG_BPF_SYSCALL)")]
    NoBpf,
    /// The maps cannot be made.
    #[error("cannot create the kernel's maps: {0}")]
    Maps(#[source] EbpfError),
    /// A map cannot be filled or read.
    #[error("cannot access map `{name}`: {source}")]
    Map {
        /// Name of the map.
        name: &'static str,
        /// What aya says.
        source: MapError,
    },
    /// The kernel refuses the program.
    #[error("the kernel refuses the program: {0}")]
    Program(#[source] ProgramError),
    /// The object file lacks what it should have; a fault of this build.
    #[error("this build is broken: its kernel object has no `{0}`")]
    Missing(&'static str),
}

/// What decided a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule with this index.
    Rule(usize),
    /// Something other than a rule.
    Builtin(abi::Builtin),
    /// A malformed header.
    Malformed(Malformed),
}

/// What the program did with one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whether the frame was dropped.
    pub dropped: bool,
    /// What decided.
    pub outcome: Outcome,
    /// Indices of the rules that only counted it.
    pub shadows: Vec<usize>,
}

/// A policy in the kernel. Dropping it frees the kernel's memory, unless a link still holds the program.
#[derive(Debug)]
pub struct Generation {
    ebpf: Ebpf,
    program: &'static str,
    attributions: Vec<Attribution>,
}

impl Generation {
    /// Loads tables and program; nothing is attached yet.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; nothing is left in the kernel then.
    pub fn load(tables: &Tables, options: LoadOptions) -> Result<Self, LoadError> {
        // From here on XDP programs may see frames of several buffers.
        let multi_buffer = kernel::at_least(5, 18);
        let settings = settings(tables, options, multi_buffer);
        let mut cells = [Cell::NO_RULE; portguard_common::limits::CELLS];
        cells[..tables.cells.len()].copy_from_slice(&tables.cells);

        let mut ebpf = EbpfLoader::new()
            // Nothing here needs the kernel's own types, and reading them takes longer than the rest.
            .btf(None)
            .override_global(symbol::SETTINGS, &settings, true)
            .override_global(symbol::SERVICES, tables.services.as_slice(), true)
            .override_global(symbol::CELLS, &cells[..], true)
            .map_max_entries(
                symbol::COUNTERS,
                counter::pages(tables.cells.len())
                    .try_into()
                    .unwrap_or(u32::MAX),
            )
            .load(OBJECT)
            .map_err(maps_error)?;

        if let Some(bucket) = tables.fragment_bucket {
            fill_bucket(&mut ebpf, bucket)?;
        }
        let program = if multi_buffer {
            symbol::PROGRAM
        } else {
            symbol::PROGRAM_LINEAR
        };
        load_program(xdp_mut(&mut ebpf, program)?)?;
        Ok(Self {
            ebpf,
            program,
            attributions: tables.attributions.clone(),
        })
    }

    /// The program's descriptor, for a link.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the build is broken.
    pub fn program(&self) -> Result<BorrowedFd<'_>, LoadError> {
        let program = self.xdp()?;
        Ok(program.fd().map_err(LoadError::Program)?.as_fd())
    }

    /// What was counted up to now, summed over the CPUs.
    ///
    /// # Errors
    ///
    /// [`LoadError::Map`] when the kernel refuses to read.
    pub fn counts(&self) -> Result<Counts, LoadError> {
        let pages = self.per_cpu::<abi::CounterPage>(symbol::COUNTERS)?;
        let drops = self.per_cpu::<abi::DropPage>(symbol::DROPS)?;
        counters::read(&pages, &drops, &self.attributions)
            .map_err(|(name, source)| LoadError::Map { name, source })
    }

    /// Runs the program on one frame, which must have at least 14 bytes. Needs [`LoadOptions::trace`].
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to run it.
    pub fn run(&self, frame: &[u8]) -> Result<Run, LoadError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        };
        let result = self.xdp()?.test_run(options).map_err(program_error)?;
        let trace = self.last_trace()?;
        let dropped = match result.return_value {
            XDP_DROP => true,
            XDP_PASS => false,
            _ => return Err(LoadError::Missing("action other than XDP_ABORTED")),
        };
        Ok(Run {
            dropped,
            outcome: self.outcome(trace.counter)?,
            shadows: self.shadows(trace),
        })
    }

    /// Mean duration of one run in nanoseconds, over `repeat` runs of the same frame.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to run it.
    pub fn time(&self, frame: &[u8], repeat: u32) -> Result<f64, LoadError> {
        super::floor::time(self.xdp()?, frame, repeat)
    }

    fn last_trace(&self) -> Result<Trace, LoadError> {
        let name = symbol::TRACE;
        let map = self.ebpf.map(name).ok_or(LoadError::Missing(name))?;
        Array::<_, Trace>::try_from(map)
            .and_then(|map| map.get(&0, 0))
            .map_err(|source| LoadError::Map { name, source })
    }

    fn outcome(&self, index: u32) -> Result<Outcome, LoadError> {
        if let Some(cell) = index.checked_sub(counter::CELL) {
            let rule = self
                .attributions
                .get(cell as usize)
                .and_then(|cell| cell.decider);
            return rule.map(Outcome::Rule).ok_or(LoadError::Missing("cell"));
        }
        if let Some(reason) = index.checked_sub(counter::MALFORMED) {
            let reason = Malformed::ALL.get(reason as usize).copied();
            return reason
                .map(Outcome::Malformed)
                .ok_or(LoadError::Missing("reason"));
        }
        let builtin = abi::Builtin::ALL.get(index as usize).copied();
        builtin
            .map(Outcome::Builtin)
            .ok_or(LoadError::Missing("outcome"))
    }

    fn shadows(&self, trace: Trace) -> Vec<usize> {
        // A deciding cell carries its own shadows; an undecided one is named apart.
        let counter = if trace.shadow == counter::NONE {
            trace.counter
        } else {
            trace.shadow
        };
        counter
            .checked_sub(counter::CELL)
            .and_then(|cell| self.attributions.get(cell as usize))
            .map(|attribution| attribution.shadows.clone())
            .unwrap_or_default()
    }

    fn xdp(&self) -> Result<&Xdp, LoadError> {
        self.ebpf
            .program(self.program)
            .and_then(|program| <&Xdp>::try_from(program).ok())
            .ok_or(LoadError::Missing(self.program))
    }

    fn per_cpu<T: aya::Pod>(
        &self,
        name: &'static str,
    ) -> Result<PerCpuArray<&aya::maps::MapData, T>, LoadError> {
        let map = self.ebpf.map(name).ok_or(LoadError::Missing(name))?;
        PerCpuArray::try_from(map).map_err(|source| LoadError::Map { name, source })
    }
}

/// Loads the program, again where a signal interrupted the verifier (EAGAIN).
fn load_program(program: &mut Xdp) -> Result<(), LoadError> {
    let mut result = program.load();
    for _ in 0..LOAD_RETRIES {
        match &result {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.raw_os_error() == Some(libc::EAGAIN) =>
            {
                result = program.load();
            }
            _ => break,
        }
    }
    result.map_err(program_error)
}

fn xdp_mut<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, LoadError> {
    ebpf.program_mut(name)
        .and_then(|program| <&mut Xdp>::try_from(program).ok())
        .ok_or(LoadError::Missing(name))
}

/// The policy's settings with what this kernel and these interfaces ask for.
fn settings(tables: &Tables, options: LoadOptions, multi_buffer: bool) -> Settings {
    let mut settings = tables.settings;
    settings[Setting::MultiBuffer as usize] = u32::from(multi_buffer);
    settings[Setting::CountAllBuffers as usize] =
        u32::from(multi_buffer && options.count_all_buffers);
    settings[Setting::Trace as usize] = u32::from(options.trace);
    settings
}

/// A full bucket, as of now.
fn fill_bucket(ebpf: &mut Ebpf, bucket: Bucket) -> Result<(), LoadError> {
    let name = symbol::FRAGMENT_BUCKET;
    let map = ebpf.map_mut(name).ok_or(LoadError::Missing(name))?;
    let map_error = |source| LoadError::Map { name, source };
    let mut map: Array<_, Bucket> = Array::try_from(map).map_err(map_error)?;
    let full = Bucket {
        refilled_ns: monotonic_ns(),
        ..bucket
    };
    map.set(0, full, 0).map_err(map_error)
}

fn maps_error(error: EbpfError) -> LoadError {
    match error {
        EbpfError::MapError(MapError::CreateError { ref io_error, .. }) => {
            match io_error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => LoadError::Permission,
                Some(libc::ENOSYS) => LoadError::NoBpf,
                _ => LoadError::Maps(error),
            }
        }
        error => LoadError::Maps(error),
    }
}

fn program_error(error: ProgramError) -> LoadError {
    match error {
        ProgramError::LoadError { ref io_error, ref verifier_log }
            // The verifier also says EACCES, but then it says why.
            if matches!(io_error.raw_os_error(), Some(libc::EPERM))
                || (io_error.raw_os_error() == Some(libc::EACCES)
                    && verifier_log.to_string().is_empty()) =>
        {
            LoadError::Permission
        }
        error => LoadError::Program(error),
    }
}
