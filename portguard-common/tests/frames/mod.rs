//! Frames built by hand, byte by byte from the standards: nothing here shares code with the parser.
//!
//! ```text
//! Segment (transport) ─→ Ipv4 or Ipv6 ─→ Packet ─→ Link ─→ the bytes of a frame
//! ```
#![allow(
    dead_code,
    unused_imports,
    clippy::allow_attributes,
    reason = "each test binary uses a part of it"
)]
#![expect(
    clippy::expect_used,
    reason = "a test that asks for an impossible frame is wrong, and fails"
)]

mod ip;
mod link;
pub(crate) mod random;
mod transport;

pub(crate) use ip::{Ipv4, Ipv6, Packet};
pub(crate) use link::{
    CUSTOMER_TAG, Link, OLD_SERVICE_TAG, SERVICE_TAG, ethernet, ipv4, ipv6, raw_ethernet,
};
pub(crate) use transport::{
    AH, DESTINATION_OPTIONS, ESP, Extension, FRAGMENT, GRE, HIP, HOP_BY_HOP, ICMP, ICMPV6, IGMP,
    IPIP, MOBILITY, NO_NEXT_HEADER, ROUTING, SCTP, SHIM6, Segment, TCP, UDP, icmp, icmpv6,
    portless, sctp, tcp, tcp_with, udp, udp_with,
};
