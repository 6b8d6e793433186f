//! Rules by address that matched other packets than they said.

use crate::filter::Filter;
use crate::frames::{Segment, icmpv6, ipv4, ipv6, tcp};

const SOURCE_V4: usize = 14 + 12;
const SOURCE_V6: usize = 14 + 8;

fn from_v4(source: [u8; 4], segment: Segment) -> Vec<u8> {
    from(ipv4(segment), SOURCE_V4, &source)
}

fn from_v6(source: &str, segment: Segment) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().expect("an address");
    from(ipv6(segment), SOURCE_V6, &source.octets())
}

fn from(mut frame: Vec<u8>, at: usize, source: &[u8]) -> Vec<u8> {
    frame[at..at + source.len()].copy_from_slice(source);
    frame
}

fn web() -> Segment {
    tcp(40_000, 443)
}

/// A prefix of length 0 matched itself alone, or nothing.
#[test]
fn m06_a_prefix_of_length_0_is_everything_of_its_family() {
    for (list, v4, v6) in [
        ("0.0.0.0/0", true, false),
        ("10.0.0.0/0", true, false),
        ("[0.0.0.0/1, 128.0.0.0/1]", true, false),
        ("\"::/0\"", false, true),
        ("[\"::/1\", \"8000::/1\"]", false, true),
        ("[0.0.0.0/0, \"::/0\"]", true, true),
    ] {
        let rule = format!("{{ name: web, action: pass, ports: 443/tcp, from: {list} }}");
        let mut filter = Filter::new("default: drop", &[&rule]);
        let expected = |matches| match matches {
            true => "pass web",
            false => "drop default-drop tcp/443",
        };
        for source in [
            [0, 0, 0, 1],
            [127, 255, 255, 255],
            [128, 0, 0, 0],
            [198, 51, 100, 9],
            [255, 255, 255, 254],
        ] {
            let case = format!("{source:?}, {list}");
            filter.expect(&case, &from_v4(source, web()), expected(v4));
        }
        for source in ["::2", "7fff::1", "8000::", "2001:db8::5", "ffff::"] {
            let case = format!("{source}, {list}");
            filter.expect(&case, &from_v6(source, web()), expected(v6));
        }
        filter.expect("port", &ipv4(tcp(443, 80)), "drop default-drop tcp/80");
    }
}

/// The most specific prefix hid what broader ones allow.
#[test]
fn m08_a_narrow_prefix_hides_no_broader_one() {
    let wide = "{ name: wide, action: pass, protocol: any, from: \"2001:db8::/48\" }";
    let narrow = "{ name: narrow, action: pass, protocol: icmpv6, from: \"2001:db8:0:1::/64\" }";
    let echo = || icmpv6(128, 0);
    for (rules, of_ping) in [
        ([wide, narrow], "pass wide"),
        ([narrow, wide], "pass narrow"),
    ] {
        let mut filter = Filter::new("default: drop", &rules);
        let inside = "2001:db8:0:1::5";
        filter.expect("web of the /64", &from_v6(inside, web()), "pass wide");
        filter.expect("ping of the /64", &from_v6(inside, echo()), of_ping);
        let beside = "2001:db8:0:2::5";
        filter.expect("web of the /48", &from_v6(beside, web()), "pass wide");
        filter.expect("ping of the /48", &from_v6(beside, echo()), "pass wide");
        let outside = "2001:db8:1:1::5";
        filter.expect(
            "web of another /48",
            &from_v6(outside, web()),
            "drop default-drop tcp/443",
        );
    }
    // The same prefix twice, and what is left of it without one of them.
    let any = "{ name: any, action: pass, protocol: any, from: 192.0.2.0/24 }";
    let ssh = "{ name: ssh, action: pass, ports: 22/tcp, from: 192.0.2.0/24 }";
    let source = [192, 0, 2, 3];
    for (rules, of_ssh, of_web) in [
        (vec![any, ssh], "pass any", "pass any"),
        (vec![ssh, any], "pass ssh", "pass any"),
        (vec![any], "pass any", "pass any"),
        (vec![ssh], "pass ssh", "drop default-drop tcp/443"),
    ] {
        let mut filter = Filter::new("default: drop", &rules);
        filter.expect("ssh", &from_v4(source, tcp(1, 22)), of_ssh);
        filter.expect("web", &from_v4(source, web()), of_web);
    }
}

/// What overlaps was decided by its prefix, or by chance, instead of by the order of the file.
#[test]
fn m09_of_overlapping_rules_the_first_decides() {
    const WIDE: &str = "192.0.2.0/24";
    const NARROW: &str = "192.0.2.3/32";
    const DROP: &str = "drop block tcp/443";
    const PASS: &str = "pass allow";
    let block =
        |from: &str| format!("{{ name: block, action: drop, protocol: any, from: {from} }}");
    let allow =
        |from: &str| format!("{{ name: allow, action: pass, protocol: any, from: {from} }}");
    for (rules, of_one, of_others) in [
        (vec![block(WIDE), allow(NARROW)], DROP, DROP),
        (vec![allow(NARROW), block(WIDE)], PASS, DROP),
        (vec![allow(WIDE), block(NARROW)], PASS, PASS),
        (vec![block(NARROW), allow(WIDE)], DROP, PASS),
        (vec![block(WIDE), allow(WIDE)], DROP, DROP),
        (vec![allow(WIDE), block(WIDE)], PASS, PASS),
        // Without the narrow one.
        (vec![block(WIDE)], DROP, DROP),
        (vec![allow(WIDE)], PASS, PASS),
    ] {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let mut filter = Filter::new("", &rules);
        let case = rules.join(" ");
        filter.expect(&case, &from_v4([192, 0, 2, 3], web()), of_one);
        for last in [0, 2, 4, 255] {
            filter.expect(&case, &from_v4([192, 0, 2, last], web()), of_others);
        }
        for outside in [[192, 0, 1, 3], [192, 0, 3, 3]] {
            filter.expect(&case, &from_v4(outside, web()), "pass default-pass");
        }
    }
}
