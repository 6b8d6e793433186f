//! Bans, as the kernel program sees them: at times that the test sets, unless it says otherwise.

use std::thread::{self, sleep};
use std::time::Duration;

use portguard::dataplane::{
    Arrival, BanError, BanTable, Banned, Generation, LoadOptions, State, boot_time_ns,
};
use portguard_common::abi::{Builtin, FOREVER};
use portguard_policy::{BanTarget, Outcome};
use portguard_testbed::own_bpf_file_system;

use crate::filter::{BANS, Filter, tables};
use crate::frames::{
    Ipv4, Ipv6, ethernet, icmpv6, ipv4, ipv6, portless, raw_ethernet, tcp, tcp_with, udp,
};

/// The sources of the frames.
const SOURCE_V4: u32 = 0xc633_6409;
const SOURCE_V6: u128 = 0x2001_0db8_0000_0001_0000_0000_0000_0009;

const SECOND: u64 = 1_000_000_000;

fn target(text: &str) -> BanTarget {
    text.parse().unwrap()
}

fn ban(bans: &mut BanTable, text: &str, end: u64) {
    let banned = bans.ban(target(text), end, 0).unwrap();
    assert_eq!(banned, Banned::New, "{text}");
}

fn at(now_ns: u64) -> Arrival {
    Arrival { ifindex: 0, now_ns }
}

#[test]
fn a_banned_source_is_dropped_whatever_the_rules_say() {
    let rules = [
        "{ name: watch, action: drop, protocol: any, enforce: false }",
        "{ name: all, action: pass, protocol: any }",
    ];
    let mut filter = Filter::new("", &rules);
    let mut bans = filter.bans();
    ban(&mut bans, "198.51.100.9", FOREVER);
    ban(&mut bans, "2001:db8:0:1::/64", FOREVER);
    let later = ethernet(Ipv4::carrying(portless(17, &[0; 8])).fragment(9, false));
    let solicitation = ethernet(Ipv6::carrying(icmpv6(135, 0)).hop_limit(255));
    filter.expect("TCP", &ipv4(tcp(1, 22)), "drop banned tcp/22");
    filter.expect("UDP", &ipv4(udp(1, 53, b"")), "drop banned udp/53");
    filter.expect("TCP, IPv6", &ipv6(tcp(1, 22)), "drop banned tcp/22");
    filter.expect("a later fragment", &later, "drop banned udp");
    filter.expect("essential traffic", &solicitation, "drop banned 58");
    // These are judged before anybody looks at the source.
    let malformed = ipv4(tcp_with(1, 22, 2));
    filter.expect("malformed", &malformed, "drop malformed:tcp-data-offset");
    filter.expect("no IP", &raw_ethernet(0x0806, &[0; 28]), "pass non-ip");
    for text in ["198.51.100.9", "2001:db8:0:1::/64"] {
        assert!(bans.remove(target(text)).unwrap());
        assert!(!bans.remove(target(text)).unwrap());
    }
    filter.expect("unbanned", &ipv4(tcp(1, 22)), "pass all +watch");
    filter.expect("unbanned, IPv6", &ipv6(tcp(1, 22)), "pass all +watch");
}

#[test]
fn a_dry_run_counts_a_banned_source_and_passes_it() {
    let mut filter = Filter::new("enforce: false", &[]);
    ban(&mut filter.bans(), "198.51.100.0/24", FOREVER);
    filter.expect("TCP", &ipv4(tcp(1, 22)), "pass banned tcp/22");
}

#[test]
fn trust_goes_before_a_ban() {
    let trusted = "trusted: [198.51.100.8/30, { from: 2001:db8::/32, interfaces: [mgmt0] }]\n\
                   interfaces: [eth0, mgmt0]";
    let mut filter = Filter::new(trusted, &[]);
    let mut bans = filter.bans();
    ban(&mut bans, "198.51.100.0/24", FOREVER);
    ban(&mut bans, "2001:db8::/32", FOREVER);
    filter.expect("everywhere", &ipv4(tcp(1, 22)), "pass trusted");
    let mgmt0 = Arrival {
        ifindex: filter.ifindex("mgmt0"),
        now_ns: 0,
    };
    filter.expect_as("there", &ipv6(tcp(1, 22)), mgmt0, "pass trusted");
    let eth0 = Arrival {
        ifindex: filter.ifindex("eth0"),
        now_ns: 0,
    };
    filter.expect_as("elsewhere", &ipv6(tcp(1, 22)), eth0, "drop banned tcp/22");
}

