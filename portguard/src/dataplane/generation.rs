//! A generation: one policy's tables and program, loaded into the kernel and never changed afterwards.

use std::cell::RefCell;
use std::fmt;
use std::os::fd::BorrowedFd;

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray};
use aya::programs::{
    ProgramError, ProgramInfo, SchedClassifier, TestRun as _, TestRunOptions, Xdp,
};
use aya::{Ebpf, EbpfError};
use portguard_common::abi::{
    Setting, Settings, TELL_DIAGNOSTICS, TELL_EVENTS, TELL_TRACE, Trace, symbol,
};
use portguard_common::constant::Memory;
use portguard_policy::{Meaning, Outcome, Tables};

use super::bans::BanTable;
use super::counters::{self, Counts};
use super::diagnostics::Diagnostics;
use super::flows::{self, StartedFlow};
use super::programs::{self, descriptor, loaded, program_error};
use super::state::{self, State};
use super::{events, fill, kernel, memory};

/// `XDP_DROP`, `XDP_PASS` and `XDP_TX`, what a program returns.
pub(super) const XDP_DROP: u32 = 1;
pub(super) const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;

/// Room for an answer beyond the length of its request. The program makes none that is longer; a test must
/// be able to see it if it did.
const ANSWER_ROOM: usize = 256;

/// What lets a packet go on to whatever else looks at it (`TCX_NEXT`).
const TC_ACT_UNSPEC: i32 = -1;

