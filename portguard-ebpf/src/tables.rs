//! The maps of one generation and how the classifier reads them.

use core::arch::asm;

use aya_ebpf::bindings::{__sk_buff, xdp_md};
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use aya_ebpf::programs::XdpContext;
use portguard_common::abi::{
    self, Action, Cell, INTERFACES, PackedNode, Row, Setting, Trace, Trie, VLANS, interface_entry,
    service,
};
use portguard_common::ban::Address;
use portguard_common::classify::{Source, Tables};
use portguard_common::conceal::Conceal;
use portguard_common::constant::{self, CellView, StageView, TrieView};
use portguard_common::flow::Candidate;
use portguard_common::limiter::Asked;
use portguard_common::limits::CELLS as CELL_COUNT;
use portguard_common::packet::Frame;
use portguard_common::ticks::Ticks;
use portguard_common::trie::{self, Window};

use crate::bans;
use crate::constants::{self, ConstantStage, ConstantTrie, below, is_set, setting, wide, within};
use crate::frame::{first_buffer_len, frame_len};
use crate::host;
use crate::limiting;
use crate::reply::{self, ReplyLookup};

/// Overwritten by the loader and frozen: a table in the program's own data needs no look-up call.
#[unsafe(no_mangle)]
static SERVICES: [u16; service::LEN as usize] = [0; service::LEN as usize];

#[unsafe(no_mangle)]
static CELLS: [Cell; CELL_COUNT] = [Cell::NO_RULE; CELL_COUNT];

#[unsafe(no_mangle)]
static VLAN_CLASSES: [u16; VLANS] = [0; VLANS];

#[unsafe(no_mangle)]
static INTERFACE_CLASSES: [u16; INTERFACES] = [0; INTERFACES];

// Each of these has a section, and so a map, of its own: the loader puts a policy's tables in the place of what stands here, however
// long they are, and says how long. An entry is found by its address, without a look-up that would wait for a key in memory.

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.halves")]
static HALVES: [u16; 1] = [0];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.words")]
static WORDS: [u32; 1] = [0];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.rows")]
static ROWS: [Row; 1] = [Row {
    dense: 0,
    exceptions: 0,
}];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.nodes")]
static NODES: [PackedNode; 1] = [PackedNode::EMPTY];

// All that follow are sized by the loader.

#[map]
pub(crate) static TRACE: Array<Trace> = Array::with_max_entries(1, 0);

/// Where a frame passes an interface.
pub(crate) trait Device {
    /// Whether it is where a plain frame arrives.
    const IS_PLAIN: bool = false;

    /// The index of the interface.
    fn ifindex(&self) -> u32;

    /// Bytes of the frame, of what is counted.
    fn bytes(&self) -> u64;

    /// Whether a packet about to be dropped is a reply.
    fn is_reply<F: Frame>(&self, frame: &F, packet: &Candidate) -> bool;

    /// Whether a frame whose IP header begins at an offset comes from a banned source, where there are any. What leaves does not.
    #[inline(always)]
    fn comes_from_banned(&self, _network_offset: u32, _v6: bool) -> bool {
        false
    }
}

impl Device for *mut xdp_md {
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the context is the one that the kernel passed in.
        unsafe { (**self).ingress_ifindex }
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        let ctx = &XdpContext::new(*self);
        if is_set(Setting::CountAllBuffers) {
            frame_len(ctx)
        } else {
            first_buffer_len(ctx)
        }
    }

    #[inline(always)]
    fn is_reply<F: Frame>(&self, _frame: &F, packet: &Candidate) -> bool {
        reply::in_first_buffer(*self, packet)
    }

    #[inline(always)]
    fn comes_from_banned(&self, network_offset: u32, v6: bool) -> bool {
        bans::hold_source_of(*self, network_offset, v6)
    }
}

/// The same, with a way of its own to find out whether a packet is a reply.
pub(crate) struct Arriving<R>(pub(crate) *mut xdp_md, pub(crate) R);

impl<R: ReplyLookup> Device for Arriving<R> {
    const IS_PLAIN: bool = R::IS_PLAIN;

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.0.ifindex()
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    #[inline(always)]
    fn is_reply<F: Frame>(&self, frame: &F, packet: &Candidate) -> bool {
        self.1.is_reply(self.0, frame, packet)
    }

    #[inline(always)]
    fn comes_from_banned(&self, network_offset: u32, v6: bool) -> bool {
        self.0.comes_from_banned(network_offset, v6)
    }
}

