//! The layout of what is shared with the kernel: map elements, table indices, outcome numbers.
//!
//! Every type here has a size assertion, since both sides are compiled separately.

use crate::constant::Memory;
use crate::limits::SNAP_MAX;

/// Version of this layout: one more whenever what is pinned changes its meaning, though not its size. What another version
/// pinned is not read, but replaced.
pub const LAYOUT: u32 = 5;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// No enforced rule matches: `default`, `fragments` or the exemption of essential traffic decides.
    #[default]
    Undecided = 0,
    /// The deciding rule passes the packet.
    Pass = 1,
    /// The deciding rule drops the packet.
    Drop = 2,
    /// The deciding rule drops the packet and answers its sender.
    Reject = 3,
    /// The deciding rule passes the packet up to a rate.
    Limit = 4,
    /// The source is trusted: no rule was asked.
    Trusted = 5,
}

impl Action {
    /// All of them, by number.
    pub const ALL: [Self; 6] = [
        Self::Undecided,
        Self::Pass,
        Self::Drop,
        Self::Reject,
        Self::Limit,
        Self::Trusted,
    ];

    /// The action of a number; what is none counts as undecided.
    #[inline(always)]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Pass,
            2 => Self::Drop,
            3 => Self::Reject,
            4 => Self::Limit,
            5 => Self::Trusted,
            _ => Self::Undecided,
        }
    }
}

/// One entry of the table of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Cell {
    /// An [`Action`].
    pub action: u8,
    /// 0.
    pub reserved: u8,
    /// The cell that counts the rules which only count (`enforce: false`) and match before the deciding one,
    /// where something else than that rule turns out to decide; 0 if there are none.
    pub shadow: u16,
    /// One more than the index of the first [`Limit`] to ask; 0 if there is none.
    pub limits: u32,
}

const _: () = assert!(size_of::<Cell>() == 8);

impl Cell {
    /// The cell of packets that no rule matches. It is always cell 0.
    pub const NO_RULE: Self = Self {
        action: Action::Undecided as u8,
        reserved: 0,
        shadow: 0,
        limits: 0,
    };

    /// What the deciding rule says.
    #[inline(always)]
    pub const fn action(self) -> Action {
        Action::from_number(self.action)
    }
}

/// A rule's ceiling, as one cell asks for it. The limits of a cell lie one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// Nanoseconds for one packet.
    pub interval_ns: u64,
    /// How far ahead of the clock a bucket may be: the time of one packet less than the burst.
    pub tolerance_ns: u64,
    /// The counter of the packets beyond the limit.
    pub counter: u32,
    /// The rule's own bucket, an index of the table of rule buckets.
    pub bucket: u32,
    /// [`Limit::PER_SOURCE`], [`Limit::DECIDES`], [`Limit::LAST`].
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Limit>() == 32);

impl Limit {
    /// Each source has a bucket of its own.
    pub const PER_SOURCE: u32 = 1;
    /// The rule decides the packet; without it, it only counts.
    pub const DECIDES: u32 = 2;
    /// The last of a cell.
    pub const LAST: u32 = 4;

    /// Stands where there is none, so that the walk over the limits of a cell ends.
    pub const NONE: Self = Self {
        interval_ns: 1,
        tolerance_ns: 0,
        counter: counter::NONE,
        bucket: 0,
        flags: Self::LAST,
        reserved: 0,
    };

    /// Whether a flag is set.
    #[inline(always)]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// A token bucket in one word, so that one instruction changes it: the time at which it will be full again,
/// in nanoseconds of the kernel's monotonic clock (the generic cell rate algorithm, ITU-T I.371).
pub type Bucket = u64;

/// The bucket of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SourceBucket {
    /// A digest of rule and source; 0 where nobody is.
    pub key: u64,
    /// Its bucket.
    pub bucket: Bucket,
}

const _: () = assert!(size_of::<SourceBucket>() == 16);

/// Places in one line of the cache.
pub const LINE_WAYS: u32 = 4;

/// A map element that is one line of the cache: see [`crate::places`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CacheLine {
    /// Whose each place is; 0 where nobody is.
    pub digests: [u64; LINE_WAYS as usize],
    /// What each says.
    pub words: [u64; LINE_WAYS as usize],
}

const _: () = assert!(size_of::<CacheLine>() == 64);

/// What is banned: all addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct BanKey {
    /// The upper half of the lowest address as a number; an IPv4 address is the upper half of this.
    pub high: u64,
    /// The lower half of an IPv6 address.
    pub low: u64,
    /// How many bits the addresses have in common; never 0.
    pub length: u32,
    /// 1 for IPv6.
    pub v6: u32,
}

