//! What is frozen into the programs of a generation.

use super::Action;
use crate::constant::Memory;

/// A setting of the policy, frozen into the program when it is loaded: an index of its `.rodata` array.
/// The verifier removes the code of what is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Setting {
    /// 1: what no rule decides is dropped.
    DefaultDrop,
    /// 1: frames that are not IP are dropped, but for those that keep a link alive.
    NonIpDrop,
    /// 1: malformed packets are dropped.
    MalformedDrop,
    /// 1: later fragments that no rule decides are dropped; 2: beyond a rate.
    Fragments,
    /// 1: essential traffic is exempt from the default and from rules that do not mean it.
    Essential,
    /// 1: verdicts are enforced; 0: everything is counted and passed.
    Enforce,
    /// 1: the kernel knows frames of several buffers (5.18), so headers may lie beyond the first.
    MultiBuffer,
    /// 1: the length of a frame is asked of the kernel, since it may have several buffers.
    CountAllBuffers,
    /// What is told of each frame, bit by bit: [`TELL_TRACE`], [`TELL_EVENTS`], [`TELL_DIAGNOSTICS`]. One word, so that a program that tells
    /// nothing asks once.
    Tell,
    /// 1: replies to what this side started pass.
    Replies,
    /// Most limits that one packet has to ask; 0: no rule has one.
    Limits,
    /// 1: the clock of the last timer tick will do for limits, see [`crate::limits::COARSE_TOLERANCE_NS`].
    CoarseClock,
    /// 1: some rule answers what it drops.
    Reject,
    /// The number of [`super::interface_entry`].
    InterfaceMultiplier,
    /// Nanoseconds for one later fragment, of [`FRAGMENTS_RATE`]: the lower half.
    FragmentIntervalLow,
    /// The upper half.
    FragmentIntervalHigh,
    /// How far ahead of the clock the bucket of later fragments may be, in nanoseconds: the lower half.
    FragmentToleranceLow,
    /// The upper half.
    FragmentToleranceHigh,
    /// Bytes of a frame that an event keeps, at most [`crate::limits::SNAP_MAX`].
    SnapBytes,
    /// The number by which events name this generation.
    Generation,
    /// The index of the last line of bans: see [`crate::ban_table::BanPlaces::new`].
    LastBanLine,
    /// 1: rules that only count are counted by some cell, see [`super::Cell::shadow`].
    Shadows,
    /// [`crate::ticks::Ticks::tick_ns`].
    TickNs,
    /// [`crate::ticks::Ticks::below`].
    TicksBelow,
}

/// Number of [`Setting`]s.
pub const SETTINGS: usize = 24;

/// All settings of a generation, indexed by [`Setting`].
pub type Settings = [u32; SETTINGS];

/// [`Setting::Tell`]: each run leaves its outcome in the trace map, for `replay` and tests, and takes the time from it.
pub const TELL_TRACE: u32 = 1;
/// [`Setting::Tell`]: single frames that are dropped are told to the daemon.
pub const TELL_EVENTS: u32 = 2;
/// [`Setting::Tell`]: how frames are judged is told to the daemon's log.
pub const TELL_DIAGNOSTICS: u32 = 4;

/// [`Setting::Fragments`]: later fragments that no rule decides pass.
pub const FRAGMENTS_PASS: u32 = 0;
/// [`Setting::Fragments`]: they are dropped.
pub const FRAGMENTS_DROP: u32 = 1;
/// [`Setting::Fragments`]: they pass up to a rate.
pub const FRAGMENTS_RATE: u32 = 2;

/// How many entries the tables have that are as long as a policy makes them. Frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Lengths {
    /// Entries of 16 bits.
    pub halves: u32,
    /// Entries of 32 bits.
    pub words: u32,
    /// Rows of sparse stages.
    pub rows: u32,
    /// Nodes of packed tries.
    pub nodes: u32,
    /// Limits of all cells.
    pub limits: u32,
    /// Counters in each [`super::slot`].
    pub counters: u32,
    /// Slots, one for each CPU; 0 where the CPUs count in pages.
    pub slots: u32,
    /// Bytes of each [`Memory`].
    pub memory: [u32; Memory::COUNT],
    /// Cells up to the last one of each [`Action`]: they are in the order of their actions.
    pub cells: [u32; Action::ALL.len()],
}

const _: () = assert!(size_of::<Lengths>() == 28 + 4 * Memory::COUNT + 4 * Action::ALL.len());
