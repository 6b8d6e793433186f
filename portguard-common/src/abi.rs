//! The layout of what is shared with the kernel: map elements, table indices, outcome numbers.
//!
//! Every type here has a size assertion, since both sides are compiled separately.

/// Where each kind of service lies in the table of services, which names a cell for each.
pub mod service {
    /// TCP by destination port.
    pub const TCP: u32 = 0;
    /// UDP by destination port.
    pub const UDP: u32 = 1 << 16;
    /// SCTP by destination port.
    pub const SCTP: u32 = 2 << 16;
    /// ICMP (in IPv4) by `type << 8 | code`.
    pub const ICMP: u32 = 3 << 16;
    /// ICMPv6 (in IPv6) by `type << 8 | code`.
    pub const ICMPV6: u32 = 4 << 16;
    /// What has no port in IPv4, later fragments included, by protocol number.
    pub const PORTLESS_V4: u32 = 5 << 16;
    /// What has no port in IPv6, later fragments included, by protocol number.
    pub const PORTLESS_V6: u32 = PORTLESS_V4 + 256;
    /// Essential ICMP (RFC 792) by `ESSENTIAL_ICMP_TYPES` position `<< 8 | code`.
    pub const ESSENTIAL_ICMP: u32 = PORTLESS_V6 + 256;
    /// Essential ICMPv6 (RFC 4443, RFC 4861, RFC 2710, RFC 3810), likewise.
    pub const ESSENTIAL_ICMPV6: u32 = ESSENTIAL_ICMP + 3 * 256;
    /// Essential traffic that is not ICMP, one index each.
    pub const ESSENTIAL_OTHER: u32 = ESSENTIAL_ICMPV6 + 13 * 256;
    /// A DHCP server's answer (RFC 2131): UDP from port 67 to port 68 in IPv4.
    pub const ESSENTIAL_DHCP: u32 = ESSENTIAL_OTHER;
    /// A DHCPv6 server's answer (RFC 8415): UDP from port 547 to port 546 in IPv6.
    pub const ESSENTIAL_DHCPV6: u32 = ESSENTIAL_OTHER + 1;
    /// IGMP (RFC 3376) with TTL 1.
    pub const ESSENTIAL_IGMP: u32 = ESSENTIAL_OTHER + 2;
    /// All indices.
    pub const LEN: u32 = ESSENTIAL_OTHER + 256;

    /// ICMP types that are essential: destination unreachable, time exceeded, parameter problem.
    pub const ESSENTIAL_ICMP_TYPES: [u8; 3] = [3, 11, 12];
    /// ICMPv6 types that are essential: the four errors (RFC 4443), multicast listener discovery
    /// (RFC 2710, RFC 3810) and neighbour discovery (RFC 4861).
    pub const ESSENTIAL_ICMPV6_TYPES: [u8; 13] =
        [1, 2, 3, 4, 130, 131, 132, 133, 134, 135, 136, 137, 143];
}

/// What a cell says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// No enforced rule matches: `default`, `fragments` or the exemption of essential traffic decides.
    Undecided = 0,
    /// The deciding rule passes the packet.
    Pass = 1,
    /// The deciding rule drops the packet.
    Drop = 2,
}

/// One entry of the table of cells: an [`Action`] and a flag in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Cell(u8);

const _: () = assert!(size_of::<Cell>() == 1);

impl Cell {
    const SHADOWS: u8 = 0x80;

    /// The cell of packets that no rule matches. It is always cell 0.
    pub const NO_RULE: Self = Self::new(Action::Undecided, false);

    /// A cell with this action; `shadows` where no rule decides but rules that only count
    /// (`enforce: false`) match.
    pub const fn new(action: Action, shadows: bool) -> Self {
        Self(action as u8 | if shadows { Self::SHADOWS } else { 0 })
    }

    /// What the deciding rule says.
    #[inline(always)]
    pub const fn action(self) -> Action {
        match self.0 & !Self::SHADOWS {
            1 => Action::Pass,
            2 => Action::Drop,
            _ => Action::Undecided,
        }
    }

    /// Whether rules that only count match, while none decides.
    #[inline(always)]
    pub const fn has_shadows(self) -> bool {
        self.0 & Self::SHADOWS != 0
    }
}

/// Packets and bytes of one outcome on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Frames.
    pub packets: u64,
    /// Bytes of these frames from the Ethernet header on, without the frame check sequence.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Counter>() == 16);

/// Counters that share one map element.
pub const COUNTER_PAGE_LEN: usize = 64;

/// One map element of the table of counters.
pub type CounterPage = [Counter; COUNTER_PAGE_LEN];

/// Indices of the table of counters.
pub mod counter {
    use super::COUNTER_PAGE_LEN;

