//! `limit`: what takes a token.

use portguard::dataplane::Arrival;
use portguard_common::abi::SOURCE_BUCKET_WAYS;
use portguard_common::limits::SOURCE_BUCKET_SETS;
use portguard_policy::Outcome;

use crate::filter::{Filter, load, tables};
use crate::frames::{Ipv4, Segment, ethernet, ipv4, tcp, udp};

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

/// A full table of sources meant no limit, or made the filter forget who had used up his.
#[test]
fn c04_a_flood_of_forged_sources_gives_nobody_another_bucket() {
    const BURST: usize = 10;
    const SOURCES: usize = SOURCE_BUCKET_SETS * SOURCE_BUCKET_WAYS;
    const SOURCE: usize = 14 + 12;
    let limit = "{ name: flood, action: limit, ports: 53/udp, rate: 10/s }";
    let (tables, _) = tables("", &[limit]);
    let generation = load(&tables);
    let arrival = Arrival {
        ifindex: 1,
        now_ns: 1_000_000_000,
    };
    let mut frame = ipv4(udp(40_000, 53, b"query"));
    // How many of `packets` packets of a source pass, all at the same time.
    let mut passed = |source: u32, packets: usize| {
        frame[SOURCE..SOURCE + 4].copy_from_slice(&source.to_be_bytes());
        let mut passed = 0;
        for _ in 0..packets {
            let run = generation.run_as(&frame, arrival).unwrap();
            let expected = match run.dropped {
                true => Outcome::Limited(0),
                false => Outcome::Rule(0),
            };
            assert_eq!(run.outcome, expected);
            passed += usize::from(!run.dropped);
        }
        passed
    };
    let [before, after] = [0xc633_6409, 0xc633_640a];
    assert_eq!(passed(before, 2 * BURST), BURST);
    let forged = (0..2 * SOURCES as u32).map(|n| passed(0x0a00_0000 + n, 1));
    let forged: usize = forged.sum();
    assert!(
        forged <= SOURCES + BURST,
        "more pass than the buckets hold, the shared one included: {forged}"
    );
    assert_eq!(passed(before, 2 * BURST), 0, "it has used up its burst");
    assert!(passed(after, 10 * BURST) <= BURST);
}
