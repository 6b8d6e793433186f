//! Measuring: how long one run of a program takes, for one packet again and again or for packets drawn at random.

use std::fs;
use std::net::Ipv4Addr;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{MapError, ProgramArray};
use aya::programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use portguard_common::draw::{Draw, Stretch};
use portguard_policy::Tables;

use super::generation::{Generation, LoadError, LoadOptions, XDP_DROP, XDP_PASS, settings};
use super::programs::{self, loaded, own};
use super::state::array;
use super::{fill, kernel};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/portguard-bench.o"));

/// Loads a filter that knows nothing of drop events, to compare it with one that does not use them.
///
/// # Errors
///
/// As [`Generation::load`].
pub fn without_events(tables: &Tables, options: &LoadOptions) -> Result<Generation, LoadError> {
    let settings = settings(tables, options, kernel::has_multi_buffer());
    Generation::load_object(fill::SILENT_OBJECT, &settings, tables, options)
}

/// Names of programs, maps and globals in the object file.
const EMPTY_DROP: &str = "empty_drop";
const DRAWN: &str = "drawn";
const KERNEL_TRIE: &str = "kernel_trie";
const UNDER_TEST: &str = "UNDER_TEST";
const PREFIXES: &str = "PREFIXES";
const DRAW: &str = "DRAW";
const STRETCH: &str = "STRETCH";

/// A program that can be run again and again.
#[derive(Debug)]
pub struct Probe {
    ebpf: Ebpf,
    program: &'static str,
    /// What the program hands its packets to.
    under_test: Option<ProgramFd>,
}

impl Probe {
    /// An empty program that drops: what a run costs before anything is done in it.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses it; so with all that follow.
    pub fn empty() -> Result<Self, LoadError> {
        let mut ebpf = Ebpf::load(OBJECT).map_err(LoadError::Maps)?;
        load(&mut ebpf, EMPTY_DROP)?;
        Ok(Self {
            ebpf,
            program: EMPTY_DROP,
            under_test: None,
        })
    }

    /// The same, with a packet drawn before each run: the floor of all that follow.
    ///
    /// # Errors
    ///
    /// As [`Probe::empty`].
    pub fn drawn_empty(draw: &Draw) -> Result<Self, LoadError> {
        let mut ebpf = object(draw, 1)?;
        let program = load(&mut ebpf, EMPTY_DROP)?;
        Self::drawn(ebpf, program)
    }

    /// The filter, with a packet drawn before each run.
    ///
    /// # Errors
    ///
    /// As [`Probe::empty`].
    pub fn drawn_filter(draw: &Draw, filter: &Generation) -> Result<Self, LoadError> {
        Self::drawn(object(draw, 1)?, own(filter.xdp()?.fd())?)
    }

    /// A look-up of the source in the kernel's own table of prefixes (`BPF_MAP_TYPE_LPM_TRIE`), with a packet drawn
    /// before each run.
    ///
    /// # Errors
    ///
    /// As [`Probe::empty`].
    pub fn drawn_kernel_trie(draw: &Draw, prefixes: &[(Ipv4Addr, u8)]) -> Result<Self, LoadError> {
        let mut ebpf = object(draw, u32::try_from(prefixes.len()).unwrap_or(u32::MAX))?;
        let error = |source| map_error(PREFIXES, source);
        let map = ebpf.map_mut(PREFIXES).ok_or(LoadError::Missing(PREFIXES))?;
        let mut map = LpmTrie::<_, [u8; 4], u32>::try_from(map).map_err(error)?;
        for (address, length) in prefixes {
            let key = Key::new((*length).into(), address.octets());
            map.insert(&key, 1, 0).map_err(error)?;
        }
        let program = load(&mut ebpf, KERNEL_TRIE)?;
        Self::drawn(ebpf, program)
    }

    /// The same program, with other packets drawn.
    ///
    /// # Errors
    ///
    /// As [`Probe::empty`], and where no packets are drawn.
    pub fn with_draw(&self, draw: &Draw) -> Result<Self, LoadError> {
        let under_test = self.under_test.as_ref();
        let program = own(Ok(under_test.ok_or(LoadError::Missing(UNDER_TEST))?))?;
        Self::drawn(object(draw, 1)?, program)
    }

    /// The program array takes programs of one kind only: all here know frames of several buffers, and so does the
    /// filter from kernel 5.18 on.
    fn drawn(mut ebpf: Ebpf, under_test: ProgramFd) -> Result<Self, LoadError> {
        load(&mut ebpf, DRAWN)?;
        let error = |source| map_error(UNDER_TEST, source);
        let map = ebpf
            .map_mut(UNDER_TEST)
            .ok_or(LoadError::Missing(UNDER_TEST))?;
        let mut map = ProgramArray::try_from(map).map_err(error)?;
        map.set(0, &under_test, 0).map_err(error)?;
        Ok(Self {
            ebpf,
            program: DRAWN,
            under_test: Some(under_test),
        })
    }

    /// Mean duration of one run in nanoseconds, over `repeat` runs of the same frame: whole ones where no packets are drawn.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the kernel refuses to run it.
    pub fn time(&mut self, frame: &[u8], repeat: u32) -> Result<f64, LoadError> {
        let error = |source| map_error(STRETCH, source);
        array(&mut self.ebpf, STRETCH)?
            .set(0, Stretch::default(), 0)
            .map_err(error)?;
        let program = loaded(&self.ebpf, self.program)?;
        let whole_ns = time(program, frame, repeat)?;
        if self.under_test.is_none() {
            return Ok(whole_ns);
        }
        let stretch: Stretch = array(&mut self.ebpf, STRETCH)?.get(&0, 0).map_err(error)?;
        stretch.mean_ns().ok_or(LoadError::Missing("time"))
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
    if ![XDP_DROP, XDP_PASS].contains(&result.return_value) {
        return Err(LoadError::Missing("verdict"));
    }
    Ok(result.duration.as_nanos() as f64)
}

fn object(draw: &Draw, prefixes: u32) -> Result<Ebpf, LoadError> {
    EbpfLoader::new()
        .btf(None)
        .override_global(DRAW, draw, true)
        .map_max_entries(PREFIXES, prefixes)
        .load(OBJECT)
        .map_err(LoadError::Maps)
}

fn load(ebpf: &mut Ebpf, name: &'static str) -> Result<ProgramFd, LoadError> {
    programs::load(ebpf, &[Some(name)])?;
    own(loaded::<Xdp>(ebpf, name)?.fd())
}

/// Bytes that the kernel says the maps of this process take (kernel 6.4 and later; before, an estimate of its own).
///
/// # Errors
///
/// Where `/proc` cannot be read.
pub fn map_bytes() -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        // The descriptor of the folder itself is gone by now.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        if text.contains("map_type:") {
            let field = text.lines().find_map(|line| line.strip_prefix("memlock:"));
            bytes += field
                .and_then(|value| value.trim().parse().ok())
                .unwrap_or(0);
        }
    }
    Ok(bytes)
}

fn map_error(name: &'static str, source: MapError) -> LoadError {
    LoadError::Map { name, source }
}