const _: () = assert!(size_of::<BanKey>() == 24);

/// When a ban ends: a time of the kernel's boot-time clock, which goes on while the host is suspended, in nanoseconds;
/// [`FOREVER`] for never.
pub type BanEnd = u64;

/// The [`BanEnd`] of a ban without one.
pub const FOREVER: BanEnd = u64::MAX;

/// Which lengths of prefixes are banned, by family: bit `n - 1` for a length of `n`. Each bit stands for itself, so that
/// it does not matter how many of them a reader sees change at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BanLengths {
    /// Of IPv4.
    pub v4: u64,
    /// Of IPv6: up to 64, then up to 128.
    pub v6: [u64; 2],
    /// For the daemon alone: the kernel's ID of the table that it has put all of its bans into, so that a daemon after
    /// it can go on with them; 0 before.
    pub table: u64,
}

const _: () = assert!(size_of::<BanLengths>() == 32);

impl BanLengths {
    /// The word and the bit in it of a length, which is not 0.
    #[must_use]
    pub const fn place(&mut self, v6: bool, length: u32) -> (&mut u64, u64) {
        let bit = 1 << ((length - 1) % 64);
        let word = match (v6, length) {
            (false, _) => &mut self.v4,
            (true, ..=64) => &mut self.v6[0],
            (true, _) => &mut self.v6[1],
        };
        (word, bit)
    }
}

/// What there is one of for the whole host.
pub mod host {
    /// The [`super::Bucket`] of later fragments.
    pub const FRAGMENTS: u32 = 0;
    /// The [`super::Bucket`] of answers to rejected packets.
    pub const ANSWERS: u32 = 1;
    /// Two random numbers, from which [`super::symbol::SEED`] is frozen.
    pub const SEED: u32 = 2;
    /// All of them.
    pub const LEN: u32 = 4;
}

/// What a policy on trial is kept by.
pub mod trial {
    /// When the trial ends, in nanoseconds of the boot-time clock, which goes on while the host sleeps.
    pub const DEADLINE: u32 = 0;
    /// 1 once it is confirmed.
    pub const CONFIRMED: u32 = 1;
    /// 1 once a packet, or the daemon, has found the deadline passed before it was confirmed: the policy before is in
    /// force from then on, whatever else is written.
    pub const EXPIRED: u32 = 2;
    /// All words.
    pub const WORDS: u32 = 3;

    /// The place of the policy before among the programs.
    pub const BEFORE: u32 = 0;
    /// The place of the policy on trial.
    pub const ON_TRIAL: u32 = 1;
    /// All places.
    pub const CHOICES: u32 = 2;

    /// Most interfaces that the policy before may guard.
    pub const INTERFACES: u32 = 4096;
}

/// Indices of the table that tells when a packet last left, by its own port.
pub mod local_port {
    /// TCP by source port.
    pub const TCP: u32 = 0;
    /// UDP by source port.
    pub const UDP: u32 = 1 << 16;
    /// Echo requests of ICMP and ICMPv6 by identifier.
    pub const ECHO: u32 = 2 << 16;
    /// All indices.
    pub const LEN: u32 = 3 << 16;
}

/// The fields of a packet that conditions may look at, in the order in which they are combined.
pub mod field {
    /// The interface on which it arrives.
    pub const INTERFACE: usize = 0;
    /// Its VLAN.
    pub const VLAN: usize = 1;
    /// Its source address.
    pub const SOURCE: usize = 2;
    /// Its destination address.
    pub const DESTINATION: usize = 3;
    /// Its source port.
    pub const SOURCE_PORT: usize = 4;
    /// Its protocol with destination port or type: see [`super::service`].
    pub const SERVICE: usize = 5;
    /// All of them.
    pub const COUNT: usize = 6;
}

/// How the class of a field is combined with what the fields before it gave. Frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stage {
    /// One of the constants below.
    pub form: u32,
    /// Classes of the field.
    pub columns: u32,
    /// First entry of its dense rows in the table of halves.
    pub halves: u32,
    /// Of a sparse stage: its first entry in the table of rows.
    pub rows: u32,
    /// Of a sparse stage: the first entry of its exceptions in the table of words.
    pub words: u32,
}

impl Stage {
    /// No rule has a condition on the field.
    pub const UNUSED: u32 = 0;
    /// It is the first field that rules have conditions on.
    pub const FIRST: u32 = 1;
    /// A table with a row for each class so far.
    pub const DENSE: u32 = 2;
    /// A few dense rows, and for each class so far what differs from one of them.
    pub const SPARSE: u32 = 3;
    /// A table as with [`Stage::DENSE`], where the fields so far give the place of its row, counted from the first entry, and not the number of it.
    /// From the first entry on there are [`Stage::NEAR_HALVES`], so that nothing has to be compared.
    pub const NEAR: u32 = 4;