/// A prefix of every length that holds the source bans it, and the one beside it does not.
#[test]
fn every_length_is_looked_up() {
    let mut filter = Filter::new("", &[]);
    let mut bans = filter.bans();
    let prefixes = (1..=32)
        .map(|length| (false, length))
        .chain((1..=128).map(|length| (true, length)));
    for (v6, length) in prefixes {
        let (held, beside, frame) = if v6 {
            let bit = 1 << (128 - length);
            let text = |source: u128| format!("{}/{length}", std::net::Ipv6Addr::from(source));
            let host = bit - 1;
            (
                text(SOURCE_V6 & !host),
                text((SOURCE_V6 ^ bit) & !host),
                ipv6(tcp(1, 22)),
            )
        } else {
            let bit = 1_u32 << (32 - length);
            let text = |source: u32| format!("{}/{length}", std::net::Ipv4Addr::from(source));
            let host = bit - 1;
            (
                text(SOURCE_V4 & !host),
                text((SOURCE_V4 ^ bit) & !host),
                ipv4(tcp(1, 22)),
            )
        };
        ban(&mut bans, &beside, FOREVER);
        filter.expect(&beside, &frame, "pass default-pass");
        ban(&mut bans, &held, FOREVER);
        filter.expect(&held, &frame, "drop banned tcp/22");
        assert!(bans.remove(target(&held)).unwrap());
        filter.expect(&beside, &frame, "pass default-pass");
        assert!(bans.remove(target(&beside)).unwrap());
    }
}

/// A prefix of every length bans exactly the addresses that it holds: those that differ from one of them in a bit behind it.
#[test]
fn a_prefix_holds_its_addresses_and_no_others() {
    const SOURCE_V4_AT: usize = 14 + 12;
    const SOURCE_V6_AT: usize = 14 + 8;
    let mut filter = Filter::new("", &[]);
    let mut bans = filter.bans();
    for length in 1..=32_u32 {
        let held = format!(
            "{}/{length}",
            std::net::Ipv4Addr::from(SOURCE_V4 >> (32 - length) << (32 - length))
        );
        ban(&mut bans, &held, FOREVER);
        for bit in 0..32 {
            let source = SOURCE_V4 ^ 1 << (31 - bit);
            let mut frame = ipv4(tcp(1, 22));
            frame[SOURCE_V4_AT..][..4].copy_from_slice(&source.to_be_bytes());
            filter.expect(&held, &frame, fate(bit >= length));
        }
        assert!(bans.remove(target(&held)).unwrap());
    }
    for length in 1..=128_u32 {
        let held = format!(
            "{}/{length}",
            std::net::Ipv6Addr::from(SOURCE_V6 >> (128 - length) << (128 - length))
        );
        ban(&mut bans, &held, FOREVER);
        for bit in 0..128 {
            let source = SOURCE_V6 ^ 1 << (127 - bit);
            let mut frame = ipv6(tcp(1, 22));
            frame[SOURCE_V6_AT..][..16].copy_from_slice(&source.to_be_bytes());
            filter.expect(&held, &frame, fate(bit >= length));
        }
        assert!(bans.remove(target(&held)).unwrap());
    }
}

const fn fate(is_banned: bool) -> &'static str {
    if is_banned {
        "drop banned tcp/22"
    } else {
        "pass default-pass"
    }
}

#[test]
fn what_is_changed_holds_for_the_next_packet() {
    let mut filter = Filter::new("", &[]);
    let mut bans = filter.bans();
    let (v4, v6) = (ipv4(tcp(1, 22)), ipv6(tcp(1, 22)));
    for (text, frame) in [("198.51.100.9", v4), ("2001:db8:0:1::/64", v6)] {
        for round in 1..20 {
            let now_ns = round * 10 * SECOND;
            let end_ns = now_ns + SECOND;
            bans.ban(target(text), end_ns, now_ns).unwrap();
            filter.expect_as("banned", &frame, at(end_ns - 1), "drop banned tcp/22");
            filter.expect_as("over", &frame, at(end_ns), "pass default-pass");
            bans.ban(target(text), end_ns + 1, now_ns).unwrap();
            filter.expect_as("prolonged", &frame, at(end_ns), "drop banned tcp/22");
            filter.expect_as("over again", &frame, at(end_ns + 1), "pass default-pass");
            bans.ban(target(text), FOREVER, now_ns).unwrap();
            filter.expect_as("for good", &frame, at(end_ns + 1), "drop banned tcp/22");
            assert!(bans.remove(target(text)).unwrap());
            filter.expect_as("unbanned", &frame, at(now_ns), "pass default-pass");
        }
    }
}

#[test]
fn a_ban_ends_at_its_moment_and_hides_no_other() {
    let mut filter = Filter::new("", &[]);
    let mut bans = filter.bans();
    ban(&mut bans, "198.51.100.9", 5 * SECOND);
    ban(&mut bans, "198.51.0.0/16", 9 * SECOND);
    ban(&mut bans, "198.0.0.0/8", 7 * SECOND);
    let frame = ipv4(tcp(1, 22));
    for now_ns in [1, 5 * SECOND, 7 * SECOND, 9 * SECOND - 1] {
        filter.expect_as("before", &frame, at(now_ns), "drop banned tcp/22");
    }
    filter.expect_as("at the end", &frame, at(9 * SECOND), "pass default-pass");
    // What is over is as good as not there; what lasts longer stays.
    let mut again = |end, now_ns| bans.ban(target("198.51.100.9"), end, now_ns).unwrap();
    assert_eq!(again(20 * SECOND, 9 * SECOND), Banned::New);
    assert_eq!(again(15 * SECOND, 9 * SECOND), Banned::Longer);
    assert_eq!(again(30 * SECOND, 9 * SECOND), Banned::Prolonged);
    assert_eq!(again(FOREVER, 9 * SECOND), Banned::Prolonged);
    filter.expect_as("for good", &frame, at(u64::MAX), "drop banned tcp/22");
}