impl Device for *mut __sk_buff {
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: the context is the one that the kernel passed in.
        unsafe { (**self).ifindex }
    }

    // What leaves is not counted.
    #[inline(always)]
    fn bytes(&self) -> u64 {
        0
    }

    // What leaves is no reply.
    #[inline(always)]
    fn is_reply<F: Frame>(&self, _frame: &F, _packet: &Candidate) -> bool {
        false
    }
}

/// The tables, as one frame sees them.
pub(crate) struct KernelTables<D> {
    /// Its context.
    pub(crate) device: D,
}

/// The time of the kernel's monotonic clock, or the one that a test sets.
#[inline(always)]
pub(crate) fn now_ns() -> u64 {
    // SAFETY: a helper without arguments, in every kernel since 4.1.
    time_of(|| unsafe { bpf_ktime_get_ns() })
}

/// The same as of the last timer tick, which is told much sooner: the kernel's verifier makes a load of one word of this call.
#[inline(always)]
pub(crate) fn coarse_now_ns() -> u64 {
    let ticks = Ticks {
        tick_ns: setting(Setting::TickNs),
        below: setting(Setting::TicksBelow),
    };
    // SAFETY: a helper without arguments (kernel 5.6).
    time_of(|| ticks.ns(unsafe { bpf_jiffies64() }))
}

/// The time of a clock, or the one that a test sets. Nothing is set where only events are told.
#[inline(always)]
pub(crate) fn time_of(clock: impl FnOnce() -> u64) -> u64 {
    if is_set(Setting::Tell)
        && let Some(trace) = TRACE.get(0)
        && trace.now_ns != 0
    {
        return trace.now_ns;
    }
    clock()
}

/// The interface of a frame, or the one that a test sets.
#[inline(always)]
pub(crate) fn ifindex<D: Device>(device: &D) -> u32 {
    if is_set(Setting::Tell)
        && let Some(trace) = TRACE.get(0)
        && trace.ifindex != 0
    {
        return trace.ifindex;
    }
    device.ifindex()
}

/// The same number, which the compiler knows nothing of: it would leave out a comparison that its own
/// knowledge makes needless, but which the verifier needs.
#[inline(always)]
pub(crate) fn opaque(number: u64) -> u64 {
    let mut number = number;
    // SAFETY: there is no instruction.
    unsafe { asm!("/*{0}*/", inout(reg) number, options(pure, nomem, nostack)) };
    number
}

/// The same number, of which the verifier sees that it is below 2¹⁶, as the compiler knows.
#[inline(always)]
pub(crate) fn bounded(number: u64) -> u16 {
    let number = opaque(opaque(number) & u64::from(u16::MAX));
    // SAFETY: by the mask, of which the compiler would know that it is needless.
    unsafe { core::hint::assert_unchecked(number <= u16::MAX.into()) };
    number as u16
}