    /// Entries that can be named by the place of a row and a column.
    pub const NEAR_HALVES: usize = 2 * u16::MAX as usize + 1;
}

/// A row of a sparse [`Stage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Row {
    /// Where the dense row lies that it differs from, counted from the stage's first half; or, with
    /// [`Row::CONSTANT`], the value of every column that it does not name.
    pub dense: u32,
    /// Where column 0 of its exceptions would lie, counted from the stage's first word.
    pub exceptions: u32,
}

const _: () = assert!(size_of::<Row>() == 8);

impl Row {
    /// Marks a value in the place of a dense row.
    pub const CONSTANT: u32 = 0x8000_0000;
}

/// Who may own an exception: `row + 1` in the upper half of the word, the value in the lower.
#[inline(always)]
pub const fn exception(row: u16, value: u16) -> u32 {
    (row as u32 + 1) << 16 | value as u32
}

/// How the class of an address is found. Frozen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Trie {
    /// One of the constants below.
    pub form: u32,
    /// By form: the class; the index of its first word; the index of its first half.
    pub root: u32,
    /// Of one of lists: its first node.
    pub nodes: u32,
    /// Likewise: their first half.
    pub lists: u32,
    /// Likewise: how many halves they take, or of [`Trie::NARROW_LISTS`] how many [`List::SHORT_LEN`]. From each of these on there are [`List::WINDOW`] halves.
    pub lists_len: u32,
    /// Likewise: starts in the longest of them.
    pub longest: u32,
    /// Likewise: words below it name short lists, see [`List::SHORT_LEN`]; of [`Trie::NARROW_LISTS`], halves.
    pub short: u32,
    /// Of one of lists in IPv6: the trunk, which is the first four bytes of most addresses that it tells apart. These are looked up at once by the
    /// two bytes that follow.
    pub trunk: u32,
    /// The first of 65,536 words below the trunk; 0 where there is none.
    pub trunk_words: u32,
}

impl Trie {
    /// All addresses of the family are of one class.
    pub const CONSTANT: u32 = 0;
    /// The first two bytes are resolved by 65,536 words: each names a list of the ranges into which the next two bytes divide, or with
    /// [`Trie::NODE`] a node of a packed trie, or with [`Trie::GATE`] a gate. In IPv4 all that is read for an address then mostly lies in a
    /// line or two of the cache, and which branch is taken does not depend on the address.
    pub const LISTS: u32 = 1;
    /// The same, where all lists but the short ones have [`Trie::longest`] starts, at most [`List::AT_ONCE`] or one less than a power of two, and as
    /// many classes and one more: they are looked up in fewer steps. A word is where its list begins, counted in halves from the first one.
    pub const UNIFORM_LISTS: u32 = 2;
    /// The same of an IPv4 address, where there are lists alone and 16 bits name each of them: the first two bytes are resolved by 65,536 halves, which
    /// leave more of the nearer caches to what follows. A half is where its list begins, counted in [`List::SHORT_LEN`] from the first one.
    pub const NARROW_LISTS: u32 = 3;
    /// Marks a half of a list as the number of a child, in the place of a class: the word for the bytes that follow.
    pub const CHILD: u16 = 0x8000;
    /// Most children of a trie. Their words stand behind those of the root.
    pub const CHILDREN: usize = 1 << 15;
    /// Marks a word that ends the walk: a class, or with [`Trie::ONE_PREFIX`] two.
    pub const LEAF: u32 = 0x8000_0000;
    /// Marks a leaf that looks at one more byte: one class for those that begin with certain bits, another for all
    /// others. Large sets of addresses are mostly prefixes that stand alone, and so need no node of their own.
    pub const ONE_PREFIX: u32 = 0x4000_0000;

    /// A leaf with [`Trie::ONE_PREFIX`]: a class for the bytes of which the bits above the lowest `shift` (at most 8)
    /// are `bits`, and one for all others. `None` where a class is too large for it.
    #[must_use]
    pub const fn one_prefix(shift: u32, bits: u32, inside: u16, outside: u16) -> Option<u32> {
        if inside >> Self::CLASS_BITS != 0 || outside >> Self::CLASS_BITS != 0 {
            return None;
        }
        let classes = (inside as u32) << Self::CLASS_BITS | outside as u32;
        Some(Self::LEAF | Self::ONE_PREFIX | shift << 26 | bits << 18 | classes)
    }

