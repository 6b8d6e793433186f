//! The fields of a packet, and where each value of one lies in its table.

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
    /// Its protocol with destination port or type: see [`crate::abi::service`].
    pub const SERVICE: usize = 5;
    /// All of them.
    pub const COUNT: usize = 6;
}

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