    /// First counter of the malformed reasons; [`crate::packet::Malformed`] numbers them.
    pub const MALFORMED: u32 = 16;
    /// First counter of the cells: cell `n` counts at `CELL + n`.
    pub const CELL: u32 = COUNTER_PAGE_LEN as u32;
    /// Stands for no counter.
    pub const NONE: u32 = u32::MAX;

    /// Map elements that hold the counters of `cells` cells.
    pub const fn pages(cells: usize) -> usize {
        1 + cells.div_ceil(COUNTER_PAGE_LEN)
    }
}

/// What decided a frame, other than a rule or a malformed header; the number is the counter's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Builtin {
    /// No rule decided, and `default: pass`.
    DefaultPass = 0,
    /// No rule decided, and `default: drop`.
    DefaultDrop = 1,
    /// No rule decided, and the packet is essential traffic.
    Essential = 2,
    /// The frame does not carry IP.
    NonIp = 3,
    /// No rule decided a later fragment.
    LaterFragment = 4,
}

impl Builtin {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [
        Self::DefaultPass,
        Self::DefaultDrop,
        Self::Essential,
        Self::NonIp,
        Self::LaterFragment,
    ];

    /// The name of this outcome in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DefaultPass => "default-pass",
            Self::DefaultDrop => "default-drop",
            Self::Essential => "essential",
            Self::NonIp => "non-ip",
            Self::LaterFragment => "later-fragment",
        }
    }
}

/// Dropped packets of 256 destination ports (or protocols), on one CPU.
pub type DropPage = [u64; 256];

/// Indices of the table of drops by protocol and destination port. TCP, UDP and SCTP lie where they lie
/// in the table of [`service`]s.
pub mod drops {
    use super::service;

    /// What has no port, later fragments included, by protocol number.
    pub const PORTLESS: u32 = service::SCTP + (1 << 16);
    /// All pages.
    pub const PAGES: u32 = (PORTLESS + 256) / 256;
}

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
    /// 1: each run leaves its outcome in the trace map, for `replay` and tests.
    Trace,
}

/// Number of [`Setting`]s.
pub const SETTINGS: usize = 9;

/// All settings of a generation, indexed by [`Setting`].
pub type Settings = [u32; SETTINGS];

/// [`Setting::Fragments`]: later fragments that no rule decides pass.
pub const FRAGMENTS_PASS: u32 = 0;
/// [`Setting::Fragments`]: they are dropped.
pub const FRAGMENTS_DROP: u32 = 1;
/// [`Setting::Fragments`]: they pass up to a rate.
pub const FRAGMENTS_RATE: u32 = 2;

/// A token bucket: `tokens` are taken by packets and refilled, one every `interval_ns`, up to `burst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Bucket {
    /// Tokens left; below zero for moments while several CPUs take the last one.
    pub tokens: i64,
    /// Up to when tokens have been refilled, in nanoseconds of the kernel's monotonic clock.
    pub refilled_ns: u64,
    /// Nanoseconds for one token.
    pub interval_ns: u64,
    /// Most tokens that the bucket holds.
    pub burst: u64,
}

const _: () = assert!(size_of::<Bucket>() == 32);

/// What the last run decided, left for `replay` and tests when [`Setting::Trace`] is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Trace {
    /// The counter of the outcome.
    pub counter: u32,
    /// The counter of the rules that only count, or [`counter::NONE`].
    pub shadow: u32,
}

const _: () = assert!(size_of::<Trace>() == 8);

/// Names of the maps and globals in the object file.
pub mod symbol {
    /// The frozen settings, in `.rodata`.
    pub const SETTINGS: &str = "SETTINGS";
    /// The table of services, frozen with them: a cell by [`super::service`] index.
    pub const SERVICES: &str = "SERVICES";
    /// The table of cells, frozen with them: a [`super::Cell`] by number.
    pub const CELLS: &str = "CELLS";
    /// Counters: [`super::CounterPage`] by page, per CPU.
    pub const COUNTERS: &str = "COUNTERS";
    /// Drops by protocol and port: [`super::DropPage`] by page, per CPU.
    pub const DROPS: &str = "DROPS";
    /// The bucket of later fragments: one [`super::Bucket`].
    pub const FRAGMENT_BUCKET: &str = "FRAGMENT_BUCKET";
    /// The outcome of the last run: one [`super::Trace`].
    pub const TRACE: &str = "TRACE";
    /// The entry point for kernels that know frames of several buffers (5.18 and later).
    pub const PROGRAM: &str = "portguard";
    /// The entry point for older kernels.
    pub const PROGRAM_LINEAR: &str = "portguard_linear";
}

#[cfg(feature = "user")]
mod pod {
    //! Permission for aya to move these types in and out of maps.
    #![expect(unsafe_code, reason = "`aya::Pod` is an unsafe marker trait")]

    // SAFETY: each type is `repr(C)`, made of integers alone, without padding (its size is asserted
    // above), so any bytes are a value and all its bytes are initialised.
    unsafe impl aya::Pod for super::Cell {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Counter {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Bucket {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Trace {}
}