    /// The bits of a class in a leaf of two.
    const CLASS_BITS: u32 = 9;
    /// The highest class that fits there.
    pub const HIGHEST_OF_TWO: usize = (1 << Self::CLASS_BITS) - 1;

    /// The class that a leaf gives, and the next byte of the address. Without a branch, since which kind of leaf it is
    /// depends on the address.
    #[inline(always)]
    #[must_use]
    pub const fn class(leaf: u32, byte: u32) -> u16 {
        const MASK: u32 = (1 << Trie::CLASS_BITS) - 1;
        let (inside, outside) = (leaf >> Self::CLASS_BITS & MASK, leaf & MASK);
        let differs = byte >> (leaf >> 26 & 15) ^ leaf >> 18 & 0xff;
        // All bits, where nothing differs.
        let is_inside = (differs.wrapping_sub(1).cast_signed() >> 31).cast_unsigned();
        let of_two = outside ^ (inside ^ outside) & is_inside;
        let is_one_prefix = ((leaf << 1).cast_signed() >> 31).cast_unsigned();
        (of_two & is_one_prefix | leaf & !is_one_prefix) as u16
    }

    /// From here on a word is the number of a packed node.
    pub const NODE: u32 = 0xc000_0000;
    /// From here on it is that of a gate.
    pub const GATE: u32 = 0xe000_0000;

    /// The word of a list, but of a short one and of one among [`Trie::UNIFORM_LISTS`]: how many ranges begin in it after the first one, [`List::SHORTEST`] to [`List::LONGEST`]; where it begins, counted in halves from
    /// the first list, a multiple of [`List::UNIT`] below [`crate::limits::HALVES`]; and whether only two classes take turns in it.
    #[must_use]
    pub const fn list(starts: u32, first: u32, takes_turns: bool) -> u32 {
        let power = match starts.checked_ilog2() {
            Some(power) => power,
            None => 0,
        };
        let overlap = if starts == 0 {
            0
        } else {
            starts + 1 - (1 << power)
        };
        power << 29
            | overlap << 23
            | (!takes_turns as u32) << List::FIRST_BITS
            | (first / List::UNIT)
    }

    /// The trie of one address and family.
    #[inline(always)]
    pub const fn index(destination: bool, v6: bool) -> usize {
        destination as usize * 2 + v6 as usize
    }
}

/// Number of [`Trie`]s.
pub const TRIES: usize = 4;

/// A list of ranges of two bytes: a half that is nothing, where each range but the first begins, in ascending order, then their
/// classes, or only the first two where these take turns. All in bytes, but for where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Where it begins, counted in halves from the first list.
    pub first: u32,
    /// Where the last start stands of the first half: the largest power of two of them.
    pub half: u32,
    /// How far the second half begins after the first one: as long, it ends with the last start.
    pub overlap: u32,
    /// The bits of the steps that are left within a half.
    pub rest: u32,
    /// Where the classes begin.
    pub classes: u32,
    /// 0 where two classes take turns, else 1.
    pub differ: u32,
}

const _: () = assert!(crate::limits::HALVES == (List::UNIT as usize) << List::FIRST_BITS);
// The word of a short list is below that of any other one.
const _: () = assert!(crate::limits::HALVES <= Trie::list(List::SHORTEST, 0, true) as usize);

impl List {
    /// Most ranges that begin after the first one.
    pub const LONGEST: u32 = 63;
    /// Halves that may be read from the beginning of a list on, whatever its word says: so many there are behind the last.
    pub const WINDOW: u32 = 256;
    /// How many starts are looked at at once, one less than a power of two.
    pub const AT_ONCE: u32 = 7;
    /// Halves in a short list, of a range that lies in another one, as a prefix that is alone in its network: the class of the other one, its own, where it
    /// begins, and where the other one goes on. Words say where each list begins, counted in halves from the first one.
    pub const SHORT_LEN: u32 = 4;
    /// Fewest ranges that begin after the first one, but in short lists and among [`Trie::UNIFORM_LISTS`]: either half of them is as long as is looked at at once.
    pub const SHORTEST: u32 = Self::AT_ONCE + 1;
    /// Each list, but among [`Trie::UNIFORM_LISTS`], begins at a multiple of so many halves.
    pub const UNIT: u32 = 8;

    const FIRST_BITS: u32 = 22;

    /// Of a word below [`Trie::NODE`].
    #[inline(always)]
    #[must_use]
    pub const fn of_word(word: u32) -> Self {
        // All of its bits, since the kernel's verifier follows no shift by a number that it does not know.
        let half = 2 << (word >> 29) & 126;
        let overlap = word >> 22 & 126;
        Self {
            first: (word & ((1 << Self::FIRST_BITS) - 1)) * Self::UNIT,
            half,
            overlap,
            rest: half - 2,
            classes: half + overlap,
            differ: word >> Self::FIRST_BITS & 1,
        }
    }

