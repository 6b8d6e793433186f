//! Rule sets of iptables and ip6tables, normalised by `iptables-save`.

use portguard_import::{Kind, Source, iptables};
use portguard_policy::Transport;

use crate::compare::{Known, SAME, compare, options};
use crate::host::Host;
use crate::packets::Sent;

fn check(name: &str, v4: Option<&str>, v6: Option<&str>, seed: u64, known: &Known<'_>) {
    let host = Host::new();
    let text = [v4.unwrap_or_default(), v6.unwrap_or_default()].concat();
    compare(name, &text, seed, known, &host, |host| {
        let mut saved = String::new();
        for (rules, program) in [(v4, "iptables"), (v6, "ip6tables")] {
            if let Some(rules) = rules {
                host.run(&format!("{program}-restore"), &[], rules);
                saved.push_str(&host.run(&format!("{program}-save"), &[], ""));
            }
        }
        let source = Source {
            name: "rules.v4",
            text: &saved,
        };
        iptables(&[source], &options()).expect("a rule set")
    });
}

macro_rules! rule_set {
    ($name:ident, $seed:literal, v4, $known:expr) => {
        #[test]
        fn $name() {
            let v4 = include_str!(concat!("rules/iptables/", stringify!($name), ".v4"));
            check(stringify!($name), Some(v4), None, $seed, &$known);
        }
    };
}

use Kind::{Stricter, Wider};

rule_set!(rhel, 21, v4, SAME);
rule_set!(
    arch,
    22,
    v4,
    Known {
        list: &[(Wider, "INVALID")],
        ..SAME
    }
);
rule_set!(
    fail2ban,
    23,
    v4,
    Known {
        list: &[
            (Wider, "-s 203.0.113.7/32"),
            (Wider, "-s 198.51.100.0/24"),
            (Wider, "-s 203.0.113.9/32")
        ],
        ..SAME
    }
);
rule_set!(
    ranges,
    24,
    v4,
    Known {
        wider: None,
        stricter: Some(Sent::has_port_0),
        list: &[
            (Stricter, "! --dport 1:1023"),
            (Stricter, "! --dports 1:1023,2049,11211")
        ],
    }
);
rule_set!(nested, 25, v4, SAME);
rule_set!(
    tables,
    26,
    v4,
    Known {
        list: &[
            (Wider, "--dport 23"),
            (Wider, "--dport 445"),
            (Wider, "-s 203.0.113.64/26")
        ],
        ..SAME
    }
);
rule_set!(
    rates,
    27,
    v4,
    Known {
        list: &[(Stricter, "--hitcount 4")],
        ..SAME
    }
);
rule_set!(
    unknown,
    28,
    v4,
    Known {
        wider: Some(|own| matches!(own.port(Transport::Udp), Some(5000..=5999))),
        stricter: None,
        list: &[
            (Wider, "NONE -j DROP"),
            (Wider, "! --tcp-flags"),
            (Wider, "--ttl-eq 64"),
            (Wider, "GET /evil"),
            (Stricter, "--mac-source"),
            (Stricter, "--mark 0x1"),
        ],
    }
);

#[test]
fn debian() {
    let v4 = include_str!("rules/iptables/debian.v4");
    let v6 = include_str!("rules/iptables/debian.v6");
    check(
        "debian",
        Some(v4),
        Some(v6),
        29,
        &Known {
            list: &[(Kind::Wider, "INVALID")],
            ..SAME
        },
    );
}

#[test]
fn six() {
    let v6 = include_str!("rules/iptables/six.v6");
    check("six", None, Some(v6), 30, &SAME);
}
