//! Rules on destination ports: numbers, ranges, names, `any`.

use crate::filter::Filter;
use crate::frames::{Segment, ipv4, ipv6, sctp, tcp, udp};

fn tcp_to(port: u16) -> Vec<u8> {
    ipv4(tcp(40_000, port))
}

/// Expects that exactly the ports for which `inside` holds are dropped, in TCP, in both families.
fn expect_ports(ports: &str, inside: impl Fn(u16) -> bool, tried: impl Iterator<Item = u16>) {
    let rule = format!("{{ name: range, action: drop, protocol: tcp, ports: {ports} }}");
    let mut filter = Filter::new("", &[&rule]);
    for port in tried {
        let expected = if inside(port) {
            format!("drop range tcp/{port}")
        } else {
            "pass default-pass".to_owned()
        };
        let case = format!("port {port} against {ports}");
        filter.expect(&case, &tcp_to(port), &expected);
        filter.expect(&case, &ipv6(tcp(1000, port)), &expected);
        // The source port does not matter.
        filter.expect(&case, &ipv4(tcp(port, port)), &expected);
        filter.expect(&case, &ipv4(udp(1000, port, b"")), "pass default-pass");
    }
}

/// Ports around both ends, the same with their bytes swapped, and some in between.
fn around(low: u16, high: u16) -> Vec<u16> {
    let near = |port: u16| {
        [
            port.wrapping_sub(1),
            port,
            port.wrapping_add(1),
            port.swap_bytes(),
        ]
    };
    let middle = low + (high - low) / 2;
    let mut ports = [
        near(low),
        near(high),
        near(middle),
        [0, 1, 255, 256],
        [65_535, 65_534, 32_768, 32_767],
    ]
    .concat();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[test]
fn ranges_are_inclusive() {
    for (low, high) in [
        (1, 65_535),
        (1, 1),
        (65_535, 65_535),
        (255, 256),
        (256, 256),
        (255, 65_280),
        (1000, 2000),
        (32_767, 32_768),
        (65_534, 65_535),
    ] {
        let inside = |port| (low..=high).contains(&port);
        expect_ports(
            &format!("{low}-{high}"),
            inside,
            around(low, high).into_iter(),
        );
    }
}

#[test]
fn one_rule_of_many_ports() {
    let ports = [22, 23, 80, 443, 3306];
    let inside = |port| ports.contains(&port) || (8000..=8010).contains(&port);
    let tried = (20..26)
        .chain([79, 80, 81, 442, 443, 444, 3306])
        .chain(7999..=8011);
    expect_ports(
        "[22, 23, 80, 443, 3306, 8000-8010, 8005-8007]",
        inside,
        tried,
    );
}

#[test]
fn ports_without_protocol_are_tcp_and_udp() {
    let mut filter = Filter::new("", &["{ name: both, action: drop, ports: 8080 }"]);
    filter.expect("tcp", &tcp_to(8080), "drop both tcp/8080");
    filter.expect("udp", &ipv6(udp(1, 8080, b"")), "drop both udp/8080");
    filter.expect("sctp", &ipv4(sctp(1, 8080)), "pass default-pass");
}

#[test]
fn a_suffix_fixes_the_protocol() {
    let rule = "{ name: mixed, action: drop, ports: [53/udp, 80/tcp, 9/sctp, any/sctp, 1-20/udp] }";
    let mut filter = Filter::new("", &[rule]);
    let cases: [(Segment, &str); 8] = [
        (udp(1, 53, b""), "drop mixed udp/53"),
        (tcp(1, 53), "pass default-pass"),
        (tcp(1, 80), "drop mixed tcp/80"),
        (udp(1, 80, b""), "pass default-pass"),
        (sctp(1, 9), "drop mixed sctp/9"),
        (sctp(1, 0), "drop mixed sctp/0"),
        (udp(1, 20, b""), "drop mixed udp/20"),
        (tcp(1, 20), "pass default-pass"),
    ];
    for (segment, expected) in cases {
        filter.expect("IPv4", &ipv4(segment.clone()), expected);
        filter.expect("IPv6", &ipv6(segment), expected);
    }
}

#[test]
fn names_stand_for_the_protocols_that_they_have() {
    let rule = "{ name: named, action: drop, ports: [ssh, domain, ntp] }";
    let mut filter = Filter::new("", &[rule]);
    filter.expect("ssh", &tcp_to(22), "drop named tcp/22");
    filter.expect("ssh is no udp", &ipv4(udp(1, 22, b"")), "pass default-pass");
    filter.expect("dns", &tcp_to(53), "drop named tcp/53");
    filter.expect("dns", &ipv4(udp(1, 53, b"")), "drop named udp/53");
    filter.expect("ntp", &ipv4(udp(1, 123, b"")), "drop named udp/123");
}

#[test]
fn any_port_is_every_port() {
    let rule = "{ name: all, action: drop, protocol: tcp, ports: any }";
    let mut filter = Filter::new("", &[rule]);
    for port in [0, 1, 22, 255, 256, 32_768, 65_535] {
        let expected = format!("drop all tcp/{port}");
        filter.expect("tcp", &tcp_to(port), &expected);
        filter.expect("udp", &ipv4(udp(1, port, b"")), "pass default-pass");
        filter.expect("sctp", &ipv4(sctp(1, port)), "pass default-pass");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = [
        "{ name: admin, action: pass, ports: 22/tcp }",
        "{ name: low, action: drop, ports: 1-1023/tcp }",
        "{ name: web, action: pass, ports: [80/tcp, 8080/tcp] }",
        "{ name: never, action: drop, ports: 22/tcp }",
        "{ name: rest, action: drop, protocol: [tcp, udp], ports: any }",
    ];
    let mut filter = Filter::new("default: pass", &rules);
    for (port, expected) in [
        (22, "pass admin"),
        (21, "drop low tcp/21"),
        (80, "drop low tcp/80"),
        (8080, "pass web"),
        (0, "drop rest tcp/0"),
        (1023, "drop low tcp/1023"),
        (1024, "drop rest tcp/1024"),
    ] {
        filter.expect(&format!("port {port}"), &tcp_to(port), expected);
    }
    filter.expect("udp", &ipv4(udp(1, 22, b"")), "drop rest udp/22");
    filter.expect("sctp", &ipv4(sctp(1, 22)), "pass default-pass");
}

#[test]
fn the_default_decides_the_rest() {
    let rules = ["{ name: web, action: pass, ports: 443/tcp }"];
    let mut filter = Filter::new("default: drop", &rules);
    filter.expect("web", &tcp_to(443), "pass web");
    for port in [0, 1, 442, 444, 47873, 65_535] {
        filter.expect(
            "tcp",
            &tcp_to(port),
            &format!("drop default-drop tcp/{port}"),
        );
        let expected = format!("drop default-drop udp/{port}");
        filter.expect("udp", &ipv6(udp(443, port, b"")), &expected);
        let expected = format!("drop default-drop sctp/{port}");
        filter.expect("sctp", &ipv6(sctp(443, port)), &expected);
    }
}

#[test]
fn flags_of_tcp_do_not_matter() {
    let rule = "{ name: ssh, action: drop, ports: 22/tcp }";
    let mut filter = Filter::new("", &[rule]);
    for flags in 0..=255 {
        let mut frame = tcp_to(22);
        frame[14 + 20 + 13] = flags;
        filter.expect(&format!("flags {flags:#x}"), &frame, "drop ssh tcp/22");
    }
}

#[test]
fn every_port_has_its_own_place() {
    let rules: Vec<String> = (0..1000_u16)
        .map(|number| {
            let port = number * 61 + 1;
            let action = if number % 2 == 0 { "drop" } else { "pass" };
            format!("{{ name: r{number}, action: {action}, ports: {port}/tcp }}")
        })
        .collect();
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let mut filter = Filter::new("", &rules);
    for number in (0..1000_u16).step_by(37) {
        let port = number * 61 + 1;
        let expected = if number % 2 == 0 {
            format!("drop r{number} tcp/{port}")
        } else {
            format!("pass r{number}")
        };
        filter.expect("its port", &tcp_to(port), &expected);
        filter.expect("the next", &tcp_to(port + 1), "pass default-pass");
        filter.expect("udp", &ipv4(udp(1, port, b"")), "pass default-pass");
    }
}