    /// Which bits of a range's place find its class, by [`List::differ`].
    #[inline(always)]
    #[must_use]
    pub const fn mask(differ: u32) -> u32 {
        2 + 124 * differ
    }
}

/// A node of a packed trie; or a gate, which only skips: to one more word, or with [`PackedNode::WIDE`] to 65,536 of them, by the next two bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PackedNode {
    /// A bit for each of 256 entries that differs from the one before it; the first is always set.
    pub starts: [u64; 4],
    /// The bits that must come before those of the node, if `skip` is not 0.
    pub path: u64,
    /// How many bits that is: a multiple of 8, at most [`PackedNode::MAX_SKIP`].
    pub skip: u32,
    /// The word to go on with where other bits come; of a gate the class.
    pub miss: u32,
    /// The node's first word, counted from the first of all; of a gate to one word that word.
    pub words: u32,
    /// How many bits of `starts` are set before each of its members, one byte each; that before the last may be 192.
    pub before: [u8; 4],
}

const _: () = assert!(size_of::<PackedNode>() == 56);

impl PackedNode {
    /// The starts of a gate to a table.
    pub const WIDE: [u64; 4] = [1, 0, 0, 0];

    /// Most bits that a node skips.
    pub const MAX_SKIP: u32 = 48;

    /// No entries.
    pub const EMPTY: Self = Self {
        starts: [0; 4],
        path: 0,
        skip: 0,
        miss: 0,
        words: 0,
        before: [0; 4],
    };
}

/// Halves in one map element.
pub const HALVES: usize = 256;

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
    /// Counters in each [`slot`].
    pub counters: u32,
    /// Slots, one for each CPU; 0 where the CPUs count in pages.
    pub slots: u32,
    /// Bytes of each [`Memory`].
    pub memory: [u32; Memory::COUNT],
    /// Cells up to the last one of each [`Action`]: they are in the order of their actions.
    pub cells: [u32; Action::ALL.len()],
}

const _: () = assert!(size_of::<Lengths>() == 28 + 4 * Memory::COUNT + 4 * Action::ALL.len());

/// Where each kind of source port lies in the table of source ports.
pub mod source_port {
    /// TCP, UDP and SCTP by source port.
    pub const PORTS: u32 = 0;
    /// Later fragments of TCP, UDP and SCTP.
    pub const FRAGMENTS: u32 = 3 << 16;
    /// Everything else.
    pub const OTHER: u32 = FRAGMENTS + 3;
    /// All indices.
    pub const LEN: u32 = FRAGMENTS + 256;
}

/// VLAN IDs.
pub const VLANS: usize = 4096;

/// Entries of the table of interfaces: the product of an interface's index and a number that the loader
/// chooses, of which the upper bits count, finds the class of each without a conflict.
pub const INTERFACES: usize = 1024;

/// The entry of an interface.
#[inline(always)]
pub const fn interface_entry(ifindex: u32, multiplier: u32) -> u32 {
    ifindex.wrapping_mul(multiplier) >> 22
}

const _: () = assert!(INTERFACES == 1 << (32 - 22));

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

/// Counters that share one map element, where CPUs count in pages.
pub const COUNTER_PAGE_LEN: usize = 64;

/// One map element of the table of counters.
pub type CounterPage = [Counter; COUNTER_PAGE_LEN];

/// Dropped packets of 256 destination ports (or protocols).
pub type DropPage = [u64; 256];

/// Where a CPU counts, where that is not in pages: a [`Counter`] by [`counter`] for each outcome that any policy has, so near the beginning that an
/// instruction names it; dropped packets by [`drops`], the lower half of each, a `u16`, and then the upper one, a `u64`, see
/// [`dropped`]; and the counters of cells and limits.
pub mod slot {
    use super::{CacheLine, Counter, counter, drops};

    /// The offset of the lower halves of drops, in bytes.
    pub const DROPS: usize = counter::CELL as usize * size_of::<Counter>();

    /// That of their upper halves.
    pub const UPPER_DROPS: usize =
        (DROPS + drops::LEN as usize * size_of::<u16>()).next_multiple_of(size_of::<CacheLine>());

    /// The offset of the first counter behind them, that of the first cell.
    pub const CELLS: usize = UPPER_DROPS + drops::LEN as usize * size_of::<u64>();

    /// Bytes of a slot with so many counters. No two slots share a line of the cache, nor the one that a processor fetches with it.
    #[inline(always)]
    pub const fn bytes(counters: usize) -> usize {
        let cells = counters.saturating_sub(counter::CELL as usize);
        (CELLS + cells * size_of::<Counter>()).next_multiple_of(2 * size_of::<CacheLine>())
    }
}