/// Data that the loader overwrites and freezes, of which the compiler sees only the zeros. Unlike with a volatile read,
/// only those members are read that are needed, where they are needed; the verifier still folds what it knows.
#[inline(always)]
fn frozen<T>(data: &'static T) -> &'static T {
    let pointer = opaque(core::ptr::from_ref(data) as u64) as *const T;
    // SAFETY: it is the address of a reference.
    unsafe { core::hint::assert_unchecked(!pointer.is_null()) };
    // SAFETY: the pointer is the one that came in. What it points to is of type `T` after the loader wrote to it, too:
    // all that is frozen is plain numbers.
    unsafe { &*pointer }
}

/// Where an entry of a table lies that a constant names. It is one instruction in the end, and so is asked for anew wherever it is needed: a
/// number that is kept for the next use takes a register from others.
macro_rules! known_place {
    ($table:ident, $entry:ty, $index:expr) => {{
        let mut place: u64;
        let bytes = opaque(u64::from($index)) * size_of::<$entry>() as u64;
        // SAFETY: the instructions write one register.
        unsafe {
            asm!("{0} = {1} ll", out(reg) place, sym $table, options(nomem, nostack));
            asm!("{0} += {1}", inout(reg) place, in(reg) bytes, options(pure, nomem, nostack));
        }
        place
    }};
}

/// The upper half of an address as an offset in a table of such entries: in one shift, and with a mask by which the verifier sees what is left.
#[inline(always)]
fn upper_offset<T>(address: u32) -> usize {
    const BITS: u32 = 16;
    let bytes = size_of::<T>();
    let last = ((1 << BITS) - 1) * bytes;
    // Otherwise the compiler would swap the bytes of half a number, of which older verifiers know nothing.
    (opaque(address.into()) >> (BITS - bytes.ilog2())) as usize & last
}

/// A place among halves of which the verifier knows that they are there.
#[derive(Clone, Copy)]
pub(crate) struct KernelWindow(u64);

impl Conceal for KernelWindow {
    #[inline(always)]
    fn conceal(number: u64) -> u64 {
        opaque(number)
    }
}

impl Window for KernelWindow {
    #[inline(always)]
    fn at(&self, bytes: u32) -> u16 {
        // SAFETY: within `List::WINDOW`, whatever a word says: by the bits that each number has.
        unsafe { *((self.0 + u64::from(bytes)) as *const u16) }
    }

    #[inline(always)]
    fn skip(&mut self, bytes: u32) {
        // Computed here once, and not anew at each place that is read.
        self.0 = opaque(self.0 + u64::from(bytes));
    }

    #[inline(always)]
    fn since(&self, earlier: &Self) -> u32 {
        (self.0 - earlier.0) as u32
    }

    #[inline(always)]
    fn bounded(number: u16) -> u16 {
        bounded(number.into())
    }
}

/// An entry of a table, of which a constant says the length; nothing where the table ends before it, which the verifier must see.
#[inline(always)]
pub(crate) fn place<T>(table: &'static [T; 1], index: u32, length: usize) -> Option<&'static T> {
    let index = below(index, wide(length))?;
    // SAFETY: the loader put `length` entries there.
    Some(unsafe { &*frozen(table).as_ptr().add(index as usize) })
}

/// A copy of an entry.
#[inline(always)]
fn entry<T: Copy + Default>(table: &'static [T; 1], index: u32, length: usize) -> T {
    place(table, index, length).copied().unwrap_or_default()
}

/// A cell, of which each member is read when it is asked for: what is read before is kept meanwhile, and takes a register from others.
struct KernelCell(u16);

impl KernelCell {
    /// Where the rest of it lies.
    #[inline(always)]
    fn rest(&self) -> *const Cell {
        // SAFETY: there is a cell for every `u16`.
        unsafe { frozen(&CELLS).as_ptr().add(usize::from(self.0)) }
    }
}

impl CellView for KernelCell {
    #[inline(always)]
    fn action(&self) -> Action {
        constants::action(self.0)
    }

    #[inline(always)]
    fn shadow(&self) -> u16 {
        if !is_set(Setting::Shadows) {
            return 0;
        }
        // SAFETY: it lies in the table.
        unsafe { (&raw const (*self.rest()).shadow).read_volatile() }
    }

    #[inline(always)]
    fn limits(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (&raw const (*self.rest()).limits).read_volatile() }
    }
}

impl<D: Device> Tables for KernelTables<D> {
    type Window<'t>
        = KernelWindow
    where
        Self: 't;

    #[inline(always)]
    fn setting(&self, setting: Setting) -> u32 {
        crate::constants::setting(setting)
    }

    #[inline(always)]
    fn stage(&self, field: usize) -> impl StageView {
        ConstantStage(field)
    }

    #[inline(always)]
    fn is_narrowed(&self) -> bool {
        wide(constant::NARROWED) != 0
    }

    #[inline(always)]
    fn trie(&self, index: usize) -> impl TrieView {
        ConstantTrie(index)
    }

    #[inline(always)]
    fn service_class(&self, index: u32) -> u16 {
        let Some(index) = within(index, service::LEN, D::IS_PLAIN) else {
            return 0;
        };
        // SAFETY: in range by the comparison. Volatile for the same reason as the settings.
        unsafe {
            (&raw const SERVICES)
                .cast::<u16>()
                .add(index as usize)
                .read_volatile()
        }
    }

    #[inline(always)]
    fn source_port_class(&self, index: u32) -> u16 {
        self.half(index)
    }

    #[inline(always)]
    fn vlan_class(&self, vlan: u16) -> u16 {
        // SAFETY: in range by the mask. Volatile for the same reason as the settings.
        unsafe {
            (&raw const VLAN_CLASSES)
                .cast::<u16>()
                .add(usize::from(vlan) & (VLANS - 1))
                .read_volatile()
        }
    }

    #[inline(always)]
    fn interface_class(&self) -> u16 {
        let entry = interface_entry(
            ifindex(&self.device),
            self.setting(Setting::InterfaceMultiplier),
        );
        // SAFETY: in range by the mask. Volatile for the same reason as the settings.
        unsafe {
            (&raw const INTERFACE_CLASSES)
                .cast::<u16>()
                .add(entry as usize & (INTERFACES - 1))
                .read_volatile()
        }
    }

    #[inline(always)]
    fn half(&self, index: u32) -> u16 {
        entry(&HALVES, index, constant::HALVES)
    }

    #[inline(always)]
    fn near_half(&self, first: u32, row: u64, column: u64) -> u16 {
        let table = known_place!(HALVES, u16, first) as *const u16;
        // Otherwise the compiler would double both.
        let place = opaque(row + column);
        // SAFETY: the loader put as many entries there as can be named, which the verifier sees.
        unsafe { *table.add(place as usize) }
    }

    #[inline(always)]
    fn word(&self, index: u32) -> u32 {
        entry(&WORDS, index, constant::WORDS)
    }

    #[inline(always)]
    fn word_of_upper(&self, first: u32, address: u32) -> u32 {
        let first = known_place!(WORDS, u32, first) as *const u32;
        // SAFETY: the loader put 65,536 entries there, which the verifier sees.
        unsafe { *first.byte_add(upper_offset::<u32>(address)) }
    }

    #[inline(always)]
    fn half_of_upper(&self, first: u32, address: u32) -> u16 {
        let first = known_place!(HALVES, u16, first) as *const u16;
        // SAFETY: as above.
        unsafe { *first.byte_add(upper_offset::<u16>(address)) }
    }

    #[inline(always)]
    fn row(&self, index: u32) -> Row {
        entry(&ROWS, index, constant::ROWS)
    }

    #[inline(always)]
    fn window<const UNIT: u32>(&self, first: u32, index: u64, end: u32) -> Option<KernelWindow> {
        let index = (index < end.into()).then_some(index)?;
        let bytes = index * (u64::from(UNIT) * size_of::<u16>() as u64);
        Some(KernelWindow(opaque(
            known_place!(HALVES, u16, first) + bytes,
        )))
    }

    #[inline(always)]
    fn node(&self, index: u32) -> Option<&PackedNode> {
        place(&NODES, index, constant::NODES)
    }

    #[inline(always)]
    fn find_below(&self, trie: usize, word: u32, passed: u32, high: u64, low: u64) -> u16 {
        let class = if trie == Trie::index(true, true) {
            portguard_find_destination_below(word, passed, high, low)
        } else {
            portguard_find_source_below(word, passed, high, low)
        };
        bounded(class.into())
    }

    #[inline(always)]
    fn cell(&self, cell: u16) -> impl CellView {
        KernelCell(cell)
    }

    #[inline(always)]
    fn has_bans(&self, v6: bool) -> bool {
        bans::any(v6)
    }

    #[inline(always)]
    fn is_banned(&self, source: Address) -> bool {
        bans::hold(source)
    }

    #[inline(always)]
    fn comes_from_banned<F: Frame>(&self, _frame: &F, network_offset: u32, v6: bool) -> bool {
        self.device.comes_from_banned(network_offset, v6)
    }

    #[inline(always)]
    fn ask_limits(&self, first: u32, source: Source) -> Asked {
        limiting::ask(first, source, self.device.bytes())
    }

    #[inline(always)]
    fn take_fragment_token(&self) -> bool {
        let wide = |low, high| u64::from(setting(high)) << 32 | u64::from(setting(low));
        let interval_ns = wide(Setting::FragmentIntervalLow, Setting::FragmentIntervalHigh);
        let tolerance_ns = wide(
            Setting::FragmentToleranceLow,
            Setting::FragmentToleranceHigh,
        );
        host::take_token(abi::host::FRAGMENTS, interval_ns, tolerance_ns)
    }

    #[inline(always)]
    fn is_reply<F: Frame>(&self, frame: &F, packet: &Candidate) -> bool {
        self.device.is_reply(frame, packet)
    }
}

/// The class of an IPv6 address that a packet comes from, from a word on. A global function, which the verifier checks once: its way through
/// the bytes of an address is the longest of all.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_find_source_below(word: u32, passed: u32, high: u64, low: u64) -> u32 {
    find_below(Trie::index(false, true), word, passed, high, low)
}

/// Likewise of one that it goes to: each trie has constants of its own.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn portguard_find_destination_below(word: u32, passed: u32, high: u64, low: u64) -> u32 {
    find_below(Trie::index(true, true), word, passed, high, low)
}

#[inline(always)]
fn find_below(trie: usize, word: u32, passed: u32, high: u64, low: u64) -> u32 {
    let tables = KernelTables { device: Nowhere };
    trie::find_below(&tables, &ConstantTrie(trie), word, passed, high, low).into()
}

/// Stands for a device where only tables are read.
struct Nowhere;

impl Device for Nowhere {
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        0
    }

    #[inline(always)]
    fn bytes(&self) -> u64 {
        0
    }

    #[inline(always)]
    fn is_reply<F: Frame>(&self, _frame: &F, _packet: &Candidate) -> bool {
        false
    }
}
