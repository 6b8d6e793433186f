//! `limit`: what takes a token.

use crate::filter::Filter;
use crate::frames::{Ipv4, Segment, ethernet, tcp};

/// A later fragment of TCP is no attempt to connect, so that the rule passes it and it takes no token.
#[test]
fn a_later_fragment_of_tcp_takes_no_token() {
    let limit = "{ name: few, action: limit, rate: 1/m, protocol: tcp, ports: any }";
    let mut filter = Filter::new("default: drop\nreplies: rules", &[limit]);
    let later = |segment: Segment| ethernet(Ipv4::carrying(segment).fragment(10, false));
    for _ in 0..3 {
        filter.expect("later fragment", &later(tcp(40_000, 22)), "pass few");
    }
    let attempt = ethernet(Ipv4::carrying(tcp(40_000, 22)));
    filter.expect("first attempt", &attempt, "pass few");
    filter.expect("second attempt", &attempt, "drop few:limited tcp/22");
    filter.expect("later fragment", &later(tcp(40_000, 22)), "pass few");
}