/// Dropped packets in two halves, so that those of a flood to all ports lie in the nearer caches: the lower one counts all 16 bits round, the upper one
/// counts how often the lower one comes to [`dropped::STEP`] or to 0.
pub mod dropped {
    /// The upper half is one more for so many.
    pub const STEP: u16 = 1 << 15;

    /// All of them. A CPU that counts writes one half before the other: which one is behind is told by the highest bit of the lower one, as
    /// both were read within the time of half a step.
    #[inline(always)]
    #[must_use]
    pub const fn total(upper: u64, lower: u16) -> u64 {
        let rest = lower % STEP;
        let is_between = upper % 2 != (lower / STEP) as u64;
        let upper = match is_between {
            false => upper,
            true if rest < STEP / 2 => upper + 1,
            true => upper.saturating_sub(1),
        };
        upper * STEP as u64 + rest as u64
    }

    #[cfg(test)]
    mod tests {
        use super::total;

        #[test]
        fn both_halves_are_one_number_whichever_was_written_first() {
            for count in [
                0,
                1,
                32_767,
                32_768,
                65_535,
                65_536,
                98_303,
                98_304,
                1 << 40,
            ] {
                let halves = |count: u64| (count >> 15, count as u16);
                let (upper, lower) = halves(count);
                assert_eq!(total(upper, lower), count);
                let (next_upper, next_lower) = halves(count + 1);
                // Either as it was before the next one, and the other as it is with it.
                let between = [total(next_upper, lower), total(upper, next_lower)];
                assert!(
                    between.iter().all(|own| (count..=count + 1).contains(own)),
                    "{between:?}"
                );
            }
        }
    }
}

/// Indices of the counters in a [`slot`].
pub mod counter {
    /// First counter of the malformed reasons; [`crate::packet::Malformed`] numbers them.
    pub const MALFORMED: u32 = 16;
    /// First counter of the cells: cell `n` counts at `CELL + n`.
    pub const CELL: u32 = 64;
    /// Stands for no counter.
    pub const NONE: u32 = u32::MAX;

    /// All counters where so many belong to cells and limits.
    pub const fn len(cells: usize) -> usize {
        CELL as usize + cells
    }

    /// The pages of so many.
    pub const fn pages(counters: usize) -> usize {
        counters.div_ceil(super::COUNTER_PAGE_LEN)
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
    /// The source is trusted.
    Trusted = 5,
    /// The packet would be dropped, but is a reply to what this side started.
    Reply = 6,
    /// The source is banned.
    Banned = 7,
}

impl Builtin {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::DefaultPass,
        Self::DefaultDrop,
        Self::Essential,
        Self::NonIp,
        Self::LaterFragment,
        Self::Trusted,
        Self::Reply,
        Self::Banned,
    ];

    /// The name of this outcome in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DefaultPass => "default-pass",
            Self::DefaultDrop => "default-drop",
            Self::Essential => "essential",
            Self::NonIp => "non-ip",
            Self::LaterFragment => "later-fragment",
            Self::Trusted => "trusted",
            Self::Reply => "reply",
            Self::Banned => "banned",
        }
    }
}

/// Indices of the drops in a [`slot`], by protocol and destination port. TCP, UDP and SCTP lie where they lie
/// in the table of [`service`]s.
pub mod drops {
    use super::service;

    /// What has no port, later fragments included, by protocol number.
    pub const PORTLESS: u32 = service::SCTP + (1 << 16);
    /// All indices.
    pub const LEN: u32 = PORTLESS + 256;
    /// Their pages.
    pub const PAGES: u32 = LEN / 256;
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
    /// The number of [`interface_entry`].
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
    /// 1: rules that only count are counted by some cell, see [`Cell::shadow`].
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

/// What the last run decided, left for `replay` and tests with [`TELL_TRACE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Trace {
    /// The time of the next run, in nanoseconds; 0 for the kernel's clock.
    pub now_ns: u64,
    /// The interface on which the next frame arrives; 0 for the one that the kernel says.
    pub ifindex: u32,
    /// The counter of the outcome.
    pub counter: u32,
    /// The counter of the rules that only count, or [`counter::NONE`].
    pub shadow: u32,
    /// The cell.
    pub cell: u32,
    /// Which limits of the cell the packet is beyond, bit by bit from the first.
    pub beyond: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Trace>() == 32);