#[test]
fn a_banned_packet_takes_no_token_of_a_limit() {
    let limit = "{ name: few, action: limit, rate: 1/m, protocol: udp, ports: any, per: rule }";
    let mut filter = Filter::new("", &[limit]);
    let mut bans = filter.bans();
    ban(&mut bans, "198.51.100.9", 5 * SECOND);
    let frame = ipv4(udp(1, 53, b""));
    for _ in 0..3 {
        filter.expect_as("banned", &frame, at(SECOND), "drop banned udp/53");
    }
    filter.expect_as("first", &frame, at(5 * SECOND), "pass few");
    filter.expect_as("second", &frame, at(5 * SECOND), "drop few:limited udp/53");
}

#[test]
fn a_ban_ends_by_the_clock_of_the_kernel() {
    let mut filter = Filter::new("", &[]);
    // Before the time is taken: the table is looked through when it is opened.
    let mut bans = filter.bans();
    let end = boot_time_ns() + SECOND / 2;
    ban(&mut bans, "198.51.100.9", end);
    filter.expect("before", &ipv4(tcp(1, 22)), "drop banned tcp/22");
    while boot_time_ns() < end {
        sleep(Duration::from_millis(20));
    }
    filter.expect("after", &ipv4(tcp(1, 22)), "pass default-pass");
}

#[test]
fn a_full_table_refuses_and_looks_for_nothing_that_it_refused() {
    let mut filter = Filter::new("", &[]);
    let mut bans = filter.bans();
    for host in 0..BANS {
        ban(&mut bans, &format!("203.0.113.{host}"), FOREVER);
    }
    let refused = bans.ban(target("198.51.0.0/16"), FOREVER, 0);
    assert!(matches!(refused, Err(BanError::Full)), "{refused:?}");
    filter.expect("refused", &ipv4(tcp(1, 22)), "pass default-pass");
    assert_eq!(bans.entries().unwrap().len(), BANS as usize);
    // What is there can be prolonged and taken back, which makes room.
    bans.remove(target("203.0.113.0")).unwrap();
    ban(&mut bans, "198.51.0.0/16", FOREVER);
    filter.expect("banned", &ipv4(tcp(1, 22)), "drop banned tcp/22");
}

#[test]
fn a_table_that_is_opened_again_knows_what_is_in_it() {
    let mut filter = Filter::new("", &[]);
    let mut first = filter.bans();
    assert!(!first.is_filled());
    ban(&mut first, "198.51.0.0/16", FOREVER);
    ban(&mut first, "203.0.0.0/16", 7);
    first.set_filled().unwrap();
    drop(first);
    let mut second = filter.bans();
    assert!(second.is_filled());
    let mut entries = second.entries().unwrap();
    entries.sort();
    assert_eq!(
        entries,
        [
            (target("198.51.0.0/16"), FOREVER),
            (target("203.0.0.0/16"), 7)
        ]
    );
    // The length is looked for as long as one of the two is there.
    second.remove(target("203.0.0.0/16")).unwrap();
    filter.expect("one left", &ipv4(tcp(1, 22)), "drop banned tcp/22");
}

#[test]
fn a_table_of_another_size_leaves_the_one_before_in_force() {
    let (tables, _) = tables("", &[]);
    let load = move |state: &State, bans: u32| {
        let options = LoadOptions {
            bans,
            state: Some(state.clone()),
            trace: true,
            ..LoadOptions::default()
        };
        Generation::load(&tables, &options).unwrap()
    };
    let is_banned = |generation: &Generation| {
        generation.run(&ipv4(tcp(1, 22))).unwrap().outcome == Outcome::Builtin(Builtin::Banned)
    };
    // On a thread of its own, since what it mounts is there for it alone.
    let test = thread::spawn(move || {
        own_bpf_file_system().unwrap();
        let state = State::open("/sys/fs/bpf/bans".as_ref()).unwrap();
        let before = load(&state, BANS);
        ban(&mut before.bans().unwrap(), "198.51.100.9", FOREVER);
        let same = load(&state, BANS);
        assert!(is_banned(&before) && is_banned(&same));
        // As many lines, but room for more.
        let after = load(&state, BANS * 2);
        let mut bans = after.bans().unwrap();
        assert!(is_banned(&before) && !is_banned(&after));
        assert!(!bans.is_filled());
        ban(&mut bans, "198.51.100.9", FOREVER);
        assert!(is_banned(&before) && is_banned(&after));
        assert!(bans.remove(target("198.51.100.9")).unwrap());
        assert!(is_banned(&before) && !is_banned(&after));
    });
    test.join().unwrap();
}