/// What a generation needs to know besides its policy.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The interfaces by index, with the names that the tables know them by.
    pub interfaces: Vec<(u32, String)>,
    /// Where state is kept that outlives the generation; without it, it has its own.
    pub state: Option<State>,
    /// Room for so many bans. Generations of one state share the table; without state, each has its own.
    pub bans: u32,
    /// Frames may have several buffers (a large MTU, generic mode), so their length must be asked for.
    pub count_all_buffers: bool,
    /// Dropped frames are told if the policy asks for it, under this number; without it, none are.
    pub events: Option<u32>,
    /// The programs say what they think, from this level on: [`super::diagnostics`]. Needs a tokio runtime.
    pub diagnostics: Option<log::Level>,
    /// CPUs count in pages, as they do where the kernel takes no map of so many slots.
    pub count_in_pages: bool,
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
    /// Signals cannot be held off.
    #[error("cannot hold signals off: {0}")]
    Signals(#[source] std::io::Error),
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
    /// The kernel has no memory for the maps.
    #[error("the kernel has no memory for the policy's tables: {0}")]
    Memory(#[source] std::io::Error),
    /// An old kernel takes no table of this size.
    #[error(
        "the policy needs a table of {needed} bytes, and kernels before Linux 6.0 take {allowed}: let it name fewer addresses, \
         or run a later kernel"
    )]
    TableTooLarge {
        /// Bytes needed.
        needed: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// What outlives a generation cannot be found or kept.
    #[error("cannot keep what outlives a reload: {0}")]
    State(#[source] MapError),
    /// The programs took the places of flows each time that one was to be added.
    #[error("{0} flows find no place in their table")]
    FlowsNotKept(usize),
    /// A descriptor cannot be made.
    #[error("cannot share a program: {0}")]
    Descriptor(#[source] std::io::Error),
    /// How many CPUs there are is not told.
    #[error("cannot read how many CPUs there are: {0}")]
    Cpus(#[source] std::io::Error),
    /// The count of timer ticks cannot be read.
    #[error("cannot read the kernel's count of timer ticks: {0}")]
    Ticks(#[source] std::io::Error),
    /// What another daemon left cannot be read.
    #[error("cannot read what a daemon before this one counted: {0}")]
    Kept(#[source] std::io::Error),
    /// The programs cannot be heard.
    #[error("cannot listen to the programs in the kernel: {0}")]
    Diagnostics(#[source] aya_log::Error),
    /// No random numbers.
    #[error("the kernel gives no random numbers: {0}")]
    Random(#[source] std::io::Error),
    /// The table of interfaces cannot tell them apart.
    #[error(
        "rules tell {0} interfaces apart, which are too many: use fewer interfaces, or fewer rules with `interfaces`"
    )]
    TooManyInterfaces(usize),
    /// The object file lacks what it should have; a fault of this build.
    #[error("this build is broken: its kernel object has no `{0}`")]
    Missing(&'static str),
    /// The object file cannot be read; a fault of this build.
    #[error("this build is broken: its kernel object cannot be read")]
    Object(#[source] object::Error),
    /// Its programs cannot be folded; a fault of this build.
    #[error("this build is broken: its kernel object: {0}")]
    Fold(#[from] portguard_fold::FoldError),
}

/// What the program did with one frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whether the frame was dropped; a rejected one was, too.
    pub dropped: bool,
    /// The frame that was sent in answer to one that was rejected.
    pub answer: Option<Vec<u8>>,
    /// What decided.
    pub outcome: Outcome,
    /// Indices of the rules that only counted it.
    pub shadows: Vec<usize>,
}

/// The programs of an attachment.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'g> {
    /// For what arrives.
    pub xdp: BorrowedFd<'g>,
    /// For what leaves; `None` if nobody needs to see it.
    pub egress: Option<BorrowedFd<'g>>,
}

/// A policy in the kernel. Dropping it frees the kernel's memory, unless a link or a pin still holds its programs and
/// maps.
pub struct Generation {
    ebpf: Ebpf,
    memory: memory::Maps,
    program: &'static str,
    has_egress: bool,
    tells_events: bool,
    meaning: Meaning,
    trace: RefCell<Array<MapData, Trace>>,
    /// Held for as long as its programs are to be heard.
    _diagnostics: Option<Diagnostics>,
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("ebpf", &self.ebpf)
            .field("program", &self.program)
            .field("meaning", &self.meaning)
            .finish_non_exhaustive()
    }
}

/// How a frame comes to [`Generation::run_as`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The index of its interface; 0 for the loopback interface.
    pub ifindex: u32,
    /// The time in nanoseconds of the monotonic clock; 0 for the present.
    pub now_ns: u64,
}

impl Generation {
    /// Loads tables and program; nothing is attached yet.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; nothing is left in the kernel then.
    pub fn load(tables: &Tables, options: &LoadOptions) -> Result<Self, LoadError> {
        let settings = settings(tables, options, kernel::has_multi_buffer());
        Self::load_object(fill::object(&settings), &settings, tables, options)
    }

    /// Loads the programs of an object, which need not be the one for these settings.
    pub(super) fn load_object(
        object: &[u8],
        settings: &Settings,
        tables: &Tables,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let multi_buffer = settings[Setting::MultiBuffer as usize] != 0;
        let (mut ebpf, memory) = fill::load(object, tables, settings, options)?;
        let program = if multi_buffer {
            symbol::PROGRAM
        } else {
            symbol::PROGRAM_LINEAR
        };
        let has_egress = settings[Setting::Replies as usize] != 0;
        let egress = has_egress.then_some(symbol::EGRESS);
        programs::load(&mut ebpf, &[Some(program), egress])?;
        let trace = ebpf
            .take_map(symbol::TRACE)
            .ok_or(LoadError::Missing(symbol::TRACE))?;
        let trace = Array::try_from(trace).map_err(trace_error)?;
        let diagnostics = match options.diagnostics {
            Some(_) => Some(Diagnostics::of(&mut ebpf)?),
            None => None,
        };
        Ok(Self {
            ebpf,
            memory,
            program,
            has_egress,
            tells_events: settings[Setting::Tell as usize] & TELL_EVENTS != 0,
            meaning: tables.meaning.clone(),
            trace: RefCell::new(trace),
            _diagnostics: diagnostics,
        })
    }

    /// Its programs, to attach them.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the build is broken.
    pub fn programs(&self) -> Result<Programs<'_>, LoadError> {
        let egress = match self.has_egress {
            true => Some(descriptor(self.classifier()?.fd())?),
            false => None,
        };
        Ok(Programs {
            xdp: descriptor(self.xdp()?.fd())?,
            egress,
        })
    }

    /// Whether what leaves must be seen.
    #[must_use]
    pub const fn watches_egress(&self) -> bool {
        self.has_egress
    }

    /// Whether dropped frames are told.
    #[must_use]
    pub const fn tells_events(&self) -> bool {
        self.tells_events
    }

    pub(super) fn map(&self, name: &'static str) -> Result<&Map, LoadError> {
        let map = self.ebpf.map(name);
        map.or_else(|| self.memory.by_name(name))
            .ok_or(LoadError::Missing(name))
    }

    pub(super) const fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    pub(super) const fn ebpf(&self) -> &Ebpf {
        &self.ebpf
    }

    /// What decided a frame that was counted there; `None` if that counts nothing that decides.
    #[must_use]
    pub fn outcome(&self, counter: u32) -> Option<Outcome> {
        self.meaning.outcome(counter)
    }

    pub(super) const fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// Puts down that UDP ports closed: their flows end, and none is started from them for a while.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn close_ports(
        &mut self,
        ports: impl Iterator<Item = u16>,
        now_ns: u64,
    ) -> Result<(), LoadError> {
        if !self.has_egress {
            return Ok(());
        }
        state::close_ports(self.memory.get(Memory::ClosedPorts), ports, now_ns)
    }

    /// Takes connections for ones that this side started, though nobody saw them begin.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn add_flows(&mut self, flows: &[StartedFlow], now_ns: u64) -> Result<(), LoadError> {
        if !self.has_egress {
            return Ok(());
        }
        let seed = state::kept_seed(self.ebpf.map(symbol::HOST))?;
        flows::add(&self.memory, seed, flows, now_ns)
    }

    /// The kernel's number of its table of bans.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn ban_table(&self) -> Result<u32, LoadError> {
        BanTable::id_of(self.ebpf.map(symbol::BANS))
    }

    /// The table of bans, which the generations of one state share. Needs [`LoadOptions::bans`].
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses.
    pub fn bans(&self) -> Result<BanTable, LoadError> {
        BanTable::open(&self.ebpf)
    }

    /// Runs the program that sees what leaves on one frame, which must have at least 14 bytes. Needs
    /// [`LoadOptions::trace`], and a policy that asks for replies.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to run it.
    pub fn leaves(&self, frame: &[u8], departure: Arrival) -> Result<(), LoadError> {
        self.set_arrival(departure)?;
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        };
        let result = self
            .classifier()?
            .test_run(options)
            .map_err(program_error)?;
        match result.return_value.cast_signed() {
            TC_ACT_UNSPEC => Ok(()),
            _ => Err(LoadError::Missing("way on for what leaves")),
        }
    }

    /// What was counted up to now, summed over the CPUs.
    ///
    /// # Errors
    ///
    /// [`LoadError::Map`] when the kernel refuses to read.
    pub fn counts(&self) -> Result<Counts, LoadError> {
        let mut counts = counters::read(|name| self.map(name), &self.meaning)?;
        counts.events = events::sum(&self.event_counts()?);
        Ok(counts)
    }

    /// Runs the program on one frame, which must have at least 14 bytes. Needs [`LoadOptions::trace`].
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to run it.
    pub fn run(&self, frame: &[u8]) -> Result<Run, LoadError> {
        self.run_as(frame, Arrival::default())
    }

    /// The same for a frame that arrives at an interface and a time.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to run it.
    pub fn run_as(&self, frame: &[u8], arrival: Arrival) -> Result<Run, LoadError> {
        self.set_arrival(arrival)?;
        let mut after = vec![0; frame.len() + ANSWER_ROOM];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut after),
            ..TestRunOptions::default()
        };
        let result = self.xdp()?.test_run(options).map_err(program_error)?;
        let trace = self.last_trace()?;
        let (dropped, answered) = match result.return_value {
            XDP_DROP => (true, false),
            XDP_PASS => (false, false),
            XDP_TX => (true, true),
            _ => return Err(LoadError::Missing("action other than XDP_ABORTED")),
        };
        after.truncate(result.data_size_out as usize);
        Ok(Run {
            dropped,
            answer: answered.then_some(after),
            outcome: self
                .meaning
                .outcome(trace.counter)
                .ok_or(LoadError::Missing("outcome"))?,
            shadows: self.meaning.shadows(
                trace.counter,
                trace.shadow,
                trace.cell as u16,
                trace.beyond,
            ),
        })
    }

    fn set_arrival(&self, arrival: Arrival) -> Result<(), LoadError> {
        let trace = Trace {
            now_ns: arrival.now_ns,
            ifindex: arrival.ifindex,
            ..Trace::default()
        };
        self.trace
            .borrow_mut()
            .set(0, trace, 0)
            .map_err(trace_error)
    }

    /// Mean duration of one run in nanoseconds, over `repeat` runs of the same frame.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to run it.
    pub fn time(&self, frame: &[u8], repeat: u32) -> Result<f64, LoadError> {
        super::measure::time(self.xdp()?, frame, repeat)
    }

    fn last_trace(&self) -> Result<Trace, LoadError> {
        self.trace.borrow().get(&0, 0).map_err(trace_error)
    }

    /// How many instructions the verifier went through, over all programs; `None` where the kernel (before 5.16) does
    /// not tell.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to tell.
    pub fn verified_instructions(&self) -> Result<Option<u32>, LoadError> {
        let verified = |info: Result<ProgramInfo, _>| {
            info.map(|info| info.verified_instruction_count())
                .map_err(program_error)
        };
        let xdp = verified(self.xdp()?.info())?;
        if !self.has_egress {
            return Ok(xdp);
        }
        let egress = verified(self.classifier()?.info())?;
        Ok(xdp.zip(egress).map(|(xdp, egress)| xdp + egress))
    }

    /// How many instructions the program for what arrives has, once the verifier has removed what is switched off: of eight
    /// bytes each. `None` where the kernel does not tell.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to tell.
    pub fn translated_instructions(&self) -> Result<Option<u32>, LoadError> {
        const INSTRUCTION_BYTES: u32 = 8;
        let info = self.xdp()?.info().map_err(program_error)?;
        let bytes = info.size_translated();
        Ok(bytes.map(|bytes| bytes / INSTRUCTION_BYTES))
    }

    pub(super) fn classifier(&self) -> Result<&SchedClassifier, LoadError> {
        loaded(&self.ebpf, symbol::EGRESS)
    }

    pub(super) fn xdp(&self) -> Result<&Xdp, LoadError> {
        loaded(&self.ebpf, self.program)
    }

    pub(super) fn per_cpu<T: aya::Pod>(
        &self,
        name: &'static str,
    ) -> Result<PerCpuArray<&MapData, T>, LoadError> {
        counters::pages(self.map(name)?, name)
    }
}

fn trace_error(source: MapError) -> LoadError {
    let name = symbol::TRACE;
    LoadError::Map { name, source }
}

/// The policy's settings with what this kernel and these interfaces ask for.
pub(super) fn settings(tables: &Tables, options: &LoadOptions, multi_buffer: bool) -> Settings {
    let mut settings = tables.settings;
    settings[Setting::MultiBuffer as usize] = u32::from(multi_buffer);
    settings[Setting::CountAllBuffers as usize] =
        u32::from(multi_buffer && options.count_all_buffers);
    let tell = &mut settings[Setting::Tell as usize];
    if options.trace {
        *tell |= TELL_TRACE;
    }
    if options.diagnostics.is_some() {
        *tell |= TELL_DIAGNOSTICS;
    }
    match options.events {
        Some(number) => settings[Setting::Generation as usize] = number,
        None => *tell &= !TELL_EVENTS,
    }
    settings
}