/// What is told of one frame that was dropped, or would have been: a record of the ring of events, with as many of the
/// frame's bytes behind it as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventHeader {
    /// When, in nanoseconds of the boot-time clock.
    pub time_ns: u64,
    /// The generation that decided, as [`Setting::Generation`] numbers it.
    pub generation: u32,
    /// The index of the interface on which the frame arrived.
    pub ifindex: u32,
    /// Bytes of the frame.
    pub frame_len: u32,
    /// Bytes of it in the record, from its Ethernet header on.
    pub captured_len: u32,
    /// The counter of the outcome.
    pub counter: u32,
    /// [`EventHeader::NOT_ENFORCED`], [`EventHeader::REJECTED`].
    pub flags: u32,
}

const _: () = assert!(size_of::<EventHeader>() == 32);

impl EventHeader {
    /// The frame passed, since the policy is not enforced.
    pub const NOT_ENFORCED: u32 = 1;
    /// The frame was rejected.
    pub const REJECTED: u32 = 2;

    /// Reads a record; `None` if it is none. The second part is what it has of the frame.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<(Self, &[u8])> {
        let (time, rest) = record.split_first_chunk()?;
        let (words, bytes) = rest.split_first_chunk::<24>()?;
        let word = |place: usize| {
            let at = place * 4;
            u32::from_ne_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]])
        };
        let header = Self {
            time_ns: u64::from_ne_bytes(*time),
            generation: word(0),
            ifindex: word(1),
            frame_len: word(2),
            captured_len: word(3),
            counter: word(4),
            flags: word(5),
        };
        let bytes = bytes.get(..header.captured_len as usize)?;
        Some((header, bytes))
    }

    /// Whether a flag is set.
    #[must_use]
    pub const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The largest record.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EventRecord {
    /// What is known of the frame.
    pub header: EventHeader,
    /// What is kept of it.
    pub bytes: [u8; SNAP_MAX as usize],
}

const _: () = assert!(size_of::<EventRecord>() == 32 + SNAP_MAX as usize);

/// What became of the events of a group, on one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventCount {
    /// They are in the ring, or were.
    pub emitted: u64,
    /// There was no credit left.
    pub suppressed: u64,
    /// The ring had no room.
    pub lost: u64,
}

const _: () = assert!(size_of::<EventCount>() == 24);

/// Groups that share one map element of counts.
pub const EVENT_COUNTS_PER_PAGE: usize = 64;

/// One map element of the counts of events.
pub type EventCountPage = [EventCount; EVENT_COUNTS_PER_PAGE];

/// The groups of outcomes among which events are shared. What is no rule has the number of its counter.
pub mod event_group {
    /// The group of the first rule; the others follow in their order.
    pub const RULE: u32 = super::counter::CELL;
    /// In the table of groups by counter: an entry is one more than a group, and 0 where nothing is told.
    pub const FIRST_ENTRY: u32 = 1;

    /// The group of the rule with this index.
    #[must_use]
    pub const fn of_rule(rule: usize) -> usize {
        RULE as usize + rule
    }
}

/// How many events may be told: words that the daemon writes, and the kernel counts down.
pub mod credit {
    /// What is there for groups that have no credit of their own.
    pub const POOL: u32 = 0;
    /// Of the pool, what each of them may take one of; beyond it they take as many as come.
    pub const RESERVE: u32 = 1;
    /// The words of the groups, in their order.
    pub const GROUPS: u32 = 2;

    /// A group that has asked for nothing yet: it takes of the pool.
    pub const NEWCOMER: u64 = 0;
    /// A group that may tell no more for now. A higher word says how many more it may, beyond this.
    pub const USED_UP: u64 = 1;
}

