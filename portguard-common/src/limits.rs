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
