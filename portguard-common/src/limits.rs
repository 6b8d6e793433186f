//! Every capacity of the data path, with its unit and where it comes from.

/// VLAN tags walked before the network header; a frame with more is malformed.
pub const VLAN_TAGS: u32 = 4;

/// IPv6 extension headers walked before the transport header; a packet with more is malformed.
pub const EXTENSION_HEADERS: u32 = 8;

/// Cells of one generation: the distinct combinations of a deciding rule with the rules that only
/// count. A cell is named by a `u16`.
pub const CELLS: usize = 1 << 16;

/// Rules of one policy.
pub const RULES: usize = 16_384;

/// Attributions of cells to rules that only count (`enforce: false`), summed over all cells. Bounds the
/// daemon's memory when many such rules overlap.
pub const SHADOWS: usize = 4_000_000;

/// Bytes of one policy file.
pub const POLICY_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of all files of addresses that one policy names, together: some three million lines.
pub const SET_FILES_BYTES: usize = 64 * 1024 * 1024;

/// Ranges of addresses that the lists of a policy's rules copy from sets, summed over all rules: 32 bytes
/// each in IPv6.
pub const COPIED_RANGES: usize = 4_000_000;

/// Classes of one field, or of fields combined: named by a `u16`, and one more than it by another.
pub const CLASSES: usize = (1 << 16) - 1;

/// Classes of addresses: a half of a list has 15 bits for them.
pub const ADDRESS_CLASSES: usize = 1 << 15;

/// Halves (entries of 16 bits) of all tables of one generation: 64 MiB.
pub const HALVES: usize = 32 * 1024 * 1024;

/// Words (entries of 32 bits) of all tables of one generation: 64 MiB.
pub const WORDS: usize = 16 * 1024 * 1024;

/// Nodes and gates of tries of one generation, 56 bytes each.
pub const NODES: usize = 2 * 1024 * 1024;

/// Tables of 256 KiB that a trie of IPv6 may have below its root: for prefixes within which more parts than fits a list. Where there are
/// more such prefixes, packed tries follow.
pub const WIDE_TABLES: usize = 16;

/// Members of all sets of rules that the compiler tells apart. Bounds its memory where many rules overlap.
pub const SET_MEMBERS: usize = 16 * 1024 * 1024;

/// Rules with a limit that one packet may have to ask, those that only count included.
pub const LIMITS_OF_A_PACKET: usize = 8;

/// What the burst of a limit takes at its rate, in nanoseconds, from which on the clock of the last timer tick measures it: ticks
/// are at most 10 ms apart (`CONFIG_HZ=100`), a tenth of this, and nothing is lost between them.
pub const COARSE_TOLERANCE_NS: u64 = 100_000_000;

/// Limits of all cells.
pub const LIMITS: usize = 1 << 16;

/// Buckets of rules with a limit.
pub const RULE_BUCKETS: usize = 1 << 16;

/// Lines of each table of flows, with four places each: 4 MiB. Both lines of a flow are full only where nearly all places of a table are
/// taken; then the flow of them goes that has sent nothing for the longest time.
pub const FLOW_LINES: u32 = 1 << 16;

/// Answers to rejected packets that the host sends in a second, and at once.
pub const ANSWERS_PER_SECOND: u64 = 100;

/// Messages of the programs themselves in a second, and at once.
pub const DIAGNOSTICS_PER_SECOND: u64 = 100;

/// Bytes of the ring for them: each takes up to 512.
pub const DIAGNOSTICS_RING_BYTES: u32 = 1 << 17;

/// Bytes of a rejected packet that an ICMP or ICMPv6 answer quotes at most, from its IP header on; a
/// multiple of 4. Far below what RFC 1812 (576 bytes with headers) and RFC 4443 (1,280) allow.
pub const QUOTE_BYTES: u32 = 256;

/// Buckets of sources: 4 MiB.
pub const SOURCE_BUCKETS: u32 = 1 << 18;

/// Least bytes of a frame that an event keeps: Ethernet, two VLAN tags, IPv4 and TCP without options.
pub const SNAP_MIN: u32 = 64;

/// Bytes of a frame that an event keeps unless the policy says otherwise: the headers of nearly all packets.
pub const SNAP_DEFAULT: u32 = 128;

/// Most bytes of a frame that a policy may ask for by number.
pub const SNAP_LARGEST: u32 = 4096;

/// Most bytes of a frame that an event keeps where the policy asks for all of it: a jumbo frame of 9,000 bytes with its
/// headers. A multiple of 8.
pub const SNAP_MAX: u32 = 9216;

/// Bytes of the ring through which events come from the kernel: a power of two, and whole pages.
pub const EVENT_RING_BYTES: u32 = 1 << 20;

/// Bans, of both families together. The kernel takes some 100 bytes for each, and 4 MiB for the record itself.
pub const BANS: u32 = 1 << 18;

/// Lines of the table in which programs look bans up, with four places each, at least: 8 MiB. Half of the places are enough for [`BANS`];
/// where there is room for more bans, there are more lines.
pub const BAN_LINES: u32 = 1 << 17;
