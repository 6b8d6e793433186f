//! Rules that meant another set of ports than they said.

use portguard_policy::{NoFiles, check};

use crate::filter::Filter;
use crate::frames::{ipv4, ipv6, sctp, tcp, udp};

/// Ranges were compared in network byte order.
#[test]
fn m01_ranges_compare_ports_as_numbers() {
    let cases: [(&str, &[u16], &[u16]); 5] = [
        // The last two are 1000 and 2000 with their bytes swapped.
        (
            "1000-2000",
            &[1000, 1001, 1500, 1999, 2000],
            &[0, 999, 2001, 59_395, 53_255],
        ),
        ("255-256", &[255, 256], &[0, 1, 254, 257, 65_280, 65_535]),
        (
            "255-65280",
            &[255, 256, 1000, 65_279, 65_280],
            &[0, 1, 254, 65_281, 65_535],
        ),
        ("1-65535", &[1, 255, 256, 32_768, 65_280, 65_535], &[0]),
        ("256-511", &[256, 257, 511], &[1, 2, 255, 512, 65_281]),
    ];
    for (range, inside, outside) in cases {
        let rule = format!("{{ name: range, action: drop, ports: \"{range}\" }}");
        let mut filter = Filter::new("", &[&rule]);
        for wrap in [ipv4, ipv6] {
            for port in inside {
                let case = format!("port {port} of {range}");
                filter.expect(
                    &case,
                    &wrap(tcp(1, *port)),
                    &format!("drop range tcp/{port}"),
                );
                filter.expect(
                    &case,
                    &wrap(udp(1, *port, b"")),
                    &format!("drop range udp/{port}"),
                );
            }
            for port in outside {
                let case = format!("port {port} outside of {range}");
                filter.expect(&case, &wrap(tcp(1500, *port)), "pass default-pass");
                filter.expect(&case, &wrap(udp(1500, *port, b"")), "pass default-pass");
            }
        }
    }
}

/// Reversed, open and oversize ranges were stored and matched nothing, or too much.
#[test]
fn m02_only_ranges_of_ports_are_accepted() {
    let mut filter = Filter::new("", &["{ name: one, action: drop, ports: 80-80/tcp }"]);
    filter.expect("80", &ipv4(tcp(1, 80)), "drop one tcp/80");
    filter.expect("79", &ipv4(tcp(1, 79)), "pass default-pass");
    filter.expect("81", &ipv4(tcp(1, 81)), "pass default-pass");
    for ports in [
        "7200-7100",
        "80-",
        "-80",
        "0-10",
        "65535-65536",
        "1-70000",
        "80:90",
        "80..90",
        "80 - 90",
        "0",
        "65536",
    ] {
        let text =
            format!("version: 1\nrules:\n  - {{ name: r, action: drop, ports: \"{ports}\" }}\n");
        let problems = check(&text, &mut NoFiles).expect_err(ports);
        assert!(
            problems.iter().any(|problem| problem.span.is_some()),
            "{ports}: {problems:?}"
        );
    }
}

/// A rule without ports silently meant every port.
#[test]
fn m05_every_port_must_be_asked_for() {
    for fields in [
        "protocol: tcp",
        "protocol: [udp, icmp]",
        "protocol: 6",
        "protocol: tcp, ports: []",
        "protocol: tcp, ports: null",
        "protocol: tcp, ports:",
        "comment: nothing",
    ] {
        let text = format!("version: 1\nrules:\n  - {{ name: r, action: drop, {fields} }}\n");
        assert!(check(&text, &mut NoFiles).is_err(), "accepted: {fields}");
    }
    // Without a protocol, ports are those of TCP and UDP.
    let mut filter = Filter::new("", &["{ name: both, action: drop, ports: [22] }"]);
    filter.expect("tcp", &ipv4(tcp(1, 22)), "drop both tcp/22");
    filter.expect("udp", &ipv6(udp(1, 22, b"")), "drop both udp/22");
    filter.expect("sctp", &ipv4(sctp(1, 22)), "pass default-pass");
    filter.expect("other port", &ipv4(tcp(22, 23)), "pass default-pass");
}

/// Names of services stood for other ports, or for other protocols.
#[test]
fn m12_names_of_services_are_their_ports() {
    let rule = "{ name: named, action: drop, ports: [ssh, www, x11-1, syslog, biff, 512/sctp] }";
    let mut filter = Filter::new("", &[rule]);
    for port in [22, 80, 6001] {
        let expected = format!("drop named tcp/{port}");
        filter.expect("tcp", &ipv4(tcp(1, port)), &expected);
        filter.expect("udp", &ipv4(udp(1, port, b"")), "pass default-pass");
    }
    // `shell` is 514 of TCP and `exec` is 512: other services than `syslog` and `biff`.
    for port in [512, 514] {
        let expected = format!("drop named udp/{port}");
        filter.expect("udp", &ipv6(udp(1, port, b"")), &expected);
        filter.expect("tcp", &ipv6(tcp(1, port)), "pass default-pass");
    }
    filter.expect("sctp", &ipv4(sctp(1, 512)), "drop named sctp/512");
    for port in [11, 6000, 6002] {
        filter.expect("not x11-1", &ipv4(tcp(1, port)), "pass default-pass");
    }
}