/// Names of the maps and globals in the object file.
pub mod symbol {
    /// The level from which on the programs tell what they think, frozen in `.rodata` (aya-log).
    pub const DIAGNOSTICS_LEVEL: &str = "AYA_LOG_LEVEL";
    /// The ring for that.
    pub const DIAGNOSTICS: &str = "AYA_LOGS";
    /// The table of services, frozen with them: a cell by [`super::service`] index.
    pub const SERVICES: &str = "SERVICES";
    /// The table of cells, frozen with them: a [`super::Cell`] by number.
    pub const CELLS: &str = "CELLS";
    /// The frozen classes of VLAN IDs.
    pub const VLAN_CLASSES: &str = "VLAN_CLASSES";
    /// The frozen classes of interfaces, by [`super::interface_entry`].
    pub const INTERFACE_CLASSES: &str = "INTERFACE_CLASSES";
    /// The section of the tables of 16 bits.
    pub const HALVES: &str = ".rodata.halves";
    /// The section of the tables of 32 bits.
    pub const WORDS: &str = ".rodata.words";
    /// The section of the rows of sparse stages: [`super::Row`]s.
    pub const ROWS: &str = ".rodata.rows";
    /// The section of the nodes of packed tries: [`super::PackedNode`]s.
    pub const NODES: &str = ".rodata.nodes";
    /// The section of the [`super::Limit`]s of all cells.
    pub const LIMITS: &str = ".rodata.limits";
    /// What CPUs count: [`super::slot`]s, in one element.
    pub const SLOTS: &str = "SLOTS";
    /// The same where CPUs count in pages: [`super::CounterPage`] by page, per CPU.
    pub const COUNTERS: &str = "COUNTERS";
    /// The ring of events: an [`super::EventHeader`] with what follows it.
    pub const EVENTS: &str = "EVENTS";
    /// The groups of events: [`super::HALVES`] an element, by counter.
    pub const EVENT_GROUPS: &str = "EVENT_GROUPS";
    /// How many events may be told: a `u64` by [`super::credit`].
    pub const EVENT_CREDITS: &str = "EVENT_CREDITS";
    /// What became of events: [`super::EventCountPage`] by page of groups, per CPU.
    pub const EVENT_COUNTS: &str = "EVENT_COUNTS";
    /// Drops by protocol and port, in pages: [`super::DropPage`] by page, per CPU.
    pub const DROPS: &str = "DROPS";
    /// What there is one of for the whole host: a `u64` by [`super::host`].
    pub const HOST: &str = "HOST";
    /// The buckets of rules: a [`super::Bucket`] each.
    pub const RULE_BUCKETS: &str = "RULE_BUCKETS";
    /// The TCP flows that this side started: [`crate::limits::FLOW_LINES`] of [`super::CacheLine`]s, see [`crate::flow_table`].
    pub const TCP_FLOWS: &str = "TCP_FLOWS";
    /// The others, likewise.
    pub const OTHER_FLOWS: &str = "OTHER_FLOWS";
    /// When a packet last left, by [`super::local_port`]: a byte, see [`crate::last_sent`].
    pub const LAST_SENT: &str = "LAST_SENT";
    /// When a UDP port closed, by port, in nanoseconds of the kernel's monotonic clock: a `u64`, 0 for never.
    pub const CLOSED_PORTS: &str = "CLOSED_PORTS";
    /// What is banned: a [`super::BanEnd`] by [`super::BanKey`]. For the daemon alone.
    pub const BANS: &str = "BANS";
    /// Where the programs look that up: [`super::CacheLine`]s of [`crate::ban_table`].
    pub const BAN_PLACES: &str = "BAN_PLACES";
    /// Which of that nobody has: words of bits, see [`crate::ban_filter`].
    pub const BAN_FILTER: &str = "BAN_FILTER";
    /// The map of the [`super::BanLengths`], which are data of the programs: they read them without a look-up.
    pub const BAN_LENGTHS: &str = ".bss.bans";
    /// What there is in that map.
    pub const BAN_LENGTHS_VARIABLE: &str = "BAN_LENGTHS";
    /// The program that sees what leaves.
    pub const EGRESS: &str = "portguard_egress";
    /// Two random numbers, frozen: nobody can tell which sources share a bucket, or which flows a line.
    pub const SEED: &str = "SEED";
    /// The buckets of sources: [`crate::limits::SOURCE_BUCKETS`] of [`super::SourceBucket`]s.
    pub const SOURCE_BUCKETS: &str = "SOURCE_BUCKETS";
    /// The outcome of the last run: one [`super::Trace`].
    pub const TRACE: &str = "TRACE";
    /// What a policy on trial is kept by: a `u64` by [`super::trial`].
    pub const TRIAL: &str = "TRIAL";
    /// The programs for what arrives between which a trial chooses.
    pub const CHOICES: &str = "CHOICES";
    /// The programs for what leaves likewise.
    pub const EGRESS_CHOICES: &str = "EGRESS_CHOICES";
    /// The interfaces, by index, that the policy before a trial guards.
    pub const GUARDED_BEFORE: &str = "GUARDED_BEFORE";
    /// The entry point of a trial, for what arrives.
    pub const TRIAL_PROGRAM: &str = "portguard_trial";
    /// The same for older kernels.
    pub const TRIAL_PROGRAM_LINEAR: &str = "portguard_trial_old";
    /// The entry point of a trial, for what leaves.
    pub const TRIAL_EGRESS: &str = "portguard_trial_out";
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
    unsafe impl aya::Pod for super::EventCount {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Limit {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::BanKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::BanLengths {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::SourceBucket {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Stage {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Row {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Lengths {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Trie {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::PackedNode {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Trace {}
    // SAFETY: as above.
    unsafe impl aya::Pod for crate::draw::Draw {}
}
